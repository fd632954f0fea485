"""How does a validator of a live mesh break the rules? As one of the simulator does, in a process.

`python -m aitbc_sim.live_liars BEHAVIOUR run --config ...` is a node whose machine speaks with a
bent tongue. No wheel of the node holds it: a host has it in the sources of its release, and there a
leased fault starts it (`byz.<behaviour>`). Do not add behaviours here: `byzantine.py`.
"""

import random
import runpy
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from aitbc_node.crypto import Signer, Verifier
from aitbc_node.events import Effect, Event, FrameReceived
from aitbc_node.ledger.genesis import Genesis
from aitbc_node.machine import Machine, MachineConfig
from aitbc_node.types import PeerId
from aitbc_sim.byzantine import Plot, Tongue, mind_of
from aitbc_sim.options import BEHAVIOURS

LIVE = tuple(kind for kind in BEHAVIOURS if kind != "twin")
"""What one process can do; a twin is a second one, with a key that would have to leave its host."""


class Alternating(Plot):
    """Let every other peer hear the second tongue first, and each peer both of them.

    Who hears one of them only learns of the other by chance, from who came late to a height.
    """

    def __init__(self) -> None:
        super().__init__({})
        self._met: dict[PeerId, int] = {}

    def side(self, peer: PeerId) -> int:
        """Return which of the two tongues a peer hears."""
        return self._met.setdefault(peer, len(self._met) % 2)

    def sides(self, peer: PeerId) -> tuple[int, ...]:
        """Return both tongues, that of the peer's own side first."""
        first = self.side(peer)
        return first, 1 - first


class Liar(Machine):
    """Be a machine whose words are bent on the way out; one without a vote has no need to."""

    behaviour = "withhold"

    def __init__(
        self,
        config: MachineConfig,
        genesis: Genesis,
        *,
        own_id: PeerId,
        signer: Signer | None,
        verify: Verifier,
    ) -> None:
        super().__init__(config, genesis, own_id=own_id, signer=signer, verify=verify)
        self._tongue: Tongue | None = None
        if signer is not None:
            dice = random.Random(own_id)  # noqa: S311 - not for secrets
            self._tongue = Tongue(
                self.behaviour,
                signer,
                Alternating(),
                dice,
                chain_id=genesis.chain_id,
                verify=verify,
            )

    def start(self, **when: Any) -> list[Effect]:
        """Begin as any machine does."""
        return self._bent(super().start(**when))

    def step(self, event: Event, *, now_ms: int) -> list[Effect]:
        """Take one input as any machine does, and bend what comes of it."""
        if self._tongue is not None and isinstance(event, FrameReceived):
            self._tongue.hear(event.payload)
        return self._bent(super().step(event, now_ms=now_ms))

    def _bent(self, effects: list[Effect]) -> list[Effect]:
        return effects if self._tongue is None else self._tongue.bend(self.view, effects)


@contextmanager
def lying(behaviour: str) -> Iterator[None]:
    """Let every machine that this process makes lie like that."""
    assert behaviour in LIVE, f"no process lies like that: {behaviour}"
    kind = type("Liar", (Liar,), {"behaviour": behaviour})
    with ExitStack() as stack:
        stack.enter_context(mind_of(behaviour))
        # By name: only a process has files and sockets, and the simulator is not to know them.
        stack.enter_context(patch("aitbc_node.startup.Machine", kind))
        yield


if __name__ == "__main__":
    with lying(sys.argv.pop(1)):
        runpy.run_module("aitbc_node", run_name="__main__")
