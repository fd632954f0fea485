"""Does every host still have what was deployed to it? Each difference, with its evidence.

Compares what hosts tell (`hostside.drifting`) with the newest healthy record and with what the
inventory renders. Reads only; `restage` puts back what was edited and keeps a copy of the edits.
"""

import difflib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import configuring, founding, history, inquiry, masking, permission
from aitbc_toolkit.release.history import Record
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.outcome import Outcome, fact
from aitbc_toolkit.release.progress import Tell, duration, step
from aitbc_toolkit.release.source import SHORT
from aitbc_toolkit.remote import Hosts, Row
from aitbc_toolkit.render import Configuration

Rendered = Mapping[str, Configuration]


@dataclass(frozen=True, slots=True)
class Difference:
    """Name one thing that is not as it should be; `node` is empty for what nodes share."""

    host: str
    node: str
    kind: str
    what: str
    diff: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Hold everything that was found, and whom nobody could ask; `open_run` has not ended."""

    environment: str
    commit: str
    differences: Sequence[Difference]
    unreachable: Mapping[str, str]
    hosts: int
    open_run: str = ""

    @property
    def exit(self) -> Exit:
        """Tell a difference from a host that said nothing."""
        if self.differences:
            return Exit.PENDING
        return Exit.UNREACHABLE if self.unreachable else Exit.OK

    def to_document(self) -> dict[str, Any]:
        """Write the one document of `--json`."""
        return {
            "environment": self.environment,
            "commit": self.commit,
            "differences": [
                {field: getattr(each, field) for field in Difference.__slots__}
                for each in self.differences
            ],
            "unreachable": dict(self.unreachable),
            "open_run": self.open_run,
        }

    def to_lines(self) -> list[str]:
        """Write it for people: a line for each difference, its patch below it."""
        lines = []
        for each in self.differences:
            lines.append(f"{each.host:<10} {each.node or '-':<6} {each.kind:<12} {each.what}")
            lines += [f"    {line}" for line in each.diff.splitlines()]
        lines += [
            f"{name:<10} {'-':<6} unreachable  {why}" for name, why in self.unreachable.items()
        ]
        count, asked = len(self.differences), self.hosts - len(self.unreachable)
        where = f"{asked} of {self.hosts} hosts asked"
        told = f"{count} difference{'' if count == 1 else 's'}" if count else "nothing differs"
        release = self.commit[:SHORT] or "nothing was deployed yet"
        return [*lines, f"{self.environment} ({release}): {told}, {where}", *self._next_lines()]

    def _next_lines(self) -> list[str]:
        down = [each.node for each in self.differences if each.kind == "service"]
        if self.open_run:
            return [
                f"  but an earlier run, {self.open_run}",
                f"next: aitbc deploy status {self.environment}",
            ]
        return [f"next: aitbc node start {down[0]} -e {self.environment}"] if down else []


def look(environment: Environment, *, only: str = "") -> Report:
    """Ask every host, or the named one, and compare.

    Raises: UsageError for a host that the environment does not have.
    """
    named = [environment.host(only).name] if only else [each.name for each in environment.hosts]
    with Hosts(environment) as remote:
        rows = Crew(environment, remote).look("drift", named)
    told = {name: row.answer for name, row in rows.items() if row.ok}
    record = _record(environment, told)
    rendered = _rendered(environment, record)
    found = [
        each
        for name, answer in told.items()
        for each in differences(name, answer, record=record, rendered=rendered)
    ]
    return Report(
        environment=environment.name,
        commit=record.commit if record else "",
        differences=found,
        unreachable={name: row.error for name, row in rows.items() if not row.ok},
        hosts=len(named),
        open_run=inquiry.open_words(environment, _records(told)),
    )


def restage(environment: Environment, tell: Tell, *, only: str = "") -> Outcome:
    """Put back on hosts what was edited there; the edits are kept, and no node is restarted."""
    permission.require(environment, "operate", subject="restage")
    began = time.monotonic()
    named = [environment.host(only).name] if only else [each.name for each in environment.hosts]
    record = history.newest_healthy(history.read(environment))
    rendered = _rendered(environment, record)
    with (
        at_work(environment, tell, reason="restage", decides=False) as run,
        step(tell, "restage", " ".join(named)) as now,
    ):
        rows = run.crew.restage(named, rendered)
        run.crew.require(rows, verb="restage", changed="see aitbc drift", status=Exit.FAILED)
        done = _restaged(rows)
        now.say(f"{len(done)} put back" if done else "nothing was edited")
    took_s = time.monotonic() - began
    lines = [
        fact(host, f"{each['what']}" + (f", edits kept in {each['kept']}" if each["kept"] else ""))
        for host, each in done
    ]
    hosts = sorted({host for host, _ in done})
    if not done:
        lines = [f"Nothing to do: no host of {environment.name} has edits"]
    else:
        lines.append(f"Restaged on {' '.join(hosts)}, no node was restarted, {duration(took_s)}")
        lines.append("next: aitbc node restart NAME   # where edited code was already loaded")
    return Outcome(Exit.OK, lines, changed=hosts, took_s=took_s, facts={"restaged": len(done)})


def differences(
    host: str, told: Mapping[str, Any], *, record: Record | None, rendered: Rendered
) -> Iterator[Difference]:
    """Compare what one host tells with what it should have; no I/O."""
    for commit, release in told["releases"].items():
        if release["changed"]:
            more = f" and {release['more']} more" if release["more"] else ""
            what = f"release {commit[:SHORT]}: {', '.join(release['changed'])}{more}"
            yield Difference(host, "", "edited", what, masking.masked(release["diff"]))
    for venv, found in told["venvs"].items():
        for each in found:
            yield Difference(host, "", "environment", f"{venv}: {each}")
    for name, node in told["instances"].items():
        if record is not None and name in record.places:
            yield from _node(host, name, node, record=record, rendered=rendered.get(name))


def _node(
    host: str,
    name: str,
    node: Mapping[str, Any],
    *,
    record: Record,
    rendered: Configuration | None,
) -> Iterator[Difference]:
    wanted = record.places[name][0]
    if node["commit"] != wanted:
        there = node["commit"][:SHORT] or "no release"
        yield Difference(host, name, "commit", f"points at {there}, deployed was {wanted[:SHORT]}")
    if not node["active"]:
        yield Difference(host, name, "service", f"does not run ({node['word']})")
    elif node["running_commit"] != wanted:
        runs = node["running_commit"][:SHORT] or "code of no release"
        yield Difference(host, name, "commit", f"runs {runs}, deployed was {wanted[:SHORT]}")
    yield from _configuration(host, name, node, record=record, rendered=rendered)
    yield from _unit(host, name, node)


def _configuration(
    host: str,
    name: str,
    node: Mapping[str, Any],
    *,
    record: Record,
    rendered: Configuration | None,
) -> Iterator[Difference]:
    deployed = record.places[name][1]
    comparable = rendered is not None and rendered.hash == node["config"]
    expected = rendered.files if rendered is not None and comparable else {}
    if node["config"] != deployed:
        what = f"has configuration {node['config'] or 'none'}, deployed was {deployed or 'none'}"
        yield Difference(host, name, "config", what)
    if node["config"] and node["content"] != node["config"]:
        diff = _files_diff(expected, node["files"]) if expected else ""
        yield Difference(host, name, "config", "was edited on the host", diff)
    elif rendered is not None and not comparable and node["config"] == deployed:
        diff = _files_diff(node["files"], rendered.files)
        what = "the inventory renders another one, not deployed yet"
        yield Difference(host, name, "pending", what, diff)


def _unit(host: str, name: str, node: Mapping[str, Any]) -> Iterator[Difference]:
    wanted = node["files"].get("service", "")
    if node["unit"] != wanted:
        what = "was edited on the host" if node["unit"] else "is missing"
        yield Difference(host, name, "unit", what, _diff(wanted, node["unit"], "service"))
    for path in node["drop_ins"]:
        yield Difference(host, name, "unit", f"is changed by {path}")


def _files_diff(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Compare two sets of files; a genesis is public and long, so it is only named."""
    parts = []
    for file in sorted({*before, *after}):
        old, new = before.get(file, ""), after.get(file, "")
        if old != new:
            is_long = file == "genesis.json"
            parts.append(f"{file} differs" if is_long else _diff(old, new, file))
    return "\n".join(parts)


def _diff(before: str, after: str, name: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"a/{name}", f"b/{name}", lineterm="", n=1
    )
    return masking.masked("\n".join(lines))


def _record(environment: Environment, told: Mapping[str, Mapping[str, Any]]) -> Record | None:
    """Find the release that should be everywhere, from the records here and on the hosts."""
    founded = founding.read(environment)
    genesis_hash = founded.hash if founded else None
    known = history.read(environment, hosts=_records(told), genesis_hash=genesis_hash)
    return history.newest_healthy(known)


def _records(told: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [record for answer in told.values() for record in answer["records"]]


def _rendered(environment: Environment, record: Record | None) -> Rendered:
    """Render what the inventory says now, as far as the keys are known here."""
    public, founded = configuring.known_keys(environment), founding.read(environment)
    if record is None or public is None or founded is None:
        return {}
    return configuring.configurations(environment, record.commit, public, founded)


def _restaged(rows: Mapping[str, Row]) -> list[tuple[str, Mapping[str, str]]]:
    return [(name, each) for name, row in rows.items() for each in row.answer["restaged"]]
