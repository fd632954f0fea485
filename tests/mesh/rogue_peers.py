"""How does somebody with keys mean harm: what does such a peer say, and how often does it come?

Each stranger proves a key of its own, as any node does, and comes from an address of its own, so
that what the node counts by source is not taken from the honest ones. Run by `rogue.py`.
"""

from collections import Counter
from collections.abc import Callable

from aitbc_node.blocks import PRECOMMIT
from aitbc_node.canonical import encode
from aitbc_node.consensus.messages import Vote
from aitbc_node.gossip.messages import FinalsWanted, Ping, Status, VotesSent, decode_message
from aitbc_node.types import BlockId, Height, Round, Signature
from aitbc_toolkit.suites.strangers import Flood, Pace, Returning, Say, Stranger, Victim

FRAMES_PER_S = 5_000
KEYS_PER_S = 100
AT_ONCE_MAX = 64
ASKED_PER_S = 10


class LocalFlood(Flood):
    """Flood from an address of its own."""

    source = "127.0.7.2"

    def __init__(self, victim: Victim, say: Say, make: Callable[[], bytes]) -> None:
        super().__init__(victim, say, make, rate=FRAMES_PER_S)


class Forger(Returning):
    """Send a vote that nobody signed, always as the same peer."""

    source = "127.0.7.1"

    def take(self, payload: bytes) -> None:
        """Answer the node's height with a vote on the next."""
        message = decode_message(payload)
        if isinstance(message, Status):
            height = Height(message.height + 1)
            vote = Vote(PRECOMMIT, height, Round(0), BlockId(bytes(32)), 5, 0, Signature(bytes(64)))
            self._stranger.send(encode(VotesSent((encode(vote),))))


def ping() -> bytes:
    """Make a frame that any node would answer."""
    return encode(Ping(1))


class Deaf(Returning):
    """Ask for blocks all the time, and read none of them."""

    source = "127.0.7.3"

    def __init__(self, victim: Victim, say: Say) -> None:
        super().__init__(victim, say)
        self._pace = Pace(ASKED_PER_S)
        self._asked = encode(FinalsWanted(Height(1), Height(100)))

    def use(self, stranger: Stranger) -> None:
        """Ask for what is due."""
        assert stranger.link is not None
        stranger.link._transport.pause_reading()
        for _ in range(self._pace.due()):
            stranger.send(self._asked)

    def heard(self, line: str) -> None:
        """Count how often it was cut off."""
        super().heard(line)
        if line != "up":
            self.figures["cut: peer"] += 1
            self._say("cut: peer")


class Crowd:
    """Come with ever new keys, from the addresses of one small network."""

    def __init__(self, victim: Victim, say: Say) -> None:
        self.figures: Counter[str] = Counter()
        self._victim, self._say = victim, say
        self._pace = Pace(KEYS_PER_S)
        self._here: set[Stranger] = set()

    def tick(self) -> None:
        """Let those who are due come, and forget those who are gone."""
        gone = {stranger for stranger in self._here if stranger.is_idle}
        self._here -= gone
        coming = sum(stranger.link is None for stranger in self._here)
        for _ in range(min(self._pace.due(), AT_ONCE_MAX - coming)):
            self.figures["keys"] += 1
            source = f"127.0.9.{1 + self.figures['keys'] % 250}"
            stranger = Stranger(self._victim, source, heard=self._heard)
            self._here.add(stranger)
            stranger.dial()

    def stop(self) -> None:
        """Be gone, all of them."""
        for stranger in self._here:
            stranger.leave()
        self._here.clear()

    def _heard(self, line: str) -> None:
        what = "linked" if line == "up" else line.removeprefix("down ")
        self.figures[what] += 1
        if self.figures[what] == 1:
            self._say(f"crowd {line}")
