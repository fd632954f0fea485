"""Which links does a partition cut? A pure algebra over names, for simulated and live meshes alike.

A partition is a value: the set of directed edges that carry nothing. A group is chosen first, by
count, by power or at the edge of a quorum, then turned into edges; what changes over time is a
sequence of such sets. Order in is order out, so whoever wants chance shuffles before. No I/O, and
nothing here knows what a name stands for.
"""

import random
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import TypeVar

N = TypeVar("N", bound=Hashable)

Edges = frozenset[tuple[N, N]]
"""From whom to whom nothing arrives."""
Sides = tuple[tuple[N, ...], tuple[N, ...]]


def split(groups: Iterable[Iterable[N]]) -> Edges[N]:
    """Cut every edge between different groups, both ways."""
    sides = [tuple(group) for group in groups]
    return frozenset(
        (a, b)
        for place, side in enumerate(sides)
        for other, others in enumerate(sides)
        if place != other
        for a in side
        for b in others
    )


def isolate(victim: N, nodes: Iterable[N]) -> Edges[N]:
    """Cut one node off from all others, both ways; of a leader it is `leader_isolated`."""
    return split([[victim], [node for node in nodes if node != victim]])


def apart(nodes: Iterable[N]) -> Edges[N]:
    """Leave every node alone."""
    return split([[node] for node in nodes])


def one_way(sources: Iterable[N], targets: Iterable[N]) -> Edges[N]:
    """Let nothing that the sources say reach the targets; the way back stays."""
    heard = tuple(targets)
    return frozenset((a, b) for a in sources for b in heard if a != b)


def deafen(victim: N, nodes: Iterable[N]) -> Edges[N]:
    """Let one node speak but not hear."""
    return one_way([node for node in nodes if node != victim], [victim])


def mute(victim: N, nodes: Iterable[N]) -> Edges[N]:
    """Let one node hear but not speak."""
    return one_way([victim], [node for node in nodes if node != victim])


def ring(nodes: Iterable[N]) -> Edges[N]:
    """Let each node reach only its two neighbours in a ring."""
    return _beyond(tuple(nodes), reach=1)


def majorities_ring(nodes: Iterable[N], quorum: int) -> Edges[N]:
    """Let each node see a quorum around itself in a ring, and no two of them the same one.

    Raises: ValueError where a node that sees so many sees them all.
    """
    order = tuple(nodes)
    reach = quorum // 2
    if 2 * reach + 1 >= len(order):
        raise ValueError(f"with {len(order)} nodes whoever sees {quorum} around itself sees all")
    return _beyond(order, reach=reach)


def bridge(left: Iterable[N], between: N, right: Iterable[N]) -> Edges[N]:
    """Part two groups that one node between them still reaches."""
    groups = [[node for node in side if node != between] for side in (left, right)]
    return split(groups)


def by_count(nodes: Sequence[N], counts: Sequence[int]) -> tuple[tuple[N, ...], ...]:
    """Cut an order of nodes into groups of these sizes.

    Raises: ValueError when the sizes do not add up, or one is not positive.
    """
    if sum(counts) != len(nodes) or min(counts, default=0) < 1:
        raise ValueError(f"groups of {list(counts)} do not make {len(nodes)} nodes")
    ends = list(accumulate(counts))
    return tuple(tuple(nodes[end - count : end]) for end, count in zip(ends, counts, strict=True))


def by_power(powers: Mapping[N, int], parts: Sequence[Fraction]) -> tuple[tuple[N, ...], ...]:
    """Cut an order of nodes into groups whose shares of all power come nearest to these parts.

    Raises: ValueError when the parts are not a whole, or a group would be empty.
    """
    if sum(parts) != 1 or min(parts) <= 0:
        raise ValueError(f"the parts {', '.join(map(str, parts))} do not make a whole")
    nodes, total = list(powers), sum(powers.values())
    held = [0, *accumulate(powers.values())]
    wanted = [part * total for part in accumulate(parts)]
    cuts = [min(range(len(held)), key=lambda at: abs(held[at] - aim)) for aim in wanted[:-1]]
    bounds = [0, *cuts, len(nodes)]
    return by_count(nodes, [after - before for before, after in pairwise(bounds)])


def minority(powers: Mapping[N, int]) -> Sides[N]:
    """Take as much power away as still leaves a quorum: (who is lost, who goes on).

    Raises: ValueError where the loss of anybody stops the rest.
    """
    total = sum(powers.values())
    return _taken(powers, lambda power: 3 * power < total)


def quorum_edge(powers: Mapping[N, int]) -> Sides[N]:
    """Gather as much power as is still no quorum: (who just fails, the others)."""
    total = sum(powers.values())
    return _taken(powers, lambda power: 3 * power <= 2 * total)


def majority(powers: Mapping[N, int]) -> Sides[N]:
    """Gather more than half of the power, but no quorum: (that majority, the others).

    Raises: ValueError where there is no such majority in this order.
    """
    many, others = quorum_edge(powers)
    if 2 * sum(powers[node] for node in many) <= sum(powers.values()):
        raise ValueError("no group holds more than half of the power and is no quorum")
    return many, others


def flapping(edges: Edges[N], times: int) -> tuple[Edges[N], ...]:
    """Cut and heal the same edges so many times; the last state is whole."""
    return (edges, frozenset()) * times


def swizzle(nodes: Sequence[N], dice: random.Random) -> tuple[Edges[N], ...]:
    """Cut off a random part one by one, then heal them in another order; the last state is whole.

    Source: the swizzle-clogging of FoundationDB's simulation.
    """
    victims = dice.sample(list(nodes), dice.randrange(1, len(nodes)))
    healed = dice.sample(victims, len(victims))
    downs = [victims[: at + 1] for at in range(len(victims))]
    ups = [healed[at + 1 :] for at in range(len(victims))]
    return tuple(
        frozenset().union(*(isolate(victim, nodes) for victim in down)) for down in [*downs, *ups]
    )


def components(nodes: Iterable[N], edges: Edges[N]) -> tuple[tuple[N, ...], ...]:
    """Find who still forms a mesh: groups linked, over whatever way, by pairs that hear each other.

    Shape: in the order of the nodes, and so is each group.
    """
    left = list(nodes)
    found = []
    while left:
        group, seen = [left[0]], 0
        while seen < len(group):
            one = group[seen]
            seen += 1
            group += [
                other
                for other in left
                if other not in group and not {(one, other), (other, one)} & edges
            ]
        found.append(tuple(node for node in left if node in group))
        left = [node for node in left if node not in group]
    return tuple(found)


def _beyond(order: Sequence[N], *, reach: int) -> Edges[N]:
    """Cut whoever is farther away in the ring than so many steps."""
    count = len(order)
    return frozenset(
        (order[i], order[j])
        for i in range(count)
        for j in range(count)
        if min((i - j) % count, (j - i) % count) > reach
    )


def _taken(powers: Mapping[N, int], allows: Callable[[int], bool]) -> Sides[N]:
    """Take each node, in order, that the sum of powers still allows.

    Raises: ValueError when one of the sides would be empty.
    """
    taken: list[N] = []
    power = 0
    for node, own in powers.items():
        if allows(power + own):
            taken.append(node)
            power += own
    rest = tuple(node for node in powers if node not in taken)
    if not taken or not rest:
        raise ValueError(f"{len(powers)} nodes cannot be parted that way")
    return tuple(taken), rest
