"""How is the mesh, seen from all of its nodes at one moment? One row each, and one verdict.

Everything is read live. A node that does not answer is a row with the reason and no values; state
roots are compared at one common height. Do not print here.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from itertools import pairwise

from aitbc_node.rpc import schema
from aitbc_toolkit import stalling
from aitbc_toolkit.asking import MeshClient, Silence
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment, Instance
from aitbc_toolkit.sides import Side, ask_sides

LAG_MAX = 1
VOTE_LAG_MAX = 3

PACE_BLOCKS = 20


class Verdict(StrEnum):
    """Sum up a mesh in a word; all but `ok` mean that something is wrong."""

    OK = "ok"
    DEGRADED = "degraded"
    PARTITIONED = "partitioned"
    STALLED = "stalled"
    FORKED = "forked"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class NodeRow:
    """Show one node; None stands for *not known*, and `state` is a word with its reason."""

    name: str
    host: str
    role: str
    power: int
    state: str
    voting: bool = False
    height: int | None = None
    lag: int | None = None
    round: int | None = None
    peers: int | None = None
    state_root: str | None = None
    commit: str | None = None
    version: str | None = None
    last_voted_height: int | None = None
    mempool: int | None = None
    block_age_ms: int | None = None
    stale: bool = False
    cut_off: bool = False
    is_down: bool = False

    @property
    def is_well(self) -> bool:
        """Tell whether the node does what its role owes the mesh."""
        return self.voting if self.role == "validator" else self.state == "at tip"


@dataclass(frozen=True, slots=True)
class Pace:
    """Show how the newest blocks came."""

    blocks: int
    interval_p50_ms: int
    interval_p95_ms: int
    extra_rounds: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Hold the rows, and what follows from them; `sides` is empty while nobody is cut off."""

    environment: str
    verdict: Verdict
    height_spread: int
    common_height: int | None
    voting_power: int
    total_power: int
    nodes: tuple[NodeRow, ...]
    pace: Pace | None
    findings: tuple[str, ...]
    sides: tuple[Side, ...] = ()

    @property
    def down(self) -> tuple[str, ...]:
        """Name the nodes whose machine answers while nobody listens there."""
        return tuple(row.name for row in self.nodes if row.is_down)

    @property
    def silent_ms(self) -> int | None:
        """Tell for how long nobody has made a block, where too little power votes to make one."""
        ages = [row.block_age_ms for row in self.nodes if row.block_age_ms is not None]
        return min(ages, default=None) if self.voting_power < self.needed_power else None

    @property
    def needed_power(self) -> int:
        """Return the least power that is more than two thirds."""
        return 2 * self.total_power // 3 + 1

    def to_json(self) -> dict[str, object]:
        """Return the one document of `--json`."""
        more = {"needed_power": self.needed_power, "silent_ms": self.silent_ms}
        return {**asdict(self), **more}


def look(environment: Environment, mesh: MeshClient) -> Overview:
    """Ask every node, and judge."""
    told = mesh.ask_all(lambda node: node.status())
    up = {name: each for name, each in told.items() if isinstance(each, schema.Status)}
    common = min((each.height for each in up.values()), default=None)
    roots = _roots(mesh, common)
    tip = max((each.height for each in up.values()), default=0)
    stalled = stalling.is_stalled(up.values(), environment.chain.block_interval_ms)
    powers, total = _powers(environment, mesh, up)
    down = _power_down(told, powers, total)
    rows = tuple(
        _row(
            replace(each, power=powers[each.name]),
            told[each.name],
            tip=tip,
            root=roots.get(each.name),
            stalled=stalled,
            down=down,
        )
        for each in environment.instances
    )
    voting = sum(row.power for row in rows if row.voting)
    sides = ask_sides(mesh, up) if any(row.cut_off for row in rows) else ()
    return Overview(
        environment=environment.name,
        verdict=_verdict(rows, roots, stalled=stalled or _lacks_power(up.values(), down)),
        height_spread=tip - common if common is not None else 0,
        common_height=common,
        voting_power=voting,
        total_power=total,
        nodes=rows,
        pace=_pace(mesh, tip) if up else None,
        findings=tuple(_findings(rows, roots, common, sides)),
        sides=sides,
    )


def _roots(mesh: MeshClient, height: int | None) -> Mapping[str, str]:
    """Read the state root of one height from every node that can tell it."""
    if height is None:
        return {}
    told = mesh.ask_all(lambda node: node.state_root(height).state_root)
    return {name: root for name, root in told.items() if isinstance(root, str)}


def _powers(
    environment: Environment, mesh: MeshClient, up: Mapping[str, schema.Status]
) -> tuple[dict[str, int], int]:
    """Give each node's voting power and that of the whole set, as the chain has them now.

    The inventory says with how much the chain was founded: it is believed of nodes that are silent,
    whose key nobody tells, and of all where none tells who votes.
    """
    founded = {each.name: each.power for each in environment.instances}
    try:
        told = mesh.ask_any(lambda node: node.validators()) if up else None
    except AitbcError:
        told = None
    if told is None:
        return founded, sum(founded.values())
    by_key = {each.key: each.power for each in told.validators}
    now = {name: by_key.get(each.validator or "", 0) for name, each in up.items()}
    return founded | now, told.total_power


