"""In which order do nodes change, and how much voting power may be missing meanwhile?

A plan is a list of waves, each a list of node names, worked out from what was observed. Pure; the
same inputs give the same plan.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Instance
from aitbc_toolkit.release.gates import quorum


@dataclass(frozen=True, slots=True)
class Seen:
    """Say what the mesh looked like before anything changed."""

    active: frozenset[str]
    voting: frozenset[str]
    height: int
    proposer: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold the waves; `stalls` says that the mesh stops making blocks on the way.

    The waves of `by_turn` may change places: each is one validator of a live mesh, and the one
    whose next proposal is farthest away goes first.
    """

    waves: tuple[tuple[str, ...], ...]
    stalls: bool
    by_turn: frozenset[str] = frozenset()


def plan(
    environment: Environment, changed: Collection[str], seen: Seen, *, allow_stall: bool
) -> Plan:
    """Order the nodes that change: those that are down, then full nodes, then validators.

    Raises: AitbcError (refused) when a wave would leave two thirds of the power or less.
    """
    chosen = [each for each in environment.instances if each.name in changed]
    live = _is_live(environment, seen)
    if not live and seen.active and seen.height > 0 and not allow_stall and not _all(environment):
        raise _stalled(environment, seen)
    if not live or _all(environment):
        return Plan(_waves([[each.name for each in chosen]]), stalls=live)
    down = [each for each in chosen if each.name not in seen.active]
    full = [each for each in chosen if each.role == "full" and each not in down]
    validators = [each for each in chosen if each.role == "validator" and each not in down]
    # The next proposer comes last: until then somebody else may have had the turn.
    validators.sort(key=lambda each: each.name == seen.proposer)
    stalling = [each for each in validators if not _spares(environment, seen, each, down)]
    if stalling and not allow_stall:
        raise _refused(environment, seen, stalling[0], down)
    names = [[each.name for each in wave] for wave in (down, full)]
    order = _waves([*names, *([each.name] for each in validators)])
    by_turn = frozenset(each.name for each in validators if not stalling)
    return Plan(order, stalls=bool(stalling), by_turn=by_turn)


def power(environment: Environment, names: Collection[str]) -> int:
    """Sum the voting power of the named nodes."""
    return sum(each.power for each in environment.instances if each.name in names)


def total(environment: Environment) -> int:
    """Sum the voting power of all nodes."""
    return sum(each.power for each in environment.instances)


def _all(environment: Environment) -> bool:
    return environment.profile.rollout == "all"


def _waves(groups: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(group) for group in groups if group)


def _is_live(environment: Environment, seen: Seen) -> bool:
    return quorum(power(environment, seen.voting), total(environment))


def _spares(
    environment: Environment, seen: Seen, instance: Instance, down: Sequence[Instance]
) -> bool:
    """Tell whether the mesh goes on without this node; those brought up before it count."""
    others = {*seen.voting, *(each.name for each in down)} - {instance.name}
    return quorum(power(environment, others), total(environment))


def _refused(
    environment: Environment, seen: Seen, instance: Instance, down: Sequence[Instance]
) -> AitbcError:
    whole = total(environment)
    back = {each.name for each in down}
    others = sorted({*seen.voting, *back} - {instance.name})
    silent = [each.name for each in environment.validators if each.name not in seen.voting | back]
    needed = 2 * whole // 3 + 1
    lines = [
        f"deploy {environment.name} refused: restarting {instance.name} would stop the mesh",
        f"  voting power     total {whole}, quorum is more than 2/3: at least {needed}",
        f"  voting now       {_sum(environment, sorted(seen.voting))}",
        f"  during its wave  {_sum(environment, others)}, below {needed}",
        "  changed so far   nothing, on no host",
    ]
    stall = f"aitbc deploy {environment.name} --allow-stall   # accepts a stop of some seconds"
    if silent:
        lines.insert(3, f"  not voting       {' '.join(silent)}")
        first = f"aitbc node start {silent[0]} -e {environment.name}"
        hint = f"{first}   # then deploy again\n{stall}"
    else:
        lines.insert(1, f"  {len(environment.validators)} validators bear no fault; 4 bear one")
        hint = stall
    return AitbcError("\n".join(lines), hint=hint, exit_status=Exit.REFUSED)


def _stalled(environment: Environment, seen: Seen) -> AitbcError:
    whole = total(environment)
    return AitbcError(
        f"deploy {environment.name} refused: the mesh makes no blocks\n"
        f"  voting now       {_sum(environment, sorted(seen.voting))} of {whole}\n"
        "  changed so far   nothing, on no host",
        hint=f"aitbc network status -e {environment.name}\n"
        f"aitbc deploy {environment.name} --allow-stall   # restarts every node at once",
        exit_status=Exit.REFUSED,
    )


def _sum(environment: Environment, names: Sequence[str]) -> str:
    return f"{' '.join(names) or 'nobody'} = {power(environment, names)}"
