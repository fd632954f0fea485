"""For what is the right to change an environment wanted? So that a host can tell when it is done.

Most deploys find nothing to do. Whoever says beforehand what every node should run has the right
granted, everything looked at under it, and the right given back in one step of each host. What a
right is stands in `lease`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aitbc_toolkit.remote import Row

# How long a host may take to write down what it is to remember.
_LAST_S = 20


@dataclass(frozen=True, slots=True)
class Errand:
    """Say which commit with which configuration every node should run.

    A host where that is so takes the right back at once, and keeps the statement.
    """

    wanted: Mapping[str, Sequence[str]]
    statement: Mapping[str, str]

    def to_wire(self) -> dict[str, Any]:
        """Write what hosts are told."""
        return {
            "wanted": {name: list(place) for name, place in self.wanted.items()},
            "last": {"end": "released", "statement": dict(self.statement), "deadline_s": _LAST_S},
        }


def took_back(row: Row) -> bool:
    """Tell whether a host has granted the right and had it given back in the same step."""
    return row.ok and bool(row.answer.get("released"))