def _power_down(
    told: Mapping[str, schema.Status | Silence], powers: Mapping[str, int], total: int
) -> int:
    """Sum the power of what is down: where nobody else is silent, all that nobody who runs has."""
    silent = {name: each for name, each in told.items() if isinstance(each, Silence)}
    down = [name for name, each in silent.items() if each.is_down]
    lacking = total - sum(power for name, power in powers.items() if name not in silent)
    if down and len(down) == len(silent):
        return lacking
    return min(lacking, sum(powers[name] for name in down))


def _is_cut_off(status: schema.Status, down: int) -> bool:
    """Tell whether more voting power is out of a node's reach than the power that is down."""
    return status.stale and status.reachable_power + down < status.total_power


def _lacks_power(statuses: Iterable[schema.Status], down: int) -> bool:
    """Tell whether no block can be made because too much power is down, and none is cut off."""
    told = list(statuses)
    return bool(told) and all(each.stale and not _is_cut_off(each, down) for each in told)


def _row(
    instance: Instance,
    told: schema.Status | Silence,
    *,
    tip: int,
    root: str | None,
    stalled: bool,
    down: int,
) -> NodeRow:
    known = (instance.name, instance.host, instance.role, instance.power)
    if isinstance(told, Silence):
        return NodeRow(*known, state=told.state, is_down=told.is_down)
    lag = tip - told.height
    votes = instance.role == "validator" and told.last_voted_height >= tip - VOTE_LAG_MAX
    moves = not stalled and not told.stale and told.height > 0
    voting = votes and lag <= VOTE_LAG_MAX and moves
    return NodeRow(
        *known,
        state=_state(told, instance.role, lag=lag, voting=voting, stalled=stalled, down=down),
        voting=voting,
        height=told.height,
        lag=lag,
        round=told.round,
        peers=told.peers,
        state_root=root,
        commit=told.commit,
        version=told.version,
        last_voted_height=told.last_voted_height,
        mempool=told.mempool,
        block_age_ms=told.block_age_ms,
        stale=told.stale,
        cut_off=_is_cut_off(told, down),
    )


def _state(
    status: schema.Status, role: str, *, lag: int, voting: bool, stalled: bool, down: int
) -> str:
    if status.stale:
        word = "cut off" if _is_cut_off(status, down) else "no quorum"
        return f"{word}, reaches power {status.reachable_power} of {status.total_power}"
    if status.trouble and not voting:
        return f"in trouble ({status.trouble})"
    if lag > VOTE_LAG_MAX or status.syncing:
        return "catching up"
    if stalled:
        return f"waiting, last block {status.block_age_ms / 1000:.1f} s ago"
    if role != "validator":
        return "at tip"
    return "voting" if voting else "not voting"


def _verdict(rows: Sequence[NodeRow], roots: Mapping[str, str], *, stalled: bool) -> Verdict:
    if all(row.height is None for row in rows):
        return Verdict.DOWN
    if len(set(roots.values())) > 1:
        return Verdict.FORKED
    if any(row.cut_off for row in rows):
        return Verdict.PARTITIONED
    if stalled:
        return Verdict.STALLED
    return Verdict.OK if all(row.is_well for row in rows) else Verdict.DEGRADED


def _findings(
    rows: Sequence[NodeRow],
    roots: Mapping[str, str],
    common: int | None,
    sides: Sequence[Side],
) -> Iterable[str]:
    """Say in words what is wrong, worst first."""
    if len(set(roots.values())) > 1:
        told = ", ".join(f"{name} {root[:12]}" for name, root in roots.items())
        yield f"state roots differ at height {common:,}: {told}"
    yield from (side.to_line() for side in sides)
    for row in rows:
        if not row.is_well:
            yield f"{row.name} on {row.host}: {row.state}"
    for row in rows:
        if row.height is not None and row.name not in roots:
            yield f"{row.name} could not tell its state root of height {common:,}"


def _pace(mesh: MeshClient, tip: int) -> Pace | None:
    """Measure the newest blocks, by the median times in their headers."""
    first = max(1, tip - PACE_BLOCKS + 1)
    try:
        blocks = mesh.ask_any(lambda node: node.blocks(first, PACE_BLOCKS))
    except AitbcError:
        return None  # a measure of comfort: the rows say already who does not answer
    gaps = sorted(after.time_ms - before.time_ms for before, after in pairwise(blocks))
    if not gaps:
        return None
    return Pace(
        blocks=len(blocks),
        interval_p50_ms=int(statistics.median(gaps)),
        interval_p95_ms=gaps[min(len(gaps) - 1, len(gaps) * 95 // 100)],
        extra_rounds=sum(block.round for block in blocks),
    )
