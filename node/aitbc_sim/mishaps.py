"""What goes wrong in the safety phase, and when?

Crashes, full disks, partitions, losses and ambushes, drawn at the rates of the run's options, until
`are_over` is set; what is broken then stays broken. Do not add how a node dies or comes back: that
is `world.py`.
"""

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from aitbc_sim.disk import SimDisk
from aitbc_sim.edges import isolate
from aitbc_sim.history import History
from aitbc_sim.network import Network, draw_partition
from aitbc_sim.nodes import Process
from aitbc_sim.options import Options

AMBUSH_MS = (4_000, 15_000)
_REFUSALS = ("no space left", "read-only file system")


class Place(Protocol):
    """Offer what mishaps need of the world."""

    options: Options
    history: History

    @property
    def nodes(self) -> Sequence[Process]:
        """Return all nodes."""

    def later(self, delay_ms: int, act: Callable[..., None], *arguments: object) -> None:
        """Call something after a while."""

    def power_cut(self, process: Process) -> None:
        """Kill a node."""


class Mishaps:
    """Break things."""

    def __init__(self, place: Place, network: Network, dice: random.Random) -> None:
        self.are_over = False
        self._place = place
        self._options = place.options
        self._network = network
        self._dice = dice
        self._is_quiet = False
        """Whether no messages are lost for the time of an ambush."""

    def begin(self) -> None:
        """Plan the first of each kind."""
        options = self._options
        if options.crash_every_ms:
            self._place.later(self._after(options.crash_every_ms), self._crash_some)
        if options.full_every_ms:
            self._place.later(self._after(options.full_every_ms), self._fill_disk)
        if options.partition_every_ms:
            self._place.later(self._after(options.partition_every_ms), self._partition)
        if options.wall_jump_every_ms:
            self._place.later(self._after(options.wall_jump_every_ms), self._jump_clock)
        self._redraw_lossy()

    def on_first(self, first: Process) -> None:
        """Cut off the first to decide; mostly the others die as well, and hear each other well."""
        if self.are_over or self._dice.random() >= self._options.ambush:
            return
        self._place.history.met("ambush")
        self._network.blocked = isolate(first.index, range(len(self._place.nodes)))
        self._place.later(self._dice.randrange(*AMBUSH_MS), self._end_ambush)
        if self._dice.randrange(3):
            self._is_quiet = True
            self._network.lossy = frozenset()
        if self._dice.randrange(3):
            self._kill_within(1_500, [p for p in self._running() if p is not first])

    def _end_ambush(self) -> None:
        self._is_quiet = False
        self._unblock()

    def _after(self, mean_ms: int) -> int:
        return 1 + int(self._dice.expovariate(1 / mean_ms))

    def _running(self) -> list[Process]:
        return [process for process in self._place.nodes if process.machine is not None]

    def _crash_some(self) -> None:
        if self.are_over:
            return
        self._place.later(self._after(self._options.crash_every_ms), self._crash_some)
        running = self._running()
        if not running:
            return
        if self._dice.random() < self._options.crash_all:
            self._kill_within(1_000, running)
        else:
            self._doom(self._dice.choice(running))

    def _doom(self, process: Process) -> None:
        """Let a node die now, in one of its next disk operations, or between disk and wire."""
        match self._dice.randrange(3):
            case 0:
                process.crash_after_persist = True
            case 1:
                self._dice.choice((process.data, process.keys)).fuse = self._dice.randrange(6)
            case _:
                self._place.power_cut(process)

    def _kill_within(self, limit_ms: int, victims: Sequence[Process]) -> None:
        for process in victims:
            delay_ms = self._dice.randrange(1, limit_ms)
            self._place.later(delay_ms, self._kill_if_alive, process, process.life)

    def _kill_if_alive(self, process: Process, life: int) -> None:
        if process.life == life and not self.are_over:
            self._place.power_cut(process)

    def _fill_disk(self) -> None:
        if self.are_over:
            return
        self._place.later(self._after(self._options.full_every_ms), self._fill_disk)
        running = self._running()
        if running:
            process = self._dice.choice(running)
            disk = self._dice.choice((process.data, process.keys))
            disk.refusal = self._dice.choice(_REFUSALS)
            self._place.later(self._dice.randint(*self._options.full_ms), self._make_room, disk)

    def _make_room(self, disk: SimDisk) -> None:
        if not self.are_over:
            disk.refusal = ""

    def _jump_clock(self) -> None:
        """Set some host's clock on the wall forward or back."""
        if self.are_over:
            return
        self._place.later(self._after(self._options.wall_jump_every_ms), self._jump_clock)
        limit_ms = self._options.wall_jump_ms
        clock = self._dice.choice(self._place.nodes).clock
        clock.jump(self._dice.randint(-limit_ms, limit_ms))
        self._place.history.met("clock jump")

    def _partition(self) -> None:
        if self.are_over:
            return
        self._network.blocked = draw_partition(self._dice, len(self._place.nodes))
        self._place.history.met("partition")
        self._place.later(self._dice.randint(*self._options.partition_ms), self._unpartition)

    def _unpartition(self) -> None:
        if not self.are_over:
            self._unblock()
            self._place.later(self._after(self._options.partition_every_ms), self._partition)

    def _unblock(self) -> None:
        if not self.are_over:
            self._network.blocked = frozenset()

    def _redraw_lossy(self) -> None:
        if self.are_over or not self._options.is_lossy:
            return
        share = 0.0 if self._is_quiet else self._options.lossy_edges
        nodes = range(len(self._place.nodes))
        self._network.lossy = frozenset(
            (a, b) for a in nodes for b in nodes if a != b and self._dice.random() < share
        )
        self._place.later(self._dice.randrange(200, 3_000), self._redraw_lossy)
