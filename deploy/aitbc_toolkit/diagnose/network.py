"""What is wrong with a mesh, a sentence for each trouble, and what helps against it?

Pure: from one `Sight`. A trouble is told once, where it comes from: of a host that is not reached,
not of each of its nodes. Do not ask anybody here.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aitbc_node.rpc import schema
from aitbc_toolkit import identity
from aitbc_toolkit.asking import Silence
from aitbc_toolkit.diagnose.finding import (
    Finding,
    Level,
    Topic,
    counted,
    status_of,
    worst_first,
)
from aitbc_toolkit.diagnose.sight import Sight
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.overview import NodeRow, Verdict
from aitbc_toolkit.release import clocks, state
from aitbc_toolkit.remote import Row

_SHORT = 12
# What rules about one node say that nothing else here does: their topic and how bad it is.
_ALERTS: Mapping[str, tuple[Topic, Level]] = {
    "ClockOff": ("clock", "fail"),
    "DiskNearlyFull": ("disk", "warn"),
    "DiskRefuses": ("disk", "fail"),
    "MempoolNearlyFull": ("mempool", "warn"),
    "NodeDiverged": ("chain", "fail"),
    "PeersFew": ("peers", "warn"),
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Hold what was found, worst first, beside what every node showed."""

    sight: Sight
    findings: tuple[Finding, ...]

    @property
    def exit(self) -> Exit:
        """Tell a fault from a mesh of which nothing is known."""
        rows = self.sight.hosts.values()
        silent = all(isinstance(each, Silence) for each in self.sight.told.values())
        is_known = not silent or any(row.ok for row in rows)
        return status_of(self.findings, is_known=is_known)

    @property
    def count(self) -> str:
        """Sum up in a few words."""
        return counted(self.findings)

    def to_document(self) -> dict[str, Any]:
        """Write the one document of `--json`."""
        sight = self.sight
        return {
            "schema": 1,
            "environment": sight.environment.name,
            "verdict": sight.seen.verdict,
            "findings": [asdict(each) for each in self.findings],
            "nodes": [node(sight, row) for row in sight.seen.nodes],
        }


def node(sight: Sight, row: NodeRow) -> dict[str, Any]:
    """Put together what one node and its host showed; None is *not told*."""
    told, metrics = sight.told[row.name], sight.metrics[row.name]
    status = told if isinstance(told, schema.Status) else None
    used, skew = metrics.get("aitbc_disk_used_ratio"), metrics.get("aitbc_clock_skew_seconds")
    return {
        "name": row.name,
        "host": row.host,
        "host_answers": sight.hosts[row.host].ok,
        "height": row.height,
        "lag": row.lag,
        "peers": row.peers,
        "genesis": status.genesis_hash if status else None,
        "commit": status.commit if status else None,
        "reaches_power": status.reachable_power if status else None,
        "total_power": status.total_power if status else None,
        "host_clock_ms": sight.clocks_ms.get(row.host),
        "clock_skew_s": skew,
        "disk_used_pct": None if used is None else round(100 * used, 1),
        "state": row.state,
    }


def diagnose(sight: Sight) -> Diagnosis:
    """Judge what was told; what stops the mesh comes before what only may."""
    first = [
        *_hosts(sight),
        *_reach(sight),
        *_chains(sight),
        *_keys(sight),
        *_blocks(sight),
        *_votes(sight),
        *_releases(sight),
    ]
    rules = [rule for rule in _rules(sight) if not any(_tells(each, rule) for each in first)]
    return Diagnosis(sight, worst_first([*first, *rules]))


def _tells(found: Finding, rule: Finding) -> bool:
    """Tell whether a rule's finding is told: of this node or its host, and as no smaller thing."""
    is_about = found.host == rule.host and found.node in {"", rule.node}
    return is_about and found.topic == rule.topic and found.level in {"fail", rule.level}


