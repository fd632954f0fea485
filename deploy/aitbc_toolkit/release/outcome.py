"""What is an environment's run at its end, in figures and in words? Nothing here does anything.

The words are data for people and go to standard output; the record is for the journals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aitbc_toolkit.errors import Exit


@dataclass(frozen=True, slots=True)
class Outcome:
    """Say how a deploy or rollback ended.

    `lines` are the result block; `error` and `hint` are set when it did not end well.
    """

    exit: Exit
    lines: Sequence[str] = ()
    error: str = ""
    hint: str = ""
    changed: Sequence[str] = ()
    took_s: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_record(self) -> dict[str, object]:
        """Write the last record of a run's stream."""
        return {
            "type": "result",
            "exit": int(self.exit),
            "changed": list(self.changed),
            "took_s": round(self.took_s, 3),
            "error": self.error,
            "hint": self.hint,
            "text": list(self.lines),
            **self.facts,
        }


def fact(name: str, text: str) -> str:
    """Write one line of a result block."""
    return f"  {name:<13} {text}"


def counted(count: int, noun: str) -> str:
    """Write a number of things; all our nouns take an s."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def seconds(milliseconds: float) -> str:
    """Write milliseconds as seconds with one digit."""
    return f"{milliseconds / 1000:.1f} s"
