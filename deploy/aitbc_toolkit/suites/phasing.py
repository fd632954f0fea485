"""What does a load scenario ask of a swarm, phase by phase, and in all?

With a rate or a length asked for, phases keep their proportions: honest rates to each other, and
lengths; attackers come as often as the file says. Do not add what a swarm makes of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.suites.scenario import load_files
from aitbc_toolkit.suites.scenario.crowds import Crowd, Phase, Spawn
from aitbc_toolkit.suites.scenario.quantities import (
    LASTS_MAX_S,
    RATE_MAX,
    rate,
    seconds,
    share,
)
from aitbc_toolkit.suites.scenario.schema import Written

_OF_KNEE = " of knee"


@dataclass(frozen=True, slots=True)
class Extent:
    """Say how much a file asks for. Units: the highest honest rate, and seconds of all phases."""

    rate: float
    for_s: float
    batch: int


def require_bounds(*, rate: float | None, for_s: float | None) -> None:
    """Refuse what no run can be asked for; None is what the file says.

    Raises: UsageError, also for `nan` and `inf`.
    """
    for what, asked, most in (
        ("transactions a second", rate, RATE_MAX),
        ("seconds", for_s, LASTS_MAX_S),
    ):
        # What is no number is in no range.
        if asked is not None and not 0 < asked <= most:
            wrong = f"{asked:g} {what} cannot be asked for: above 0, and {most:,} at the most"
            raise UsageError(wrong, hint="aitbc load run --help")


def extent(written: Written, *, knee: float) -> Extent:
    """Read how much a file asks for; a share of it is one of the knee.

    Raises: UsageError where nobody knows that.
    """
    if not written.phases:
        (load,) = written.load
        assert load.lasts is not None, "the files of this family say it"
        return Extent(arrivals(load.arrivals, knee=knee), seconds(load.lasts), load.batch)
    return Extent(
        rate=max(_honest(phase) for phase in written.phases),
        for_s=sum(seconds(phase.lasts) for phase in written.phases),
        batch=_users(written.phases[0]).batch,
    )


def arrivals(written: str, *, knee: float) -> float:
    """Read how many are to come a second; a share is one of the knee of this mesh.

    Raises: UsageError where nobody knows that.
    """
    if not written.endswith(_OF_KNEE):
        return rate(written)
    if not knee:
        what = f"{written}: nobody has looked for the knee of this mesh"
        raise UsageError(what, hint="aitbc load knee\naitbc load run load/fault-at-80 --rate 100")
    return share(written.removesuffix(_OF_KNEE)) * knee


def phases(written: Written, asked: Extent) -> tuple[Mapping[str, Any], ...]:
    """Lay out the phases at the extent that is asked for; a file without any has none."""
    if not written.phases:
        return ()
    own = extent(written, knee=asked.rate)
    faster, longer = asked.rate / own.rate, asked.for_s / own.for_s
    return tuple(_phase(phase, faster, longer) for phase in written.phases)


def _phase(phase: Phase, faster: float, longer: float) -> Mapping[str, Any]:
    parts = [_part(each) for each in phase.load if not load_files.is_open_user(each)]
    parts += _spawned(phase.spawn) if phase.spawn else []
    return {
        "name": phase.phase,
        "for_s": seconds(phase.lasts) * longer,
        "rate": _honest(phase) * faster,
        "ramp_s": seconds(phase.ramp) * longer,
        "parts": parts,
    }


def _part(crowd: Crowd) -> Mapping[str, Any]:
    if crowd.arrivals is not None:
        return {"role": crowd.role, "rate": rate(crowd.arrivals)}
    pause_s = seconds(crowd.pause)
    return {"role": crowd.role, "bots": crowd.bots, "pause_s": pause_s, "mix": crowd.mix}


def _spawned(spawn: Spawn) -> list[Mapping[str, Any]]:
    """Lay out bots that a file asks for by weight; only users have a mix."""
    return [
        {
            "role": role,
            "bots": bots,
            "pause_s": seconds(spawn.pause),
            "mix": spawn.mix if role == load_files.USER else {},
        }
        for role, bots in load_files.dealt(spawn).items()
    ]


def _honest(phase: Phase) -> float:
    arrivals = _users(phase).arrivals
    assert arrivals is not None, "the loading has seen to it"
    return rate(arrivals)


def _users(phase: Phase) -> Crowd:
    return next(each for each in phase.load if load_files.is_open_user(each))
