"""What is one finding of a preflight, and what follows from all of them? Records; nothing looks.

Every area of the checklist has at least one item, so that what cannot be looked up is seen to be
missing: `n.a.` says why, `unsigned` waits for a person. Only `fail` refuses.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from aitbc_toolkit.errors import Exit

State = Literal["pass", "warn", "fail", "n.a.", "unsigned"]
Area = Literal[
    "environments",
    "monitoring",
    "backup",
    "alerts",
    "ssh",
    "git",
    "connectivity",
    "firewall",
    "packages",
    "venv",
    "database",
    "external api",
    "baselines",
    "capacity",
    "access",
    "scans",
    "runbooks",
    "api docs",
    "test environment",
]

AREAS: tuple[Area, ...] = get_args(Area)
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class Check:
    """Hold one item: what was looked at, where, what was found, and what helps."""

    area: Area
    item: str
    state: State
    evidence: str
    hint: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Hold all findings of one preflight, in the order of the areas."""

    environment: str
    checks: Sequence[Check]

    @property
    def failed(self) -> list[Check]:
        """List what a deploy would be refused for."""
        return [each for each in self.checks if each.state == "fail"]

    @property
    def exit(self) -> Exit:
        """Say what a deploy would end with before it changed anything."""
        return Exit.REFUSED if self.failed else Exit.OK

    @property
    def count(self) -> str:
        """Sum the states up in one line."""
        found = Counter(each.state for each in self.checks)
        return ", ".join(f"{found[state]} {state}" for state in STATES if found[state])

    def to_document(self) -> dict[str, Any]:
        """Write the report for programs."""
        return {
            "environment": self.environment,
            "exit": int(self.exit),
            "checks": [
                {field: getattr(each, field) for field in Check.__slots__} for each in self.checks
            ],
        }


def report(environment: str, checks: Sequence[Check]) -> Report:
    """Put findings into the order of the areas; within one they stay as they came."""
    return Report(environment, sorted(checks, key=lambda each: AREAS.index(each.area)))
