"""Who can reach whom now, and when does a frame arrive, if it does?

Links are ordered like the connections of the real transport; faults are drawn from the run's one
generator. A partition is a set of directed edges that carry nothing; the nodes find out by silence.
Do not add reactions of nodes.
"""

import random
from collections.abc import Callable, Collection, Iterable, Iterator

from aitbc_sim.edges import deafen, isolate, mute, ring, split
from aitbc_sim.options import Options

Edge = tuple[int, int]
"""From one node's index to another's."""


SOUND_DELAY_MS = 20


class Way:
    """Be the way from one node to another, of which each frame asks anew."""

    __slots__ = ("edge", "free_at_ms", "number")

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.number: int | None = None
        """That of the link which it belongs to now; frames of older ones are void."""
        self.free_at_ms = 0
        """When the last frame arrives: none comes before it."""


class Network:
    """Hold the links of a run."""

    def __init__(self, options: Options, dice: random.Random) -> None:
        self._options = options
        self._dice = dice
        self._loss = dict(options.loss)
        self._ways: dict[int, dict[int, Way]] = {}
        """By the node where it begins, and the one where it ends."""
        self._count = 0
        self._sound: frozenset[int] = frozenset()
        self._low_ms, high_ms = options.delay_ms
        self._span_ms = high_ms - self._low_ms + 1
        self._sound_span_ms = min(high_ms, SOUND_DELAY_MS) - self._low_ms + 1
        self.blocked: frozenset[Edge] = frozenset()
        self.lossy: frozenset[Edge] = frozenset()
        """Edges that lose, repeat and hold up messages at the moment."""

    def link(self, one: int, other: int) -> int:
        """Make a link, in the place of an older one; return its number."""
        self._count += 1
        self._way(one, other).number = self._way(other, one).number = self._count
        return self._count

    def is_linked(self, one: int, other: int) -> bool:
        """Tell whether there is a link between two nodes."""
        return self._way(one, other).number is not None

    def carries(self, way: Way, number: int) -> bool:
        """Tell whether a frame that was sent over a certain link arrives now."""
        return way.number == number and not (self.blocked and way.edge in self.blocked)

    def cut(self, one: int, other: int) -> bool:
        """Remove a link; tell whether there was one."""
        was_linked = self.is_linked(one, other)
        self._way(one, other).number = self._way(other, one).number = None
        return was_linked

    def partners(self, index: int) -> list[int]:
        """List the nodes that a node is linked with."""
        ways = self._ways.get(index, {})
        return sorted(other for other, way in ways.items() if way.number is not None)

    def can_dial(self, source: int, target: int) -> bool:
        """Tell whether a handshake would come through both ways."""
        return not {(source, target), (target, source)} & self.blocked

    def ways(
        self, source: int, targets: Iterable[int], kind: str, now_ms: int
    ) -> Iterator[tuple[Way, int]]:
        """Yield how a frame sent now goes: by which ways, and when it arrives.

        Twice when it is repeated; not at all when it is lost, or nobody hears it there.
        """
        known = self._ways.get(source)
        if known is None:
            return
        if self.blocked or self.lossy or self._sound:
            yield from self._uneven_ways(source, self._hearing(targets, kind), kind, now_ms)
            return
        draw, first_ms, span_ms = self._dice.random, now_ms + self._low_ms, self._span_ms
        for target in self._hearing(targets, kind):
            way = known.get(target)
            if way is None or way.number is None:
                continue
            at_ms = first_ms + int(draw() * span_ms)
            if at_ms < way.free_at_ms:  # noqa: PLR1730 - `max` is a call for each frame
                at_ms = way.free_at_ms
            way.free_at_ms = at_ms
            yield way, at_ms

    def _uneven_ways(
        self, source: int, targets: Iterable[int], kind: str, now_ms: int
    ) -> Iterator[tuple[Way, int]]:
        """Likewise where some ways are closed, worse or better than others."""
        draw, blocked, lossy, sound = self._dice.random, self.blocked, self.lossy, self._sound
        first_ms, known, options = now_ms + self._low_ms, self._ways[source], self._options
        can_be_sound = source in sound
        for target in targets:
            way = known.get(target)
            if way is None or way.number is None or way.edge in blocked:
                continue
            is_sound = can_be_sound and target in sound
            at_ms = first_ms + int(draw() * (self._sound_span_ms if is_sound else self._span_ms))
            is_lossy = not is_sound and way.edge in lossy
            if is_lossy:
                if draw() < self._loss.get(kind, 0.0):
                    continue
                if options.clog and draw() < options.clog:
                    at_ms += self._dice.randrange(500, 2_500)
            at_ms = way.free_at_ms = max(at_ms, way.free_at_ms)
            yield way, at_ms
            if is_lossy and draw() < options.duplicate:
                yield way, at_ms + self._dice.randrange(1, 3_000)

    def _hearing(self, targets: Iterable[int], kind: str) -> Iterable[int]:
        """Leave out who does not hear this kind of message: full nodes may not."""
        options = self._options
        if options.followers_hear_votes or kind not in {"proposal", "prevote", "precommit"}:
            return targets
        return filter(len(options.powers).__gt__, targets)

    def heal(self, sound: Collection[int]) -> None:
        """Freeze the faults, but make every way between these nodes sound and quick."""
        self._sound = frozenset(sound)
        self.blocked = frozenset(edge for edge in self.blocked if not self._sound.issuperset(edge))
        for one in sound:
            for other, way in self._ways.get(one, {}).items():
                if other in self._sound:
                    way.free_at_ms = 0

    def _way(self, one: int, other: int) -> Way:
        ways = self._ways.setdefault(one, {})
        if other not in ways:
            ways[other] = Way((one, other))
        return ways[other]


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
