"""How does a long verb say what it does? It emits records; who draws them is not its business.

Three renderers stand behind one stream of records: a live one, a plain one, and JSON lines. Do not
print here.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

Tell = Callable[[Mapping[str, object]], None]

SCHEMA = 1

# A node that catches up says something new at each look.
_TELL_S = 0.5


@dataclass(slots=True)
class Step:
    """Collect what a step has to say at its end."""

    name: str
    said: str = ""

    def say(self, text: str) -> None:
        """Set the line that stands beside the step when it is done."""
        self.said = text


@contextmanager
def step(tell: Tell, name: str, doing: str) -> Iterator[Step]:
    """Announce a step, run it, and tell what it did and how long it took."""
    tell({"type": "step", "step": name, "state": "begin", "text": doing})
    began = time.monotonic()
    current = Step(name)
    try:
        yield current
    except BaseException:
        took_s = round(time.monotonic() - began, 3)
        text = current.said or doing
        tell({"type": "step", "step": name, "state": "failed", "text": text, "took_s": took_s})
        raise
    took_s = round(time.monotonic() - began, 3)
    text = current.said or doing
    tell({"type": "step", "step": name, "state": "done", "text": text, "took_s": took_s})


@dataclass(slots=True)
class Awaited:
    """Tell how far the nodes of a gate are and by when, as it changes and not too often."""

    tell: Tell
    words: Mapping[str, str] = field(default_factory=dict)
    told_at: float = -math.inf

    def see(self, words: Mapping[str, str], *, now: float, ends_in_s: float) -> None:
        """Take how far each node is."""
        if words == self.words or now - self.told_at < _TELL_S:
            return
        self.words, self.told_at = words, now
        self.tell({"type": "gate", "nodes": dict(words), "ends_in_s": round(ends_in_s, 1)})


def note(tell: Tell, text: str) -> None:
    """Tell something that the operator should see but that is no step."""
    tell({"type": "note", "text": text})


def duration(seconds: float) -> str:
    """Write a duration as people read it."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
