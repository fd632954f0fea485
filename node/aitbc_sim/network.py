"""Who can reach whom now, and when does a frame arrive, if it does?

Links are ordered like the connections of the real transport; faults are drawn from the run's one
generator. A partition is a set of directed edges that carry nothing; the nodes find out by silence.
Do not add reactions of nodes.
"""

import random
from collections.abc import Callable, Collection

from aitbc_sim.edges import deafen, isolate, mute, ring, split
from aitbc_sim.options import Options

Edge = tuple[int, int]
"""From one node's index to another's."""


SOUND_DELAY_MS = 20
NODES_MAX = 1 << 16


class Network:
    """Hold the links of a run."""

    def __init__(self, options: Options, dice: random.Random) -> None:
        self._options = options
        self._dice = dice
        self._loss = dict(options.loss)
        self._links: dict[Edge, int] = {}
        self._count = 0
        self._free_at_ms: dict[Edge, int] = {}
        self._sound: frozenset[int] = frozenset()
        low_ms, high_ms = options.delay_ms
        self._sound_delay_ms = (low_ms, min(high_ms, SOUND_DELAY_MS))
        self.blocked: frozenset[Edge] = frozenset()
        self.lossy: frozenset[Edge] = frozenset()
        """Edges that lose, repeat and hold up messages at the moment."""

    def link(self, one: int, other: int) -> int:
        """Make a link, in the place of an older one; return its number."""
        self._count += 1
        self._links[one, other] = self._links[other, one] = self._count
        return self._count

    def number(self, one: int, other: int) -> int | None:
        """Return the number of the link between two nodes; frames of older ones are void."""
        return self._links.get((one, other))

    def carries(self, source: int, target: int, number: int) -> bool:
        """Tell whether a frame that was sent over a certain link arrives now."""
        edge = (source, target)
        return self._links.get(edge) == number and edge not in self.blocked

    def cut(self, one: int, other: int) -> bool:
        """Remove a link; tell whether there was one."""
        self._links.pop((other, one), None)
        return self._links.pop((one, other), None) is not None

    def partners(self, index: int) -> list[int]:
        """List the nodes that a node is linked with."""
        return sorted(other for one, other in self._links if one == index)

    def can_dial(self, source: int, target: int) -> bool:
        """Tell whether a handshake would come through both ways."""
        return not {(source, target), (target, source)} & self.blocked

    def arrivals(self, source: int, target: int, kind: str, now_ms: int) -> tuple[int, ...]:
        """Return when a frame sent now arrives: once, twice when repeated, or never."""
        edge = (source, target)
        if edge in self.blocked:
            return ()
        is_sound = source in self._sound and target in self._sound
        low_ms, high_ms = self._sound_delay_ms if is_sound else self._options.delay_ms
        draw = self._dice.random
        at_ms = now_ms + low_ms + int(draw() * (high_ms - low_ms + 1))
        is_lossy = edge in self.lossy and not is_sound
        if is_lossy:
            if draw() < self._loss.get(kind, 0.0):
                return ()
            if self._options.clog and draw() < self._options.clog:
                at_ms += self._dice.randrange(500, 2_500)
        free_at_ms = self._free_at_ms.get(edge, 0)
        at_ms = max(at_ms, free_at_ms)
        self._free_at_ms[edge] = at_ms
        if is_lossy and draw() < self._options.duplicate:
            return at_ms, at_ms + self._dice.randrange(1, 3_000)
        return (at_ms,)

    def deaf_from(self, kind: str) -> int:
        """Return the first node that does not hear this kind of message: full nodes may not."""
        options = self._options
        if options.followers_hear_votes or kind not in {"proposal", "prevote", "precommit"}:
            return NODES_MAX
        return len(options.powers)

    def heal(self, sound: Collection[int]) -> None:
        """Freeze the faults, but make every way between these nodes sound and quick."""
        self._sound = frozenset(sound)
        self.blocked = frozenset(edge for edge in self.blocked if not self._sound.issuperset(edge))
        self._free_at_ms = {
            edge: at_ms
            for edge, at_ms in self._free_at_ms.items()
            if not self._sound.issuperset(edge)
        }


def draw_partition(dice: random.Random, count: int) -> frozenset[Edge]:
    """Draw one of the shapes over `count` nodes."""
    nodes = list(range(count))
    dice.shuffle(nodes)
    if count == 1:
        return frozenset()
    cut_at = dice.randrange(1, count)
    shapes: tuple[Callable[[], frozenset[Edge]], ...] = (
        lambda: split([nodes[:cut_at], nodes[cut_at:]]),
        lambda: split([nodes[: count // 2], nodes[count // 2 :]]),
        lambda: isolate(nodes[0], nodes),
        lambda: deafen(nodes[0], nodes),
        lambda: mute(nodes[0], nodes),
        lambda: ring(nodes),
    )
    return dice.choice(shapes)()
