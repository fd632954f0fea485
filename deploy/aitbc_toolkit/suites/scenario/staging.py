"""What does the simulator do for a fault of a scenario file, and how does it undo it?

The simulator's own sweeps break much more, drawn by themselves; here is what a file may ask for. Do
not add what a mesh has to do about it: `engine.py`.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from aitbc_sim.staged import Staged
from aitbc_toolkit.faults import KINDS
from aitbc_toolkit.suites.scenario.arena import Planned

RESTART_S = 1.0
"""How soon a process is started again by its supervisor, where nobody keeps it down."""
SLOW_MS = 300
"""How much longer a write takes on a slow disk, unless told."""

_MS = 1000
_STEP_MS = 100


class Way(NamedTuple):
    """Say how nodes are broken, how that is undone, and which parameters it has."""

    begin: Callable[[Staged, int, Planned], None]
    end: Callable[[Staged, int, Planned], None]
    parameters: frozenset[str] = frozenset()


def lacking(fault: str, parameters: Collection[str]) -> str:
    """Name what is not played here as it is on hosts; empty when all is."""
    if fault not in FAULTS:
        return fault
    known = WAYS[fault].parameters if fault in WAYS else frozenset()
    unknown = sorted(set(parameters) - known)
    return f"{fault} with {', '.join(unknown)}" if unknown else ""


def parameter(planned: Planned, name: str) -> float:
    """Return what was said of a parameter, or what it is on hosts unless told."""
    kind = KINDS.get(planned.fault)
    default = SLOW_MS if kind is None else getattr(kind.parameters[name], "default", 0)
    return float(planned.parameters.get(name, default))


def _kill(world: Staged, index: int, planned: Planned) -> None:
    """End a process until the lease or its supervisor brings it back.

    A host that starts anew writes down what it has before; only a power cut loses it.
    """
    world.kill(index, power=planned.fault == "wal.lose_unsynced")
    back_s = RESTART_S if planned.fault == "proc.restart" else planned.lease_s
    world.later(round(back_s * _MS), world.revive, index)


def _jump(world: Staged, index: int, planned: Planned) -> None:
    world.nodes[index].clock.jump(round(parameter(planned, "seconds") * _MS))


def _jump_back(world: Staged, index: int, planned: Planned) -> None:
    world.nodes[index].clock.jump(-round(parameter(planned, "seconds") * _MS))


def _strobe(world: Staged, index: int, planned: Planned) -> None:
    """Let a clock jump there and back, as often as the lease has periods for both."""
    clock, by_ms = world.nodes[index].clock, round(parameter(planned, "seconds") * _MS)
    period_ms = round(parameter(planned, "period") * _MS)
    turns = int(planned.lease_s * _MS / period_ms) // 2
    for turn in range(turns):
        world.later(2 * turn * period_ms, clock.jump, by_ms)
        world.later((2 * turn + 1) * period_ms, clock.jump, -by_ms)


def _fill(world: Staged, index: int, planned: Planned) -> None:
    full = planned.fault == "disk.full"
    world.fill(index, "no space left" if full else "read-only file system")


def _make_room(world: Staged, index: int, _planned: Planned) -> None:
    world.fill(index, "")


def _slow(world: Staged, index: int, planned: Planned) -> None:
    world.nodes[index].sync_more_ms = round(parameter(planned, "ms"))


def _hasten(world: Staged, index: int, _planned: Planned) -> None:
    world.nodes[index].sync_more_ms = 0


def _by_itself(_world: Staged, _index: int, _planned: Planned) -> None:
    """Undo nothing: what was begun ends when its lease does."""


_seconds = frozenset({"seconds"})
WAYS: Mapping[str, Way] = {
    "proc.kill": Way(_kill, _by_itself),
    "proc.restart": Way(_kill, _by_itself),
    "host.reboot": Way(_kill, _by_itself),
    "wal.lose_unsynced": Way(_kill, _by_itself),
    "clock.jump": Way(_jump, _jump_back, _seconds),
    "clock.strobe": Way(_strobe, _by_itself, _seconds | {"period"}),
    "disk.full": Way(_fill, _make_room),
    "disk.readonly": Way(_fill, _make_room),
    "disk.slow": Way(_slow, _hasten, frozenset({"ms"})),
}
FAULTS = frozenset({"net.cut", *WAYS})
"""What this backend can do."""
