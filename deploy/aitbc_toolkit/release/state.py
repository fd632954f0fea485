"""What runs in an environment now, by its hosts and by its nodes? Reads only, both sides named.

An unreachable host or node is a row that says so, never a value from before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from aitbc_node.rpc import schema
from aitbc_toolkit import stalling
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import arming, founding, history
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.history import Place, Record
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.source import SHORT
from aitbc_toolkit.remote import Hosts

# What the local supervisor and systemd call a service that nothing keeps running.
_AT_REST = frozenset({"stopped", "dead"})


@dataclass(frozen=True, slots=True)
class NodeRow:
    """Hold one node as its host and as it itself shows it; None is *did not answer*."""

    name: str
    host: str
    role: str
    release: str | None
    service: str
    height: int | None
    voted: int | None
    state: str
    data_version: int | None = None


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Say from which height on the chain has other rules, and which nodes do not know them."""

    height: int
    app_version: int
    lacking: Sequence[str]


@dataclass(frozen=True, slots=True)
class State:
    """Hold an environment at one moment.

    `reached`: every node has what the last run was to give it, whatever that run itself came to.
    `armed` are the hosts whose dead-man's switch still waits, `acted` those whose switch has ended
    by itself since the last run began.
    """

    environment: str
    nodes: Sequence[NodeRow]
    votes: int
    validators: int
    last: Record | None
    reached: bool
    armed: Sequence[Mapping[str, Any]] = ()
    acted: Sequence[Mapping[str, Any]] = ()
    upgrade: Upgrade | None = None

    @property
    def is_silent(self) -> bool:
        """Tell whether no host and no node answered."""
        return all(row.service == "unknown" and row.height is None for row in self.nodes)

    def to_document(self) -> dict[str, Any]:
        """Write the state for programs."""
        return {
            "environment": self.environment,
            "votes": self.votes,
            "validators": self.validators,
            "armed": [dict(each) for each in self.armed],
            "acted": [dict(each) for each in self.acted],
            "upgrade": None if self.upgrade is None else asdict(self.upgrade),
            "nodes": [
                {field: getattr(row, field) for field in NodeRow.__slots__} for row in self.nodes
            ],
            "last": None
            if self.last is None
            else {
                "action": self.last.action,
                "commit": self.last.commit,
                "outcome": self.last.outcome,
                "started": self.last.started,
                "reached": self.reached,
            },
        }

    def to_lines(self) -> list[str]:
        """Write the state for people."""
        head = f"{'NODE':<6} {'HOST':<10} {'ROLE':<10} {'RELEASE':<13} {'SERVICE':<10} "
        lines = [head + f"{'HEIGHT':>8} {'VOTED':>8}  STATE"]
        for row in self.nodes:
            release = (row.release or "-")[:SHORT]
            height = f"{row.height:,}" if row.height is not None else "-"
            voted = f"{row.voted:,}" if row.voted else "-"
            lines.append(
                f"{row.name:<6} {row.host:<10} {row.role:<10} {release:<13} {row.service:<10} "
                f"{height:>8} {voted:>8}  {row.state}"
            )
        lines += ["", f"{self.environment}: {self.votes} of {self.validators} validators vote"]
        lines += [*self._data_lines(), *self._upgrade_lines()]
        if all(row.height is None for row in self.nodes):
            lines.append(f"next: aitbc deploy {self.environment}   # starts what is down")
        elif stopped := [row.name for row in self.nodes if row.service in _AT_REST]:
            lines += self._start_lines(stopped[0])
        lines += [f"dead-man's switch {arming.said(each)}" for each in self.armed]
        return lines + self._last_lines()

    @property
    def _is_open(self) -> bool:
        """Tell whether the last run has neither ended nor been made up for."""
        last = self.last
        return last is not None and last.outcome in history.OPEN and not self.reached

    def _start_lines(self, name: str) -> list[str]:
        """Say how a stopped node starts; an open run comes first, and says itself what is next."""
        if self._is_open:
            return []
        if self.armed:
            return [f"next: aitbc deploy status {self.environment}"]
        return [f"next: aitbc node start {name} -e {self.environment}"]

    def _data_lines(self) -> list[str]:
        """Say in which version the data of nodes are; several are a finalize that was cut short."""
        by_version: dict[int, list[str]] = {}
        for row in self.nodes:
            if row.data_version is not None:
                by_version.setdefault(row.data_version, []).append(row.name)
        told = ", ".join(f"{each} on {' '.join(by_version[each])}" for each in sorted(by_version))
        lines = [f"data version: {told}"] if told else []
        if len(by_version) > 1:
            lines.append(f"next: aitbc release finalize {self.environment}   # all in the newest")
        return lines

    def _upgrade_lines(self) -> list[str]:
        """Say what the validators have planned, and what follows for whom."""
        if self.upgrade is None:
            return []
        height, version = self.upgrade.height, self.upgrade.app_version
        lines = [f"upgrade: rules of version {version} from height {height:,} on"]
        if self.upgrade.lacking:
            names = " ".join(self.upgrade.lacking)
            stop = "stops" if len(self.upgrade.lacking) == 1 else "stop"
            lines.append(
                f"next: aitbc deploy {self.environment}   # without it {names} {stop} there"
            )
        return lines

    def _last_lines(self) -> list[str]:
        """Say how the last run ended; of one that did not, whether a later one made up for it."""
        last = self.last
        if last is None:
            return []
        line = f"last {last.action}: {last.commit[:SHORT]}, {last.outcome}, {last.started}"
        if last.outcome not in history.OPEN:
            return [line]
        acted = [f"dead-man's switch {arming.ended(each)}" for each in self.acted]
        if last.outcome == "unknown":
            return [line, *acted, f"next: aitbc deploy status {self.environment}"]
        if self.reached:
            return [f"{line}; every node runs it now"]
        lines = [line, *acted, f"next: aitbc deploy {self.environment} --resume   # goes on"]
        if last.action == "deploy":
            lines.append(f"      aitbc rollback {self.environment}   # goes back")
        return lines


