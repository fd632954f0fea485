"""What is the least that still breaks? A failing run is made smaller until nothing can be left out.

Faults, liars, nodes and time are taken away one by one; what is left must turn the same checker
red, in the same seed or in one of the next few, because a day with less in it draws other numbers.
Do not judge here: `checkers.py`.
"""

from collections.abc import Callable, Iterator

import msgspec
from msgspec.structs import replace

from aitbc_sim.options import Options
from aitbc_sim.run import Case, Outcome, run

SEEDS_EACH = 3
"""So many seeds are tried before something counts as needed."""
SAFETY_MS_MIN = 500

_FAULTS = (
    "loss",
    "lossy_edges",
    "duplicate",
    "clog",
    "delay_ms",
    "sync_ms",
    "crash_every_ms",
    "crash_all",
    "power_loss",
    "down_ms",
    "full_every_ms",
    "full_ms",
    "partition_every_ms",
    "partition_ms",
    "ambush",
    "wall_skew_ms",
    "wall_drift_ppm",
    "wall_jump_every_ms",
    "byzantine",
    "churn",
    "spares",
    "epoch_blocks",
    "absence_blocks",
    "upgrades",
    "interval_ms",
    "timeout_ms",
    "tx_every_ms",
)
_SOUND = Options(full_nodes=0)


class Shrunk(msgspec.Struct, frozen=True):
    """Tell what was left of a failing run, and how many runs it took to find that."""

    outcome: Outcome
    runs: int


def shrink(
    outcome: Outcome, *, runs_max: int, on_smaller: Callable[[Case], None] | None = None
) -> Shrunk:
    """Take away whatever can be, until nothing can or the runs are used up."""
    smallest, runs, before = outcome, 0, None
    while before is not smallest:
        before = smallest
        for options in _smaller(before):
            if not _is_fair(options, as_in=outcome.case.options):
                continue
            for seed in range(smallest.case.seed, smallest.case.seed + SEEDS_EACH):
                if runs >= runs_max:
                    return Shrunk(smallest, runs)
                runs += 1
                tried = run(_case(seed, outcome.case.bug, options))
                if tried.verdict == outcome.verdict:
                    smallest = tried
                    break
            if smallest is not before:
                break
        if smallest is not before and on_smaller is not None:
            on_smaller(smallest.case)
    return Shrunk(smallest, runs)


def _case(seed: int, bug: str | None, options: Options) -> Case:
    """Name a run by what its day has and a sound one has not."""
    sound = msgspec.to_builtins(_SOUND)
    given = msgspec.to_builtins(options)
    changes = {name: value for name, value in given.items() if value != sound[name]}
    return Case(seed, bug, "sound", changes)


def _smaller(outcome: Outcome) -> Iterator[Options]:
    """Go through days with one thing less, the biggest things first."""
    options = outcome.case.options
    yield from _without_faults(options)
    yield from _without_nodes(options)
    yield from _with_less_time(options, outcome)


def _without_faults(options: Options) -> Iterator[Options]:
    for name in _FAULTS:
        if getattr(options, name) != getattr(_SOUND, name):
            yield replace(options, **{name: getattr(_SOUND, name)})
    for name in ("loss", "byzantine"):
        rows = getattr(options, name)
        if len(rows) > 1:
            for row in rows:
                yield replace(options, **{name: tuple(other for other in rows if other != row)})


def _without_nodes(options: Options) -> Iterator[Options]:
    if options.full_nodes:
        yield replace(options, full_nodes=0)
    four = _SOUND.powers
    if len(options.powers) > len(four) or len(set(options.powers)) > 1:
        liars = tuple(row for row in options.byzantine if row[0] < len(four))
        yield replace(options, powers=four, byzantine=liars)


def _with_less_time(options: Options, outcome: Outcome) -> Iterator[Options]:
    for blocks in (max(outcome.height, 1), options.blocks // 2):
        if 0 < blocks < options.blocks:
            yield replace(options, blocks=blocks)
    for limit_ms in (outcome.virtual_ms + 1, options.safety_ms_max // 2):
        if SAFETY_MS_MIN <= limit_ms < options.safety_ms_max:
            yield replace(options, safety_ms_max=limit_ms)


def _is_fair(options: Options, *, as_in: Options) -> bool:
    """Tell whether liars stay below a third of the power where they were so at first."""
    return _are_few(options) or not _are_few(as_in)


def _are_few(options: Options) -> bool:
    power = sum(options.powers[index] for index in options.liars)
    return 3 * power < sum(options.powers)
