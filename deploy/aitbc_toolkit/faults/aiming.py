"""Which fault do the words of a command line mean? Names and groups in, a fault out; pure.

A bar parts groups: `v1 v2 | v3 v4`. Without one, each node that is named is parted from all others.
"""

import random
from collections.abc import Callable, Mapping, Sequence

from aitbc_sim import edges as algebra
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.faults import kinds, targets
from aitbc_toolkit.faults.kinds import KINDS, Fault, Range, Value
from aitbc_toolkit.faults.targets import Seen

_BAR = "|"
_CUT = "aitbc chaos run net.cut 'v1 | v2 v3'"
_SHAPES: Mapping[str, Callable[[Sequence[str], Mapping[str, int]], algebra.Edges[str]]] = {
    "apart": lambda nodes, _: algebra.apart(nodes),
    "majority": lambda _, powers: algebra.split(algebra.majority(powers)),
    "majorities-ring": lambda nodes, _: algebra.majorities_ring(nodes, 2 * len(nodes) // 3 + 1),
    "minority": lambda _, powers: algebra.split(algebra.minority(powers)),
    "quorum-edge": lambda _, powers: algebra.split(algebra.quorum_edge(powers)),
    "ring": lambda nodes, _: algebra.ring(nodes),
}
SHAPES = tuple(_SHAPES)


def aim(
    kind: str,
    words: Sequence[str],
    seen: Seen,
    *,
    lease_s: float,
    shape: str = "",
    settings: Sequence[str] = (),
    seed: int = 0,
) -> Fault:
    """Make the fault that is meant, and judge it.

    Raises: UsageError; AitbcError when a word means nobody now.
    """
    dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
    parameters = _parameters(kind, settings)
    parts = _parts(words)
    fault = Fault(kind=kind, lease_s=lease_s, parameters=parameters)
    if kind in KINDS and KINDS[kind].hits == "nodes":
        if len(parts) > 1 or shape:
            raise UsageError(f"{kind} hits nodes: no groups and no shape", hint=targets.WORDS)
        fault = Fault(
            kind=kind,
            lease_s=lease_s,
            parameters=parameters,
            targets=targets.resolve(parts[0], seen, dice),
        )
    elif kind in KINDS:
        direction = str(parameters.get("direction", "both"))
        groups = [targets.resolve(part, seen, dice) for part in parts if part]
        fault = Fault(
            kind=kind,
            lease_s=lease_s,
            parameters=parameters,
            edges=_edges(groups, seen, shape=shape, direction=direction),
        )
    kinds.judge(fault)
    return fault


def _parts(words: Sequence[str]) -> list[list[str]]:
    """Read the groups; a bar may stand alone or inside a word that the shell kept whole."""
    text = " ".join(words)
    return [part.split() for part in text.split(_BAR)]


def _edges(
    groups: Sequence[Sequence[str]], seen: Seen, *, shape: str, direction: str
) -> algebra.Edges[str]:
    everyone = list(seen.powers)
    if shape:
        nodes = [name for group in groups for name in group] or everyone
        powers = {name: seen.powers[name] for name in nodes if seen.powers[name]}
        try:
            return _SHAPES[shape](nodes, powers)
        except ValueError as impossible:
            raise UsageError(f"shape {shape}: {impossible}", hint=_CUT) from impossible
    if not groups:
        raise UsageError("who is parted from whom?", hint=_CUT)
    named = [name for group in groups for name in group]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise UsageError(f"{' '.join(twice)} cannot be on two sides", hint=_CUT)
    if len(groups) == 1:
        groups = [groups[0], [name for name in everyone if name not in named]]
        if direction == "both":
            return frozenset().union(*(algebra.isolate(name, everyone) for name in named))
    match direction:
        case "a_to_b" | "initiate_only":
            return algebra.one_way(groups[0], groups[1])
        case "b_to_a":
            return algebra.one_way(groups[1], groups[0])
        case _:
            return algebra.split(groups)


def _parameters(kind: str, settings: Sequence[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    known = KINDS[kind].parameters if kind in KINDS else {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(f"{setting!r}: a setting is NAME=VALUE", hint="--set percent=20")
        if isinstance(known.get(name), Range):
            try:
                found[name] = float(value) if "." in value else int(value)
            except ValueError:
                raise UsageError(
                    f"{kind} {name}={value}: that is no number", hint="aitbc chaos kinds"
                ) from None
        else:
            found[name] = value
    return found
