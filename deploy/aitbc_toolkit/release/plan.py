"""What would a deploy change, in which order, and what would it cost? A document with a hash.

The same facts give the same bytes, so the hash names exactly this plan. Nothing here asks a host;
`preview` puts a plan together.
"""

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aitbc_toolkit.release.floor import Floor
from aitbc_toolkit.release.history import Place
from aitbc_toolkit.release.outcome import counted, fact, seconds
from aitbc_toolkit.release.request import Settled
from aitbc_toolkit.release.source import SHORT, Revision
from aitbc_toolkit.release.waves import Budget, Order, Seen, Wave

FORMAT = 1

_PATCH_CONTEXT = 2
_FACTS = {"active": "nodes that run", "voting": "nodes that vote", "running": "commits that run"}


@dataclass(frozen=True, slots=True)
class NodePlan:
    """Say what becomes of one node; a configuration hash that is empty is made while staging."""

    name: str
    host: str
    role: str
    power: int
    old: Place
    new: Place
    changes: bool
    diff: str

    def to_document(self) -> dict[str, Any]:
        """Write it as the plan's document holds it."""
        return {
            "name": self.name,
            "host": self.host,
            "role": self.role,
            "power": self.power,
            "old": {"commit": self.old[0], "config": self.old[1]},
            "new": {"commit": self.new[0], "config": self.new[1]},
            "changes": self.changes,
            "diff": self.diff,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold everything that a deploy is going to do, and the facts that it follows from.

    `open_run` names a run before it that has not ended, `seen` is the mesh as it was found; they
    are no part of the plan and its hash.
    """

    environment: str
    ref: str
    revision: Revision
    genesis_hash: str
    nodes: tuple[NodePlan, ...]
    order: Order
    budgets: tuple[Budget, ...]
    choice: Settled
    floor: Floor
    facts: Mapping[str, Any]
    seen: Seen
    open_run: str = ""

    @property
    def pending(self) -> list[str]:
        """List the nodes that change."""
        return [each.name for each in self.nodes if each.changes]

    @property
    def targets(self) -> dict[str, Place]:
        """Say where each chosen node is after it."""
        return {each.name: each.new for each in self.nodes}

    @property
    def is_whole(self) -> bool:
        """Tell whether every configuration is known: keys that are not made yet have no hash."""
        return all(each.new[1] for each in self.nodes)

    @property
    def hash(self) -> str:
        """Name the plan by its bytes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Write the document.

        Shape: JSON with sorted keys and no spaces; no time, no height, nothing that moves by
        itself, so that the same facts give the same bytes.
        """
        return json.dumps(self.to_document(), sort_keys=True, separators=(",", ":")).encode()

    def to_document(self) -> dict[str, Any]:
        """Write the plan for programs."""
        return {
            "format": FORMAT,
            "environment": self.environment,
            "ref": self.ref,
            "commit": self.revision.commit,
            "subject": self.revision.subject,
            "snapshot": self.revision.snapshot,
            "genesis_hash": self.genesis_hash,
            "nodes": [each.to_document() for each in self.nodes],
            "waves": [_wave_document(each, self.order) for each in self.budgets],
            "canary_waves": self.order.canary,
            "stalls": self.order.stalls,
            "choice": self.choice.to_document(),
            "floor": self.floor.to_document(),
            "facts": dict(self.facts),
        }

    def to_lines(self) -> list[str]:
        """Write the plan for people."""
        head = f"Plan {self.hash[:SHORT]} for {self.environment}: {self.revision.short}"
        genesis = self.genesis_hash[:SHORT] or "made by this deploy"
        lines = [f"{head} ({self.revision.subject})", fact("genesis", genesis)]
        if self.open_run:
            lines.append(fact("but", f"an earlier run, {self.open_run}"))
        if not self.pending:
            return [*lines, fact("pending", "nothing: every node runs what it should")]
        lines += ["", *self._node_lines(), "", *self._wave_lines(), ""]
        lines += [*self._cost_lines(), fact("facts", _facts_text(self.facts))]
        lines.append(fact("data", _data_text(self.facts["data_versions"])))
        return [*lines, *self._diff_lines()]

    def _node_lines(self) -> list[str]:
        lines = [f"  {'NODE':<6} {'HOST':<10} {'ROLE':<10} {'RELEASE':<28} CONFIGURATION"]
        for each in self.nodes:
            if not each.changes:
                change = f"{each.new[0][:SHORT]}, stays"
            elif each.old[0] == each.new[0]:
                change = f"{each.new[0][:SHORT]}, restarted"
            else:
                change = f"{each.old[0][:SHORT] or 'nothing'} -> {each.new[0][:SHORT]}"
            same = each.new[1] and each.old[1] == each.new[1]
            config = "same" if same else (each.new[1] or "made when staged")
            lines.append(f"  {each.name:<6} {each.host:<10} {each.role:<10} {change:<28} {config}")
        return lines

    def _wave_lines(self) -> list[str]:
        lines = [f"  {'WAVE':<5} {'NODES':<20} {'POWER':<12} 3*UP AGAINST 2*TOTAL"]
        for number, each in enumerate(self.budgets, start=1):
            goes = "goes on" if each.goes_on else "no blocks meanwhile"
            power = f"{each.before} -> {each.during} of {each.total}"
            lines.append(f"  {number:<5} {' '.join(each.wave):<20} {power:<12} {each.sum}: {goes}")
            if number == self.order.canary:
                lines.append(f"        then {self.choice.bake_s} s of watching, the canary's bake")
        if len(self.order.by_turn) > 1:
            lines.append("  single validators: each when its next turn to propose is farthest away")
        return lines

    def _cost_lines(self) -> list[str]:
        lines = [fact("floor", self.floor.text)]
        if self.order.stalls:
            stall = (
                f"no blocks for {seconds(self.floor.stall_ms)} at least in each wave that stops it"
            )
            lines.append(fact("stall", stall))
        return lines

    def _diff_lines(self) -> list[str]:
        """Show each different change of configuration once, with the nodes that it is for."""
        by_text: dict[str, list[str]] = {}
        for each in self.nodes:
            if each.diff:
                by_text.setdefault(each.diff, []).append(each.name)
        lines = []
        for text, names in by_text.items():
            lines += ["", f"configuration of {' '.join(names)}", *text.splitlines()]
        return lines


def diff(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Write what changes between two sets of files as one unified diff."""
    lines: list[str] = []
    for name in sorted({*old, *new}):
        lines += difflib.unified_diff(
            old.get(name, "").splitlines(),
            new.get(name, "").splitlines(),
            f"now/{name}",
            f"planned/{name}",
            lineterm="",
            n=_PATCH_CONTEXT,
        )
    return "\n".join(lines)


def moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say in words what is different between two plans' documents."""
    found = [
        f"{key}: {_short(old.get(key))} -> {_short(new.get(key))}"
        for key in sorted({*old, *new} - {"nodes", "waves", "floor", "facts"})
        if old.get(key) != new.get(key)
    ]
    was, now = old.get("facts", {}), new.get("facts", {})
    found += [
        f"{_FACTS.get(key, key)}: {_short(was.get(key))} -> {_short(now.get(key))}"
        for key in sorted({*was, *now})
        if was.get(key) != now.get(key)
    ]
    before = {each["name"]: each for each in old["nodes"]}
    for each in new["nodes"]:
        planned = before.get(each["name"], each)
        found += [
            f"{each['name']}: {field} {_short(planned[field])} -> {_short(each[field])}"
            for field in ("old", "new", "changes")
            if planned[field] != each[field]
        ]
    if not found and old["waves"] != new["waves"]:
        found.append(f"waves: {_names(old['waves'])} -> {_names(new['waves'])}")
    return found or ["the configuration or the measured restart"]


def _wave_document(budget: Budget, order: Order) -> dict[str, Any]:
    return {
        "nodes": list(budget.wave),
        "before": budget.before,
        "during": budget.during,
        "total": budget.total,
        "goes_on": budget.goes_on,
        "by_turn": _by_turn(budget.wave, order),
    }


def _by_turn(wave: Wave, order: Order) -> bool:
    return wave[0] in order.by_turn


def _names(waves: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(" ".join(each["nodes"]) for each in waves)


def _facts_text(facts: Mapping[str, Any]) -> str:
    hosts = counted(len(facts["hosts"]), "host")
    up, votes = len(facts["active"]), len(facts["voting"])
    return f"told by {hosts}; up: {counted(up, 'node')}; voting: {counted(votes, 'validator')}"


def _data_text(versions: Sequence[int]) -> str:
    if not versions:
        return "no node runs that could tell its version"
    written = " and ".join(map(str, versions))
    return f"version {written} now; a release that does not read it is refused before wave 1"


def _short(value: Any) -> str:
    if isinstance(value, Mapping) and set(value) == {"commit", "config"}:
        return f"{value['commit'][:SHORT] or 'nothing'}/{value['config'][:6] or '-'}"
    match value:
        case bool():
            text = "yes" if value else "no"
        case [*names]:
            text = " ".join(map(str, names)) or "none"
        case Mapping() if all(isinstance(each, str) for each in value.values()):
            text = " ".join(f"{name} {each[:SHORT] or 'nothing'}" for name, each in value.items())
        case str():
            text = value
        case _:
            text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - one line of a refusal
