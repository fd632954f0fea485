"""In which state is the running or the last run of an environment?

The journal says what a run had begun when its last line was written; hosts say what each node
runs at this moment. Reads only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import arming, founding, history, holders, journal
from aitbc_toolkit.release.history import NOTHING, Place, Record
from aitbc_toolkit.release.occupation import looking
from aitbc_toolkit.release.outcome import fact
from aitbc_toolkit.release.source import SHORT

NodeState = Literal["at the target", "as before", "links changed, not restarted", "down", "other"]

Points = Sequence[Mapping[str, Any]]

_SAID: Mapping[journal.Point, str] = {
    "begun": "begun; perhaps not announced on every host, nothing switched",
    "announced": "announced on every host, nothing switched",
    "gate-begun": "waiting for {nodes}, switched by an earlier attempt",
    "switch-begun": "{place}: switching {nodes}; the host has perhaps done it",
    "switched": "{place}: {nodes} switched and restarted, not through the gate yet",
    "gate-passed": "{nodes} through the gate; passed so far: {passed}",
    "gate-failed": "{nodes} failed the gate; passed so far: {passed}",
    "bake-begun": "watching the canary {nodes}",
    "bake-passed": "the canary {nodes} passed its watch",
    "bake-failed": "the canary {nodes} failed its watch",
    "verify-begun": "all waves passed; the smoke suite had not ended",
    "verified": "all waves passed and the mesh is proved; only the record was missing",
    "return-begun": "going back with {nodes} after: {reason}",
    "returned": "went back with {nodes}; only the record was missing",
    "closing": "ended {outcome}; its record is perhaps not on every host",
    "closed": "closed: {outcome}",
}
_BEFORE_ANYTHING = frozenset({"begun", "announced"})


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Hold what is known of one run; `nodes` is None of a node whose host does not answer.

    `armed` are the hosts whose dead-man's switch still waits, `acted` those whose switch has ended
    by itself since the run began.
    """

    record: Record
    points: Points
    running: bool
    nodes: Mapping[str, NodeState | None]
    armed: Sequence[Mapping[str, Any]] = ()
    acted: Sequence[Mapping[str, Any]] = ()

    @property
    def is_open(self) -> bool:
        """Tell whether its outcome is not known, or left to somebody."""
        return self.record.outcome in history.OPEN or self.doing != "closed"

    @property
    def doing(self) -> str:
        """Give the last point that the run wrote; `closed` where only hosts know of it."""
        return str(self.points[-1]["point"]) if self.points else "closed"

    @property
    def exit(self) -> Exit:
        """Say with a status whether the outcome is known."""
        unknown = self.record.outcome == "unknown" and not self.running
        return Exit.UNKNOWN if unknown else Exit.OK

    def to_document(self) -> dict[str, Any]:
        """Write it for programs."""
        return {
            "run": self.record.id,
            "action": self.record.action,
            "commit": self.record.commit,
            "started": self.record.started,
            "who": self.record.who,
            "outcome": "running" if self.running else self.record.outcome,
            "reason": self.record.reason,
            "point": self.doing,
            "state": said(self.points, self.record),
            "nodes": dict(self.nodes),
            "armed": [dict(each) for each in self.armed],
            "acted": [dict(each) for each in self.acted],
        }

    def to_lines(self) -> list[str]:
        """Write it for people."""
        record, name = self.record, self.record.environment
        word = "running" if self.running else record.outcome
        head = f"{record.action} of {record.commit[:SHORT]} to {name}, {record.started}: {word}"
        lines = [
            head,
            fact("run", f"{record.id} by {record.who}"),
            fact("state", said(self.points, self.record)),
        ]
        if record.reason and not self.running:
            lines.append(fact("reason", record.reason))
        lines += [
            fact(node, state or "unknown, its host does not answer")
            for node, state in self.nodes.items()
        ]
        lines += [fact("switch", arming.said(each)) for each in self.armed]
        if self.is_open:
            lines += [fact("switch", arming.ended(each)) for each in self.acted]
        if self.is_open and not self.running:
            lines.append(f"next: aitbc deploy {name} --resume   # or: aitbc rollback {name}")
        return lines


