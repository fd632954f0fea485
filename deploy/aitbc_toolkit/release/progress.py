"""How does a long verb say what it does? It emits records; who draws them is not its business.

Three renderers stand behind one stream of records: a live one, a plain one, and JSON lines. Do not
print here.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

Tell = Callable[[Mapping[str, object]], None]

SCHEMA = 1


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
        tell({"type": "step", "step": name, "state": "failed", "text": doing, "took_s": took_s})
        raise
    took_s = round(time.monotonic() - began, 3)
    text = current.said or doing
    tell({"type": "step", "step": name, "state": "done", "text": text, "took_s": took_s})


def note(tell: Tell, text: str) -> None:
    """Tell something that the operator should see but that is no step."""
    tell({"type": "note", "text": text})


def duration(seconds: float) -> str:
    """Write a duration as people read it."""
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