def look(environment: Environment) -> State:
    """Ask every host and every node, now. Raises: AitbcError (unreachable) where a lab is down."""
    with Hosts(environment) as remote, Mesh(environment) as mesh:
        crew = Crew(environment, remote)
        seen = crew.looks()
        statuses = mesh.statuses()
        strangers = mesh.strangers
        if not any(statuses.values()):
            crew.require_lab(seen)
    answers = {name: row.answer for name, row in seen.items() if row.ok}
    told = {name: each for host in answers.values() for name, each in host["instances"].items()}
    votes = voting_now(environment, statuses)
    rows = [
        _row(each.name, environment, told.get(each.name), statuses[each.name], votes=votes)
        for each in environment.instances
    ]
    rows = [replace(row, state=strangers.get(row.name, row.state)) for row in rows]
    founded = founding.read(environment)
    known = history.read(environment, genesis_hash=founded.hash) if founded else []
    last = known[-1] if known else None
    reached = last is not None and all(
        _has(told.get(name), place) for name, place in last.places.items()
    )
    return State(
        environment.name,
        rows,
        len(votes),
        len(environment.validators),
        last,
        reached,
        arming.armed(answers),
        arming.acted(answers, since=last.started) if last else [],
        planned(statuses),
    )


def planned(statuses: Mapping[str, schema.Status | None]) -> Upgrade | None:
    """Find what the node farthest ahead knows of an upgrade; who tells no version is not named."""
    told = {name: status for name, status in statuses.items() if status is not None}
    newest = max(told.values(), key=lambda status: status.height, default=None)
    if newest is None or newest.upgrade is None:
        return None
    version = newest.upgrade.app_version
    lacking = [name for name, status in told.items() if 0 < status.app_version_max < version]
    return Upgrade(newest.upgrade.height, version, lacking)


def history_lines(name: str, known: Sequence[Record]) -> list[str]:
    """Write the records of an environment as a table."""
    if not known:
        return [f"{name} has no deploys yet"]
    lines = [
        f"{'N':>3} {'STARTED':<20} {'ACTION':<8} {'COMMIT':<12} {'OUTCOME':<11} {'TOOK':>7}  BY"
    ]
    genesis = known[0].genesis_hash
    for each in known:
        if each.genesis_hash != genesis:
            genesis = each.genesis_hash
            lines.append(f"--- another chain began, genesis {genesis[:12]}")
        lines.append(
            f"{each.number:>3} {each.started:<20} {each.action:<8} {each.commit[:SHORT]:<12} "
            f"{each.outcome:<11} {each.took_s:>5.1f} s  {each.who}"
        )
        if each.reason:
            lines.append(f"    {each.reason}")
    return lines


def _has(told: Mapping[str, Any] | None, place: Place) -> bool:
    """Tell whether a node runs a release, its configuration too."""
    if told is None or not told["service"]["active"] or told["service"]["orphan"]:
        return False
    return (told["running_commit"], told["config"]) == place


def voting_now(
    environment: Environment, statuses: Mapping[str, schema.Status | None]
) -> Sequence[str]:
    """List who votes in a mesh that makes blocks; where it makes none, nobody does."""
    up = {name: status for name, status in statuses.items() if status is not None}
    if stalling.is_stalled(up.values(), environment.chain.block_interval_ms):
        return []
    return [name for name in voting(environment, statuses) if not up[name].stale]


def _row(
    name: str,
    environment: Environment,
    told: Mapping[str, Any] | None,
    status: schema.Status | None,
    *,
    votes: Sequence[str],
) -> NodeRow:
    instance = environment.instance(name)
    if status is None:
        state = "unreachable"
    elif name in votes:
        state = "voting"
    elif status.stale:
        state = f"no quorum, reaches power {status.reachable_power} of {status.total_power}"
    elif status.syncing:
        state = "syncing"
    else:
        state = "at tip" if instance.role == "full" else "not voting"
    return NodeRow(
        name=name,
        host=instance.host,
        role=instance.role,
        release=(str(told["running_commit"] or told["commit"]) if told else None) or None,
        service=str(told["service"]["word"]) if told else "unknown",
        height=status.height if status else None,
        voted=status.last_voted_height if status else None,
        state=state,
        data_version=status.data_version if status else None,
    )
