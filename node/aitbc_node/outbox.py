"""Where do the parts of the machine put what is to be done, so that it stays in one order?

One list per step, shared by all parts: whoever comes first in the step comes first on disk and on
the wire. It also knows the moment of the step. Do not add decisions here.
"""

from collections.abc import Iterable

from aitbc_node.events import Effect, Note
from aitbc_node.gossip.messages import Message, send
from aitbc_node.types import PeerId


class Outbox:
    """Collect the effects of one step. Units: `now_ms` on the clock that never goes back."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.wall_ms = 0
        self._effects: list[Effect] = []

    def add(self, effect: Effect) -> None:
        """Put one effect behind those that are here."""
        self._effects.append(effect)

    def extend(self, effects: Iterable[Effect]) -> None:
        """Put several effects behind those that are here."""
        self._effects.extend(effects)

    def send(self, peers: Iterable[PeerId], message: Message) -> None:
        """Send a message to some peers; nobody is fine too."""
        self._effects.extend(send(peers, message))

    def note(self, name: str, **fields: object) -> None:
        """Say what happened; the keywords become the note's fields in order."""
        self._effects.append(Note(name, tuple(fields.items())))

    def take(self) -> list[Effect]:
        """Hand everything over and begin anew."""
        effects, self._effects = self._effects, []
        return effects