def _hosts(sight: Sight) -> Iterator[Finding]:
    """Tell of hosts that are not reached, and of what a deploy would be refused for on others."""
    for name, row in sight.hosts.items():
        if not row.ok:
            yield _lost(sight, name, row)
            continue
        for check in row.answer["checks"]:
            if check["state"] == "fail":
                topic: Topic = "disk" if check["item"] == "disk" else "host"
                says = f"host {name}: {check['evidence']}"
                yield Finding("fail", topic, "", name, says, check["hint"])
        yield from _clock(sight, name)


def _lost(sight: Sight, name: str, row: Row) -> Finding:
    """Tell of a host that cannot be asked, and which of its nodes are as silent."""
    silent = [
        each.name
        for each in sight.environment.on(name)
        if isinstance(sight.told[each.name], Silence)
    ]
    why = row.error.partition("\n")[0].removeprefix("unreachable: ")
    says = f"host {name} cannot be asked: {why}"
    says += f"; no answer from {' '.join(silent)} on it" if silent else "; its nodes answer"
    hint = sight.mends.get(name) or row.hint or f"aitbc preflight {sight.environment.name}"
    return Finding("fail", "host", "", name, says, hint)


def _clock(sight: Sight, name: str) -> Iterator[Finding]:
    offset = sight.clocks_ms.get(name, 0)
    level = clocks.state(offset)
    if level == "pass":
        return
    says = f"the clock of host {name} is {clocks.words(offset)}"
    hint = f"timedatectl set-ntp true   # on {name}"
    yield Finding("fail" if level == "fail" else "warn", "clock", "", name, says, hint)


def _reach(sight: Sight) -> Iterator[Finding]:
    """Tell of nodes that do not answer while their host does, which knows why."""
    name = sight.environment.name
    for each in sight.environment.instances:
        told, row = sight.told[each.name], sight.hosts[each.host]
        if not isinstance(told, Silence) or not row.ok:
            continue
        here = row.answer["instances"][each.name]
        if here["service"]["active"]:
            says = f"{each.name} runs on {each.host} and does not answer: {told.reason}"
            hint = f"aitbc node logs {each.name} -e {name}"
        else:
            says = f"{each.name} does not run on {each.host} ({here['service']['word']})"
            start = f"aitbc node start {each.name} -e {name}"
            hint = start if here["commit"] else f"aitbc deploy {name}"
        yield Finding("fail", "reach", each.name, each.host, says, hint)


def _chains(sight: Sight) -> Iterator[Finding]:
    """Tell of nodes of another chain, which all others refuse, and of ones in another's place."""
    environment, up = sight.environment, _up(sight)
    hashes = Counter(each.genesis_hash for each in up.values())
    most = max(hashes, key=hashes.__getitem__, default="")
    ours = identity.own_genesis(environment) or most
    for name, status in up.items():
        host = environment.instance(name).host
        if status.genesis_hash != ours:
            theirs = status.genesis_hash[:_SHORT]
            says = f"{name} is of another chain: its genesis is {theirs}, ours is {ours[:_SHORT]};"
            says += " the others refuse its links"
            hint = f"aitbc genesis check {environment.name}"
            yield Finding("fail", "chain", name, host, says, hint)
        elif why := identity.stranger(environment, name, status):
            says = f"what answers in the place of {name} is {why}"
            yield Finding("fail", "chain", name, host, says, f"ss -ltnp   # on {host}")


def _keys(sight: Sight) -> Iterator[Finding]:
    """Tell of one key in two places, and of validators of the inventory without a vote."""
    holders: dict[str, list[str]] = {}
    for name, status in _up(sight).items():
        if status.validator and status.node == name:
            holders.setdefault(status.validator, []).append(name)
    environment = sight.environment
    for names in holders.values():
        if len(names) > 1:
            says = f"{' and '.join(names)} sign with one key: it will be slashed"
            hint = f"aitbc node stop {names[-1]} -e {environment.name}"
            yield Finding(
                "fail", "key", names[-1], environment.instance(names[-1]).host, says, hint
            )
    for row in sight.seen.nodes:
        if row.role == "validator" and row.height and not row.power:
            says = f"{row.name} is a validator by the inventory, and its key has no vote"
            hint = f"aitbc validator list -e {environment.name}"
            yield Finding("warn", "key", row.name, row.host, says, hint)


