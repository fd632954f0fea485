"""What do bots of one run say to each other, on whichever workers they are?

A letter goes to one bot or, where none is named, to all others; a response names the request that
it answers. All are small. Pure. Do not add how they get there: `swarm/mailing.py`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

Kind = Literal["coordination", "data", "request", "response", "event"]
BODY_BYTES_MAX = 1_024
UNREAD_MAX = 256
"""So many letters wait in one box; the oldest goes when one more comes."""
RATE_MAX = 200
"""So many letters a second one worker may send to the others: they share the way of the books."""


class Letter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say something. Shape: `sender` and `to` are WORKER/NUMBER, `to` is empty for everybody."""

    kind: Kind
    sender: str
    to: str = ""
    correlation: str = ""
    body: dict[str, Any] = {}


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """Bring a letter to a worker, as a line that begins with `LETTER`."""

    letter: Letter


LETTER = b'{"letter":'


def name(worker: int, number: int) -> str:
    """Name a bot of a run."""
    return f"{worker}/{number}"


def worker_of(who: str) -> int:
    """Tell on which worker a bot is. Raises: ValueError for what is no name."""
    return int(who.partition("/")[0])


def is_good(letter: Letter) -> bool:
    """Tell whether a letter may be sent: small, and an answer says what it answers."""
    needs = letter.kind in {"request", "response"}
    is_whole = bool(letter.correlation and letter.to) if needs else True
    return is_whole and len(msgspec.json.encode(letter.body)) <= BODY_BYTES_MAX


@dataclass(slots=True)
class Bucket:
    """Let through so many a second, and as many at once."""

    rate: float
    rest: float = 0.0
    at_s: float | None = None

    def takes(self, now_s: float) -> bool:
        """Take one more, if it may."""
        before_s = now_s if self.at_s is None else self.at_s
        start = self.rate if self.at_s is None else self.rest
        self.rest = min(self.rate, start + self.rate * (now_s - before_s))
        self.at_s = now_s
        if self.rest < 1:
            return False
        self.rest -= 1
        return True


def routes(letter: Letter, workers: int) -> list[int]:
    """List the workers that a letter goes to beside its sender's own; none for a wrong name."""
    try:
        own = worker_of(letter.sender)
        to = range(workers) if not letter.to else [worker_of(letter.to)]
    except ValueError:
        return []
    return [worker for worker in to if worker != own and 0 <= worker < workers]


@dataclass(slots=True)
class Tray:
    """Keep what came for one bot and was not read; `lost` counts what there was no room for."""

    unread: deque[Letter] = field(default_factory=deque)
    lost: int = 0

    def put(self, letter: Letter) -> None:
        """Keep one more."""
        if len(self.unread) == UNREAD_MAX:
            self.unread.popleft()
            self.lost += 1
        self.unread.append(letter)

    def take(self, is_wanted: Callable[[Letter], bool] = lambda _: True) -> list[Letter]:
        """Read what is wanted, and leave the rest."""
        found = [letter for letter in self.unread if is_wanted(letter)]
        self.unread = deque(letter for letter in self.unread if not is_wanted(letter))
        return found
