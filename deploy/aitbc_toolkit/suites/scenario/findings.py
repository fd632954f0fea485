"""What did a scenario show beside its verdict: judgements, figures, faults and what they left?"""

from dataclasses import dataclass, field, replace

from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.verdicts import Verdict, worst


@dataclass(slots=True)
class Findings:
    """Collect them while the scenario runs; shapes as in `scene.Result`."""

    checks: list[dict[str, object]] = field(default_factory=list)
    objectives: list[dict[str, object]] = field(default_factory=list)
    faults: list[dict[str, object]] = field(default_factory=list)
    records: dict[str, float] = field(default_factory=dict)
    residues: list[str] = field(default_factory=list)
    """What was left of faults when they were over."""
    hit_times: list[tuple[float, float]] = field(default_factory=list)
    """From when to when each fault bit, by the mesh's clock."""

    def outcome(self, result: Result) -> Result:
        """Add everything to a result; what is left of a fault can only make its verdict worse."""
        verdict = worst([result.verdict, Verdict.UNHEALED if self.residues else result.verdict])
        told = [*self.residues, result.line]
        told = told if verdict is Verdict.UNHEALED else [result.line, *self.residues]
        return replace(
            result,
            verdict=verdict,
            line="; ".join(told),
            checks=tuple(self.checks),
            objectives=tuple(self.objectives),
            faults=tuple(self.faults),
            records=dict(self.records),
            residues=tuple(self.residues),
        )
