"""How may a scenario end, and which exit status does a whole suite get from its scenarios?

Do not add reasons here: they sit where a scenario fails.
"""

from collections.abc import Iterable
from enum import StrEnum

from aitbc_toolkit.errors import Exit


class Verdict(StrEnum):
    """Name the ends of a scenario, the worst first; teardown can only add `UNHEALED`."""

    SAFETY = "SAFETY"
    UNHEALED = "UNHEALED"
    INFRA = "INFRA"
    INVALID = "INVALID"
    INCONCLUSIVE = "INCONCLUSIVE"
    LIVENESS = "LIVENESS"
    OBJECTIVE = "OBJECTIVE"
    PASS = "PASS"  # noqa: S105 - a verdict, not a password


_EXIT = {
    Verdict.SAFETY: Exit.UNSAFE,
    Verdict.UNHEALED: Exit.UNHEALED,
    Verdict.INFRA: Exit.INFRASTRUCTURE,
    Verdict.INVALID: Exit.INVALID,
    Verdict.INCONCLUSIVE: Exit.INCONCLUSIVE,
    Verdict.LIVENESS: Exit.STUCK,
    Verdict.OBJECTIVE: Exit.OBJECTIVE,
    Verdict.PASS: Exit.OK,
}


class ScenarioError(Exception):
    """End a scenario with a verdict and the one sentence that says why."""

    def __init__(self, verdict: Verdict, why: str) -> None:
        super().__init__(why)
        self.verdict = verdict
        self.why = why


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict that stands for a whole suite; one without scenarios showed nothing."""
    order = list(Verdict)
    return min(verdicts, key=order.index, default=Verdict.INVALID)


def exit_of(verdict: Verdict) -> Exit:
    """Return the exit status of a verdict."""
    return _EXIT[verdict]