def _blocks(sight: Sight) -> Iterator[Finding]:
    """Tell of what concerns the chain as a whole: a fork, a split, a halt."""
    seen, name = sight.seen, sight.environment.name
    if seen.verdict is Verdict.FORKED:
        hint = f"aitbc drift {name}   # keep the data of all nodes: it is evidence"
        yield Finding("fail", "chain", "", "", seen.findings[0], hint)
    for side in seen.sides:
        if not side.quorum:
            only = side.nodes[0] if len(side.nodes) == 1 else ""
            host = sight.environment.instance(only).host if only else ""
            hint = f"aitbc network topology -e {name}   # then the firewalls between them"
            yield Finding("fail", "partition", only, host, side.to_line(), hint)
    if seen.verdict is Verdict.STALLED:
        power = f"{seen.voting_power} of {seen.total_power} power votes, {seen.needed_power} needed"
        since = f" for {seen.silent_ms / 1000:.0f} s" if seen.silent_ms is not None else ""
        hint = f"aitbc node start {seen.down[0]} -e {name}" if seen.down else f"aitbc status {name}"
        yield Finding("fail", "blocks", "", "", f"no block{since}: {power}", hint)


def _votes(sight: Sight) -> Iterator[Finding]:
    """Tell of nodes that answer and do not do their part, unless the whole mesh stands."""
    for row in sight.seen.nodes:
        if row.height is None or row.is_well or row.cut_off or row.stale:
            continue
        behind = f", {row.lag:,} blocks behind" if row.lag else ""
        hint = f"aitbc node logs {row.name} -e {sight.environment.name}"
        says = f"{row.name} on {row.host}: {row.state}{behind}"
        yield Finding("fail", "votes", row.name, row.host, says, hint)


def _releases(sight: Sight) -> Iterator[Finding]:
    """Tell of nodes of another release than most, and of those that a planned upgrade will stop."""
    up, again = _up(sight), f"aitbc deploy {sight.environment.name}"
    commits = Counter(status.commit for status in up.values())
    most = max(commits, key=commits.__getitem__, default="")
    for name, status in up.items():
        if status.commit != most:
            says = (
                f"{name} runs {status.commit[:_SHORT]}, {commits[most]} others run {most[:_SHORT]}"
            )
            host = sight.environment.instance(name).host
            yield Finding("warn", "release", name, host, says, again)
    upgrade = state.planned(up)
    for name in upgrade.lacking if upgrade else ():
        assert upgrade is not None, "only of one that is planned"
        says = (
            f"{name} stops at height {upgrade.height:,}: its release lacks the rules from there on"
        )
        yield Finding("warn", "release", name, sight.environment.instance(name).host, says, again)


def _rules(sight: Sight) -> Iterator[Finding]:
    """Tell what the alert rules see in nodes' metrics, and who tells none."""
    environment = sight.environment
    for alert in sight.alerts:
        if alert.name in _ALERTS and alert.node:
            topic, level = _ALERTS[alert.name]
            host = environment.instance(alert.node).host
            hint = f"docs/alerts.md#{alert.name.lower()}"
            yield Finding(level, topic, alert.node, host, alert.summary, hint)
    for row in sight.seen.nodes:
        if row.height is not None and len(sight.metrics[row.name]) <= 1:
            says = f"{row.name} tells no metrics: its clock, disk and memory pool are not known"
            hint = f"aitbc node metrics {row.name} -e {environment.name}"
            yield Finding("n.a.", "metrics", row.name, row.host, says, hint)


def _up(sight: Sight) -> dict[str, schema.Status]:
    return {name: each for name, each in sight.told.items() if isinstance(each, schema.Status)}
