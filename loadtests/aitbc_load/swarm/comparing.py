"""What does a bot do that asks others? It compares its node's blocks with what theirs hold.

Bots make themselves known to each other first, and ask one of another worker where there is one. Do
not add how letters get there: `mailing.py`.
"""

import random
from collections.abc import Mapping
from typing import Any

from aitbc_load.chainwatch import AGREEMENT
from aitbc_load.letters import Letter, worker_of
from aitbc_load.orders import Place
from aitbc_load.swarm.bots import BreachError
from aitbc_load.swarm.mailing import Box, UnansweredError
from aitbc_load.swarm.reading import Reader
from aitbc_load.swarm.roles import UntoldError

_WITHIN_S = 5.0
_BEHIND = 2
"""So far behind its own node a bot asks: another one may not have the newest block yet."""
_KNOWN_MAX = 64


class ForkedError(BreachError):
    """Two nodes hold different blocks of one height."""

    promise = AGREEMENT


class Comparer:
    """Ask another bot for the block of a height at its node, and compare."""

    def __init__(self, node: Place, reader: Reader, box: Box, seed: str) -> None:
        self._node = node
        self._reader = reader
        self._box = box
        self._dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._known: dict[str, None] = {}

    def set_up(self) -> None:
        """Answer others, and make itself known to them."""
        self._box.serve(self._answer)
        self._box.tell("coordination", {"node": self._node.name})

    def behave(self) -> str:
        """Compare one block."""
        self._meet()
        if not self._known:
            return "found nobody"
        height = max(1, self._reader.height_of(self._node) - _BEHIND)
        own = self._id(height)
        other = self._other()
        try:
            answer = self._box.ask(other, {"height": height}, within_s=_WITHIN_S)
        except UnansweredError:
            self._meet()
            if other in self._known:
                raise
            return "asked who had gone"
        theirs = answer.body.get("id")
        if not own or not theirs:
            raise UntoldError(self._node.name)
        if own != theirs:
            self._box.tell("event", {"forked": height})
            raise ForkedError(f"nodes told bots two blocks of height {height}: {own} and {theirs}")
        return "compared"

    def tear_down(self) -> None:
        """Say that nobody has to wait for it; it answers on while its worker is there."""
        self._box.tell("coordination", {"gone": True})

    def _meet(self) -> None:
        """Get to know who is there; who has just come is told of us."""
        for letter in self._box.tray.take():
            if letter.body.get("gone"):
                self._known.pop(letter.sender, None)
                continue
            if letter.kind in {"coordination", "data"} and len(self._known) < _KNOWN_MAX:
                self._known[letter.sender] = None
            if letter.kind == "coordination":
                self._box.tell("data", {"node": self._node.name}, to=letter.sender)

    def _other(self) -> str:
        """Choose somebody, of another worker where there is one."""
        own = worker_of(self._box.name)
        far = [who for who in self._known if worker_of(who) != own]
        return self._dice.choice(far or [*self._known])

    def _answer(self, letter: Letter) -> Mapping[str, Any]:
        height = letter.body.get("height")
        return {"id": self._id(height) if isinstance(height, int) and height > 0 else ""}

    def _id(self, height: int) -> str:
        found = self._reader.blocks(self._node, height, height).get(height)
        return found.id if found else ""
