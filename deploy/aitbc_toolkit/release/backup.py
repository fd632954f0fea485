"""How does the chain data of an environment get into a folder of the operator's, and back?

A backup holds what a node needs to go on from, without keys and without sign state. Each archive is
named by its node and checked by its hash on both ways. What is copied is decided on the host.
"""

import hashlib
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aitbc_toolkit import transfer
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import destination, permission, roots, services
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.outcome import Outcome, counted, fact
from aitbc_toolkit.release.progress import Tell, duration, step
from aitbc_toolkit.release.rolling import Run

INDEX = "backup.json"


@dataclass(frozen=True, slots=True)
class Archive:
    """Name one node's archive here, and what its host said about it."""

    node: str
    path: Path
    sha256: str
    size: int


def folder_of(environment: Environment) -> Path:
    """Find the folder of an environment's backups, one sub-folder each."""
    return environment.folder / "backups"


def backup(
    environment: Environment, tell: Tell, *, only: str = "", to: Path | None = None
) -> Outcome:
    """Copy the data of every node, or of the named one, while it runs."""
    began = time.monotonic()
    named = [environment.instance(only).name] if only else [e.name for e in environment.instances]
    permission.require(environment, "operate", subject="backup")
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = to or folder_of(environment) / stamp
    with (
        destination.prepared(folder, hint=f"aitbc backup {environment.name}"),
        at_work(environment, tell, reason="backup", decides=False) as run,
    ):
        try:
            told = _archive(run, named)
            with step(tell, "fetch", str(folder)):
                for name in named:
                    _fetch(environment, name, told[name], folder)
                _write_index(folder, environment, told)
        finally:
            run.crew.keep("discard", named)
    took_s = time.monotonic() - began
    lines = [
        f"Backup of {environment.name} is in {folder}, took {duration(took_s)}",
        fact("holds", "chain data; neither keys nor sign state"),
        *(
            fact(name, f"{_size(each['bytes'])}, sha256 {each['sha256'][:12]}")
            for name, each in told.items()
        ),
        f"next: aitbc restore {named[0]} -e {environment.name}",
    ]
    return Outcome(Exit.OK, lines, took_s=took_s, facts={"folder": str(folder), "nodes": named})


def restore(
    environment: Environment,
    name: str,
    tell: Tell,
    *,
    source: Path | None = None,
    force: bool = False,
) -> Outcome:
    """Put a backup in the place of one node's data and wait until the node takes part again.

    Its keys and its sign state stay what they are: a node that goes back in data must not go back
    in what it has signed.
    """
    began = time.monotonic()
    instance = environment.instance(name)
    archive = find(environment, name, source)
    permission.require(environment, "operate", subject=f"restore {name}")
    host = environment.host(instance.host)
    remote = str(host.layout.state / f"restore-{name}.tar.gz")
    with at_work(environment, tell, reason=f"restore {name}", decides=force) as run:
        if not force:
            again = f"aitbc restore {name} -e {environment.name} --force   # stops the mesh"
            services.spare(run, name, f"restore {name}", again=again)
        _require_release(run, name)
        up = [each for each, status in run.mesh.statuses().items() if status is not None]
        with step(tell, "send", f"{_size(archive.size)} to {host.name}"):
            transfer.send(host, archive.path, remote)
        with step(tell, "restore", f"{name} on {host.name}") as now:
            rows = run.crew.keep("restore", [name], archive=remote, sha256=archive.sha256)
            changed = f"see aitbc status {environment.name}"
            run.crew.require(rows, verb="restore", changed=changed, status=Exit.FAILED)
            kept = rows[host.name].answer["kept"]
            now.say(f"{name} started" + (f", data from before in {kept}" if kept else ""))
        services.await_part(run, name, tell)
        found = _equal_roots(run, name, needed={name, *up})
    took_s = time.monotonic() - began
    lines = [
        f"{name} of {environment.name} goes on from the backup, took {duration(took_s)}",
        fact("state root", f"{found.root[:12]} on {' '.join(found.roots)} at {found.height:,}"),
        fact("kept", "keys and sign state were not touched"),
    ]
    down = [each.name for each in environment.instances if each.name not in found.roots]
    if down:
        lines.append(fact("not asked", f"{' '.join(down)}, down before"))
        lines.append(f"next: aitbc node start {down[0]} -e {environment.name}")
    facts = {"node": name, "height": found.height, "state_root": found.root, "not_asked": down}
    return Outcome(Exit.OK, lines, changed=[name], took_s=took_s, facts=facts)


