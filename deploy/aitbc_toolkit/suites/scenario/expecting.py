"""What follows from who has how much voting power, who is down, and which ways are cut?

Pure. Links are connections: a way that is cut in one direction carries nothing in the other one
either, once its time-outs have passed. Do not add how long anything may take.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from aitbc_sim import edges as algebra
from aitbc_toolkit.suites.scenario.words import FAULTS

Edge = tuple[str, str]
"""From one node to another."""

DOWN = frozenset({"proc.kill", "wal.truncate", "wal.lose_unsynced"})
"""Who is hit is down until the fault ends."""
AWAY = frozenset(
    {
        "proc.restart",
        "proc.stop",
        "proc.freeze",
        "proc.oom",
        "host.reboot",
        "cpu.quota",
        "mem.limit",
        "disk.full",
        "disk.readonly",
        "disk.slow",
        "clock.jump",
        "clock.drift",
        "clock.strobe",
        *(kind for kind in FAULTS if kind.startswith("byz.")),
    }
)
"""Who is hit may be there or not: it comes back, or a watchdog sees to it, or it votes no more."""


class Expectation(NamedTuple):
    """Name the groups of nodes that still reach each other, by what they must do.

    `may` is who has the power, but only by passing votes on: no more is asked of it than safety.
    """

    progress: tuple[frozenset[str], ...]
    still: tuple[frozenset[str], ...]
    may: tuple[frozenset[str], ...]
    catch_up: frozenset[str]
    """Who has to come to the tip again when all is whole."""


def expect(
    powers: Mapping[str, int],
    *,
    cut: Collection[Edge] = frozenset(),
    down: Collection[str] = frozenset(),
) -> Expectation:
    """Tell what each group must do; `powers` names every node, those without a vote with 0."""
    total = sum(powers.values())
    progress, still, may = [], [], []
    for group in components(powers, cut=cut, down=down):
        if not _is_quorum(group, powers, total):
            still.append(group)
        elif _hears_quorum(group, powers, total, cut):
            progress.append(group)
        else:
            may.append(group)
    assert len(progress) + len(may) <= 1, "two groups with more than two thirds each"
    behind = frozenset(powers).difference(*progress)
    return Expectation(tuple(progress), tuple(still), tuple(may), behind)


def components(
    nodes: Collection[str], *, cut: Collection[Edge] = frozenset(), down: Collection[str] = ()
) -> list[frozenset[str]]:
    """Group those who run by who reaches whom, over others too; in the order of the nodes."""
    running = [name for name in nodes if name not in down]
    return [frozenset(group) for group in algebra.components(running, frozenset(cut))]


def is_open(one: str, other: str, cut: Collection[Edge]) -> bool:
    """Tell whether two nodes can hold a connection."""
    return (one, other) not in cut and (other, one) not in cut


def _is_quorum(group: Collection[str], powers: Mapping[str, int], total: int) -> bool:
    return 3 * sum(powers[name] for name in group) > 2 * total


def _hears_quorum(
    group: Collection[str], powers: Mapping[str, int], total: int, cut: Collection[Edge]
) -> bool:
    """Tell whether enough of a group hear enough of it without anybody in between.

    Each of them hears more than two thirds, and together they are more than two thirds.
    """
    well = [
        name
        for name in group
        if powers[name]
        and _is_quorum([b for b in group if b == name or is_open(name, b, cut)], powers, total)
    ]
    return _is_quorum(well, powers, total)
