"""What exactly does a fault of a file break, on this mesh, now? And is that within the budget?

Do not break anything here.
"""

from collections.abc import Mapping, Sequence

import msgspec

from aitbc_toolkit.suites.scenario import expecting, targets
from aitbc_toolkit.suites.scenario.arena import Planned, Town
from aitbc_toolkit.suites.scenario.quantities import seconds, share
from aitbc_toolkit.suites.scenario.schema import Blast, FaultStep
from aitbc_toolkit.suites.scenario.targets import Aim
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict


def planned(step: FaultStep, aim: Aim) -> Planned:
    """Decide everything that a step leaves open."""
    edges = frozenset[expecting.Edge]()
    groups: tuple[tuple[str, ...], ...] = ()
    if step.between is not None:
        groups, edges = targets.cut(step, aim)
        whom = _smaller_side(edges, aim.town.powers)
    else:
        assert step.on is not None, "the loading has seen to it"
        whom = targets.chosen(step.on, aim)
        groups = (whom, tuple(name for name in aim.town.powers if name not in whom))
    return Planned(
        id=step.id,
        fault=step.fault,
        targets=whom,
        edges=edges,
        lease_s=seconds(step.lease),
        parameters=step.differences,
        groups=groups,
    )


def carried(wanted: Planned, shut: frozenset[expecting.Edge]) -> Planned:
    """Leave out ways that carry nothing now: on them no loss or delay could show that it bites.

    A way back that is shut leaves a probe without its answer: it carries nothing, either. What cuts
    a way itself is seen on a way that is cut already; nothing is left out of that, and not all of
    anything.
    """
    left = frozenset(way for way in wanted.edges if expecting.is_open(*way, shut))
    if not left or (wanted.fault == "net.cut" and not wanted.parameters):
        return wanted
    return msgspec.structs.replace(wanted, edges=left)


def require_budget(wanted: Planned, blast: Blast, town: Town, *, hit: Sequence[str]) -> None:
    """Refuse to break more than the scenario says it will. Raises: ScenarioError."""
    whom = {*wanted.targets, *hit}
    power = sum(town.powers[name] for name in whom)
    allowed = share(blast.power) * sum(town.powers.values())
    if power > allowed:
        why = f"{wanted.fault} would hit power {power}, the budget allows {allowed:g}"
        raise ScenarioError(Verdict.INFRA, why)
    if blast.nodes is not None and len(whom) > blast.nodes:
        why = f"{wanted.fault} would hit {len(whom)} nodes, the budget allows {blast.nodes}"
        raise ScenarioError(Verdict.INFRA, why)


def _smaller_side(edges: frozenset[expecting.Edge], powers: Mapping[str, int]) -> tuple[str, ...]:
    """Name whom a cut takes away: all but the strongest group that is left."""
    groups = expecting.components(powers, cut=edges)
    strongest = max(groups, key=lambda group: (sum(powers[name] for name in group), len(group)))
    return tuple(name for name in powers if name not in strongest)
