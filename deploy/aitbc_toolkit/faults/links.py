"""Which hosts does a fault between nodes part, and who is hit at all? Pure; no host is asked.

A host is told by address, so two nodes of one host cannot be told apart by what comes from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aitbc_sim import edges as algebra
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.faults.kinds import Fault
from aitbc_toolkit.inventory import Environment

Edges = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Cap:
    """Bound what one fault may hit: nodes, power in percent, and minutes."""

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


def radius(environment: Environment, fault: Fault) -> Radius:
    """Say whom a fault hits: its targets, or who is left outside the strongest part."""
    powers = {each.name: each.power for each in environment.instances}
    hit = fault.targets
    if fault.edges:
        hit = _outside(powers, fault.edges)
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


def judge(environment: Environment, fault: Fault, cap: Cap) -> Radius:
    """Refuse a fault where none is allowed, or one that hits more than the cap.

    Raises: AitbcError (denied, refused), UsageError for an unknown node.
    """
    for name in fault.targets:
        environment.instance(name)
    allow(environment)
    hit = radius(environment, fault)
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
        raise _refused(f"{fault.about} hits more than the cap: {'; '.join(over)}")
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