def inquire(environment: Environment) -> Inquiry | None:
    """Look at the newest run; nothing when there was none, or its chain was wiped since.

    Raises: AitbcError (unreachable) where a lab is down: with its disks went all that it ran.
    """
    with looking(environment, lambda _record: None) as run:
        rows = run.crew.looks()
        run.crew.require_lab(rows)
    answers = {name: row.answer for name, row in rows.items() if row.ok}
    told = {name: each for host in answers.values() for name, each in host["instances"].items()}
    records = [record for host in answers.values() for record in host["records"]]
    record = newest(environment, records)
    if record is None or _is_wiped(environment, answers):
        return None
    points = journal.read(environment, record.id)
    held = any(_works(host["lease"]) for host in answers.values())
    nodes = {name: _state(told.get(name), record, name) for name in record.configs}
    running = held and record.outcome == "unknown"
    acted = arming.acted(answers, since=record.started)
    return Inquiry(record, points, running, nodes, arming.armed(answers), acted)


def open_run(environment: Environment, hosts: Sequence[Mapping[str, Any]]) -> Record | None:
    """Find the newest run, by this machine or by the records of hosts, if it has not ended."""
    record = newest(environment, hosts)
    if record is None:
        return None
    points = journal.read(environment, record.id)
    closed = not points or points[-1]["point"] == "closed"
    return record if record.outcome in history.OPEN or not closed else None


def open_words(environment: Environment, hosts: Sequence[Mapping[str, Any]]) -> str:
    """Name the newest run if it has not ended; empty when it has."""
    record = open_run(environment, hosts)
    if record is None:
        return ""
    return f"{record.action} of {record.commit[:SHORT]}, {record.started}, has not ended"


def _works(lease: Mapping[str, Any]) -> bool:
    """Tell whether somebody holds a host; a lease outlives a killed process of this machine."""
    return bool(lease) and not holders.is_gone(str(lease["process"]))


def _is_wiped(environment: Environment, answers: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether the chain is gone, here and on every host: its runs went with it."""
    everybody = len(answers) == len(environment.hosts)
    known = founding.read(environment) or any(host["records"] for host in answers.values())
    return everybody and not known


def newest(environment: Environment, hosts: Sequence[Mapping[str, Any]]) -> Record | None:
    """Find the newest run that this machine or a host knows of, announced or only begun."""
    begun = [each["record"] for each in journal.begun(environment)]
    known = history.read(environment, hosts=[*begun, *hosts])
    return known[-1] if known else None


def said(points: Points, record: Record) -> str:
    """Say in words how far a run came, from the last thing that it wrote."""
    if not points:
        back = f"; going back after: {record.returning}" if record.returning else ""
        return f"run from another machine; its journal is there{back}"
    again = max(place for place, each in enumerate(points) if each["point"] == "begun")
    fresh = all(each["point"] in _BEFORE_ANYTHING for each in points[again:])
    if fresh and points[again]["resumed"]:
        return f"resumed, nothing done since; before that: {said(points[:again], record)}"
    last = points[-1]
    facts = {**last, "nodes": " ".join(last["nodes"]) or "nobody", "passed": _passed(points)}
    return _SAID[last["point"]].format(**facts)


def _passed(points: Points) -> str:
    return " ".join(journal.names_in(points, "gate-passed")) or "nobody"


def _state(told: Mapping[str, Any] | None, record: Record, name: str) -> NodeState | None:
    """Compare one node, as its host shows it now, with where the run takes it."""
    if told is None:
        return None
    links: Place = (str(told["commit"]), str(told["config"]))
    before = record.previous.get(name, NOTHING)
    if not told["service"]["active"]:
        return "as before" if tuple(before) == NOTHING == links else "down"
    if told["running_commit"] != links[0] or told["running_config"] not in {"", links[1]}:
        return "links changed, not restarted"
    if links == record.places[name]:
        return "at the target"
    return "as before" if links == tuple(before) else "other"
