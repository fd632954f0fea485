"""In which order do nodes change, and how much voting power may be missing meanwhile?

An order is a list of waves, each a list of node names, worked out from what was observed. Pure; the
same inputs give the same order.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Instance
from aitbc_toolkit.release.gates import quorum
from aitbc_toolkit.release.powers import Powers

Wave = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """Say what the mesh looked like before anything changed."""

    active: frozenset[str]
    voting: frozenset[str]
    height: int
    powers: Powers
    data_versions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """Hold the waves; `stalls` says that the mesh stops making blocks on the way.

    `at_once` says that there is no quorum to keep, or that the profile does not ask for it.
    The waves of `by_turn` may change places: each is one validator of a live mesh, and the one
    whose next proposal is farthest away goes first. A validator of `silent` runs and does not vote;
    it goes before those who do, each alone, so that the mesh has one more of them then. After the
    first `canary` waves the run waits and watches; 0 for no such pause.
    """

    waves: tuple[Wave, ...]
    stalls: bool
    at_once: bool = False
    by_turn: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    canary: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """Hold the voting power that is up before a wave and while its nodes are down."""

    wave: Wave
    before: int
    during: int
    total: int

    @property
    def goes_on(self) -> bool:
        """Tell whether the mesh makes blocks meanwhile."""
        return quorum(self.during, self.total)

    @property
    def sum(self) -> str:
        """Write the sum that decides."""
        sign = ">" if self.goes_on else "<="
        return f"3*{self.during} = {3 * self.during} {sign} 2*{self.total} = {2 * self.total}"


def order(
    environment: Environment,
    changed: Collection[str],
    seen: Seen,
    *,
    allow_stall: bool,
    canary: int = 0,
    verb: Literal["deploy", "rollback"] = "deploy",
) -> Order:
    """Order the nodes that change: who does not vote goes first, for that costs no voting power.

    Nodes that are down, validators that run and do not vote, full nodes, then who votes. The gate
    of a wave lets nobody follow before its validators vote, so they count from then on. `verb` is
    what is refused; `canary` counts the nodes that go first and are watched for a while.
    Raises: AitbcError (refused) when a wave would leave two thirds of the power or less.
    """
    chosen = [each for each in environment.instances if each.name in changed]
    live = quorum(seen.powers.sum(seen.voting), seen.powers.total)
    if not live and seen.active and seen.height > 0 and not allow_stall and not _all(environment):
        raise _stalled(verb, environment, seen)
    if not live and canary:
        raise _no_canary(environment)
    if not live or _all(environment):
        everybody = _waves([[each.name for each in chosen]])
        whole = _with_canary(Order(everybody, stalls=False, at_once=True), canary)
        sums = budgets(seen.powers, whole.waves, seen.voting)
        return replace(whole, stalls=live and not all(each.goes_on for each in sums))
    down = [each for each in chosen if each.name not in seen.active]
    up = [each for each in chosen if each not in down]
    full = [each for each in up if each.role == "full"]
    silent = [each for each in up if each not in full and each.name not in seen.voting]
    validators = [each for each in up if each.name in seen.voting]
    back = [*down, *silent]
    stalling = [each for each in validators if not _spares(seen, each, back)]
    if stalling and not allow_stall:
        raise _refused(f"{verb} {environment.name}", environment, seen, stalling[0], back)
    names = [[each.name for each in down], *([each.name] for each in silent)]
    names += [[each.name for each in full], *([each.name] for each in validators)]
    whole = Order(
        _waves(names),
        stalls=bool(stalling),
        by_turn=frozenset(each.name for each in validators if not stalling),
        silent=frozenset(each.name for each in silent),
    )
    return _with_canary(whole, canary)


def budgets(powers: Powers, waves: Sequence[Wave], voting: Collection[str]) -> list[Budget]:
    """Add up for each wave who votes; a node that has changed counts from then on."""
    up, found = set(voting), []
    for wave in waves:
        found.append(Budget(wave, powers.sum(up), powers.sum(up - set(wave)), powers.total))
        up |= set(wave)
    return found


def diagnosis(environment: str, name: str) -> str:
    """Name the command that says why a validator does not vote, and what helps."""
    return f"aitbc diagnose consensus -e {environment}   # why {name} does not vote, and what helps"


def one_by_one(order: Order, names: Collection[str]) -> Order:
    """Let each of these nodes be a wave of its own, so that it fails alone."""
    found: list[Wave] = []
    for wave in order.waves:
        alone = [(name,) for name in wave if name in names]
        rest = tuple(name for name in wave if name not in names)
        found += [*alone, *([rest] if rest else [])]
    return replace(order, waves=tuple(found))


def _all(environment: Environment) -> bool:
    return environment.profile.rollout == "all"


def _waves(groups: Sequence[Sequence[str]]) -> tuple[Wave, ...]:
    return tuple(tuple(group) for group in groups if group)


def _with_canary(whole: Order, nodes: int) -> Order:
    """Let the first nodes go in waves of their own; the wave that they end in is cut there."""
    first: list[Wave] = []
    rest = list(whole.waves)
    while nodes > 0 and rest:
        wave = rest.pop(0)
        first.append(wave[:nodes])
        if wave[nodes:]:
            rest.insert(0, wave[nodes:])
        nodes -= len(first[-1])
    return replace(whole, waves=(*first, *rest), canary=len(first) if rest else 0)


def _spares(seen: Seen, instance: Instance, back: Sequence[Instance]) -> bool:
    """Tell whether the mesh goes on without this node; those brought back before it count."""
    others = {*seen.voting, *(each.name for each in back)} - {instance.name}
    return quorum(seen.powers.sum(others), seen.powers.total)


def _refused(
    what: str, environment: Environment, seen: Seen, instance: Instance, back: Sequence[Instance]
) -> AitbcError:
    powers = seen.powers
    votes = seen.voting | {each.name for each in back}
    others = sorted(votes - {instance.name})
    silent = [each.name for each in environment.validators if each.name not in votes]
    (budget,) = budgets(powers, [(instance.name,)], votes)
    lines = [
        f"{what} refused: restarting {instance.name} would stop the mesh",
        f"  voting power     {powers.written()}",
        f"  voting now       {_sum(powers, sorted(seen.voting))}",
        f"  during its wave  {_sum(powers, others)}, below {powers.needed}: {budget.sum}",
        "  changed so far   nothing, on no host",
    ]
    stall = f"aitbc {what} --allow-stall   # accepts a stop of some seconds"
    if silent:
        lines.insert(3, f"  not voting       {' '.join(silent)}")
        first = f"aitbc node start {silent[0]} -e {environment.name}   # then again"
        if silent[0] in seen.active:
            first = f"{diagnosis(environment.name, silent[0])}; then again"
        hint = f"{first}\n{stall}"
    else:
        lines.insert(1, f"  {len(environment.validators)} validators bear no fault; 4 bear one")
        hint = stall
    return AitbcError("\n".join(lines), hint=hint, exit_status=Exit.REFUSED)


def _stalled(verb: str, environment: Environment, seen: Seen) -> AitbcError:
    return AitbcError(
        f"{verb} {environment.name} refused: the mesh makes no blocks\n"
        f"  voting now       {_sum(seen.powers, sorted(seen.voting))} of {seen.powers.total}\n"
        "  changed so far   nothing, on no host",
        hint=f"aitbc network status -e {environment.name}\n"
        f"aitbc {verb} {environment.name} --allow-stall   # restarts every node at once",
        exit_status=Exit.REFUSED,
    )


def _no_canary(environment: Environment) -> AitbcError:
    return AitbcError(
        f"deploy {environment.name} refused: a canary needs a mesh that makes blocks\n"
        "  changed so far   nothing, on no host",
        hint=f"aitbc deploy {environment.name}   # all nodes at once",
        exit_status=Exit.REFUSED,
    )


def _sum(powers: Powers, names: Sequence[str]) -> str:
    return f"{' '.join(names) or 'nobody'} = {powers.sum(names)}"
