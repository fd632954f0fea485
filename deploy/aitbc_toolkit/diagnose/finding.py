"""What is one trouble, whoever found it, and what follows from all of them for the exit status?

Pure. Do not add how anything is found.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from aitbc_toolkit.errors import Exit

Level = Literal["fail", "warn", "n.a."]
Topic = Literal[
    "host", "reach", "chain", "key", "release", "blocks", "partition", "votes", "rounds", "signing",
    "clock", "disk", "peers", "mempool", "metrics",
]  # fmt: skip

_LEVELS: tuple[Level, ...] = ("fail", "warn", "n.a.")


@dataclass(frozen=True, slots=True)
class Finding:
    """Say one thing that is wrong; `node` and `host` are empty where it is about all of them."""

    level: Level
    topic: Topic
    node: str
    host: str
    says: str
    hint: str


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Put what fails before what only may; the order in which it was found is kept otherwise."""
    return tuple(sorted(findings, key=lambda each: _LEVELS.index(each.level)))


def status_of(findings: Sequence[Finding], *, is_known: bool) -> Exit:
    """Tell a fault from a mesh of which nothing is known."""
    if not is_known:
        return Exit.UNREACHABLE
    return Exit.FAILED if any(each.level == "fail" for each in findings) else Exit.OK


def counted(findings: Sequence[Finding]) -> str:
    """Sum up in a few words; empty where nothing is wrong."""
    found = Counter(each.level for each in findings)
    return ", ".join(f"{found[level]} {level}" for level in _LEVELS if level in found)