def find(environment: Environment, name: str, source: Path | None) -> Archive:
    """Find the archive of a node: in the folder that is named, else in the newest backup.

    Raises: UsageError when there is none, AitbcError when it is not what was written.
    """
    folders = [source] if source else sorted(folder_of(environment).glob("*"), reverse=True)
    for folder in folders:
        index = folder / INDEX
        known = json.loads(index.read_text(encoding="utf-8"))["archives"] if index.is_file() else {}
        if name in known:
            path = folder / known[name]["file"]
            if not path.is_file() or _digest(path) != known[name]["sha256"]:
                raise AitbcError(f"{path} is not what the backup wrote", hint=f"ls -l {folder}")
            return Archive(name, path, known[name]["sha256"], path.stat().st_size)
    where = str(source) if source else str(folder_of(environment))
    raise UsageError(
        f"there is no backup of {name} in {where}", hint=f"aitbc backup {environment.name}"
    )


def _archive(run: Run, named: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Let hosts write the archives; when one cannot, say which nodes it is, and how to do without.

    Raises: AitbcError when one cannot.
    """
    environment = run.environment
    with step(run.tell, "archive", " ".join(named)) as now:
        rows = run.crew.keep("backup", named)
        bad = [name for name in named if not rows[environment.instance(name).host].ok]
        now.say(" ".join(bad))
        try:
            run.crew.require(rows, verb="backup", changed="nothing", status=Exit.FAILED)
        except AitbcError as failure:
            well = next((name for name in named if name not in bad), "")
            if well:
                failure.hint += f"\naitbc backup {environment.name} --node {well}   # one alone"
            raise
        told = {k: v for row in rows.values() for k, v in row.answer["archives"].items()}
        now.say(f"{counted(len(told), 'node')}, {_size(sum(e['bytes'] for e in told.values()))}")
    return told


def _fetch(environment: Environment, name: str, told: Mapping[str, Any], folder: Path) -> None:
    path = folder / f"{name}.tar.gz"
    transfer.fetch(environment.host(environment.instance(name).host), told["path"], path)
    if _digest(path) != told["sha256"]:
        raise AitbcError(
            f"{path} did not arrive as it was sent", hint=f"aitbc backup {environment.name}"
        )


def _write_index(folder: Path, environment: Environment, told: Mapping[str, Any]) -> None:
    """Say last what the folder holds: without it there is no backup."""
    archives = {
        name: {"file": f"{name}.tar.gz", "sha256": each["sha256"], "manifest": each["manifest"]}
        for name, each in told.items()
    }
    document = {"environment": environment.name, "archives": archives}
    fresh = folder / f".{INDEX}.new"
    fresh.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    fresh.rename(folder / INDEX)


def _require_release(run: Run, name: str) -> None:
    """Refuse where there is no release that could read the data, before anything is sent.

    Raises: AitbcError (refused).
    """
    told = run.crew.glance().get(name)
    if told is None or told["commit"]:
        return
    environment = run.environment
    raise AitbcError(
        f"restore {name} refused: it has no release on {environment.instance(name).host}\n"
        "  changed so far   nothing, on no host",
        hint=f"aitbc deploy {environment.name}",
        exit_status=Exit.REFUSED,
    )


def _equal_roots(run: Run, name: str, *, needed: Collection[str]) -> roots.Comparison:
    """Compare the node with those that ran before it was restored; others prove nothing of it."""
    found = roots.compare(run.mesh, needed=needed)
    if found.problem:
        raise AitbcError(
            f"{name} was restored, but {found.problem}",
            hint=f"aitbc status {run.environment.name}",
        )
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
