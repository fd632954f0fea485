"""Which hosts does a fault between nodes part, and who is hit at all? Pure; no host is asked.

A host is told by address, so two nodes of one host cannot be told apart by what comes from there.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aitbc_sim import edges as algebra
from aitbc_toolkit import neighbours
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.faults import kinds
from aitbc_toolkit.faults.kinds import Fault
from aitbc_toolkit.inventory import Environment

Edges = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Cap:
    """Bound what may be broken at a time: nodes, power in percent; and minutes of one fault."""

    nodes: int = 1_000
    power_percent: float = 100.0
    minutes: float = 10.0


@dataclass(frozen=True, slots=True)
class Radius:
    """Say whom a fault hits: by name, and the power of all of them."""

    nodes: tuple[str, ...]
    power: int
    power_total: int

    @property
    def percent(self) -> float:
        """Give the share of all power."""
        return 100 * self.power / max(self.power_total, 1)

    def __str__(self) -> str:
        """Write it for people."""
        who = f"{len(self.nodes)} node{'' if len(self.nodes) == 1 else 's'}"
        return f"{who} with {self.power} of {self.power_total} power ({self.percent:.0f} %)"


def between_hosts(environment: Environment, edges: Edges) -> Edges:
    """Turn edges between nodes into edges between their hosts.

    Raises: UsageError for an unknown node; AitbcError (refused) where a host has several nodes and
    the edge is not cut for all of them.
    """
    host_of = {each.name: each.host for each in environment.instances}
    for name in sorted({name for edge in edges for name in edge} - set(host_of)):
        environment.instance(name)
    lifted = frozenset((host_of[a], host_of[b]) for a, b in edges)
    for source, target in sorted(lifted, key=lambda edge: edge[0] != edge[1]):
        whole = {
            (a.name, b.name)
            for a in environment.on(source)
            for b in environment.on(target)
            if a != b
        }
        if source == target:
            names = " ".join(each.name for each in environment.on(source))
            raise _refused(f"{names} share host {source}: no packet between them leaves it")
        if not whole <= edges:
            free = " ".join("-".join(edge) for edge in sorted(whole - edges))
            raise _refused(f"{source} and {target} have several nodes, and {free} would be cut too")
    return lifted


def radius(environment: Environment, fault: Fault, *, beside: Collection[str] = ()) -> Radius:
    """Say whom a fault hits: its targets, or who is left outside the strongest part.

    Whom other faults hit, `beside` it, is counted in.
    """
    powers = {each.name: each.power for each in environment.instances}
    hit = fault.targets
    if fault.edges:
        hit = _outside(powers, fault.edges)
    hit = tuple(dict.fromkeys([*hit, *(name for name in beside if name in powers)]))
    return Radius(hit, sum(powers[name] for name in hit), sum(powers.values()))


def allow(environment: Environment) -> None:
    """Refuse to break hosts whose inventory does not say that they may be.

    Raises: AitbcError (denied).
    """
    if not environment.rules.chaos_allowed:
        raise AitbcError(
            f"chaos {environment.name} refused: its inventory does not allow it",
            hint=f"inventories/{environment.name}/inventory.toml: chaos_allowed = true",
            exit_status=Exit.DENIED,
        )


def spare_neighbours(environment: Environment, fault: Fault) -> None:
    """Refuse what another environment on the same hosts would feel, unless that may be broken, too.

    On a machine that is nobody's alone a fault hits nothing but the nodes of its own mesh.
    Raises: AitbcError (denied).
    """
    if not kinds.is_wide(fault.kind):
        return
    names = {*fault.targets, *(name for edge in fault.edges for name in edge)}
    hosts = {environment.instance(name).host for name in names}
    ours = {name for name in hosts if environment.host(name).manager == "systemd"}
    if not ours:
        return
    for host, others in neighbours.sharing(environment).items():
        spared = [each.name for each in others if not each.rules.chaos_allowed]
        if host in ours and spared:
            raise AitbcError(
                f"{fault.about} refused: {host} carries {' '.join(spared)}, too, "
                "whose inventory does not allow it",
                hint=f"inventories/{spared[0]}/inventory.toml: chaos_allowed = true",
                exit_status=Exit.DENIED,
            )


def judge(
    environment: Environment, fault: Fault, cap: Cap, *, beside: Collection[str] = ()
) -> Radius:
    """Refuse a fault where none is allowed, or one that hits more than the cap.

    What is broken `beside` it, by other faults or as its host is silent, counts as well.
    Raises: AitbcError (denied, refused), UsageError for an unknown node.
    """
    for name in fault.targets:
        environment.instance(name)
    allow(environment)
    hit = radius(environment, fault, beside=beside)
    over = [
        f"{asked:g} {what}, allowed {allowed:g}"
        for what, asked, allowed in (
            ("nodes hit", len(hit.nodes), cap.nodes),
            ("% of the power hit", round(hit.percent, 1), cap.power_percent),
            ("minutes of lease", round(fault.lease_s / 60, 2), cap.minutes),
        )
        if asked > allowed
    ]
    if over:
        more = f" (with {' '.join(sorted(beside))} broken already)" if beside else ""
        raise _refused(f"{fault.about} hits more than the cap: {'; '.join(over)}{more}")
    return hit


def _outside(powers: Mapping[str, int], edges: Edges) -> tuple[str, ...]:
    """Name the nodes that the strongest part has lost, and who hears or is heard less."""
    parts = algebra.components(powers, edges)
    strongest = max(parts, key=lambda part: (sum(powers[name] for name in part), len(part)))
    if len(parts) > 1:
        return tuple(name for name in powers if name not in strongest)
    # All still form one mesh: the fewest whose edges are all of it.
    touched = [name for name in powers if any(name in edge for edge in edges)]
    alone = next((name for name in touched if all(name in edge for edge in edges)), None)
    return (alone,) if alone else tuple(touched)


def _refused(why: str) -> AitbcError:
    return AitbcError(
        f"chaos refused: {why}", hint="aitbc chaos run --help", exit_status=Exit.REFUSED
    )
