"""How do keys and genesis come to be before anything runs, and are they the same everywhere?

Keys are made on their hosts by the node itself; only public parts come here. A backup leaves a host
encrypted to the operator's own SSH key, so what lies here opens with nothing that is here in
the clear. Do not move a private key.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from aitbc_node.ledger import document
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import (
    configuring,
    destination,
    founding,
    permission,
    signatures,
    vouching,
)
from aitbc_toolkit.release.checks import Check, Report, State
from aitbc_toolkit.release.configuring import PublicKeys
from aitbc_toolkit.release.facts import observe
from aitbc_toolkit.release.founding import Founded
from aitbc_toolkit.release.occupation import at_work, looking
from aitbc_toolkit.release.outcome import Outcome, fact
from aitbc_toolkit.release.preparing import stage_keys
from aitbc_toolkit.release.preview import settle
from aitbc_toolkit.release.progress import Tell, duration, step
from aitbc_toolkit.release.request import Request

_SEAL_S = 60


def make_keys(environment: Environment, request: Request, tell: Tell) -> Outcome:
    """Stage a commit on every host and let it make the keys that are missing; start nothing.

    Raises: AitbcError when a host is not ready or the commit may not go there.
    """
    began = time.monotonic()
    request, revision = settle(environment, request)
    admitted = vouching.admit(environment, request, revision, tell)
    before = configuring.known_keys(environment) or {}
    with at_work(environment, tell, reason="keys new", decides=False) as run:
        observe(run, "keys new")
        public = stage_keys(run, request, revision, admitted)
    made = [name for name, parts in public.items() if before.get(name) != parts]
    lines = [f"Keys of {len(public)} nodes of {environment.name}: {len(made)} new to us"]
    lines += [fact(name, f"peer {public[name]['peer_id']}") for name in made]
    took_s = time.monotonic() - began
    return Outcome(Exit.OK, lines, changed=made, took_s=took_s, facts={"keys": dict(public)})


def known(environment: Environment) -> PublicKeys:
    """Give the public parts of all keys.

    Raises: AitbcError (refused) before keys were made.
    """
    found = configuring.known_keys(environment)
    if found is None:
        raise AitbcError(
            f"{environment.name} has nodes whose keys were never made, or never seen from here",
            hint=f"aitbc keys new {environment.name}",
            exit_status=Exit.REFUSED,
        )
    return found


def build(environment: Environment) -> Founded:
    """Build the genesis from the public keys, or give the one that is there and names them.

    Raises: AitbcError (refused) when keys are missing, or when the one there names others.
    """
    permission.require(environment, "operate", subject="genesis build")
    return founding.ensure(environment, known(environment), all_new=False)


def compare(environment: Environment) -> Report:
    """Compare the genesis of this machine with the file on every host and the chain of every node.

    Raises: AitbcError (refused) when there is none here, or when a host does not answer.
    """
    ours = founding.read(environment)
    if ours is None:
        raise AitbcError(
            f"{environment.name} has no genesis yet",
            hint=f"aitbc genesis build {environment.name}",
            exit_status=Exit.REFUSED,
        )
    with looking(environment, lambda _record: None) as run:
        names = [each.name for each in environment.instances]
        files = run.crew.configured(names, verb="genesis check", status=Exit.UNREACHABLE)
        statuses = run.mesh.statuses()
    checks = []
    for each in environment.instances:
        text = files.get(each.name, {}).get("genesis.json", "")
        told = statuses[each.name]
        checks.append(_compared(f"{each.name}: file", _hash(text), ours, host=each.host))
        running = told.genesis_hash if told else ""
        checks.append(_compared(f"{each.name}: chain", running, ours, host=each.host))
    return Report(environment.name, checks)


def backup(
    environment: Environment, tell: Tell, *, recipient: Path, folder: Path | None = None
) -> Outcome:
    """Bring the keys of all nodes here, each encrypted on its host to an SSH key.

    Raises: AitbcError when a host cannot; ConfigError when the recipient is no Ed25519 key.
    """
    began = time.monotonic()
    public = signatures.public_of(recipient)
    permission.require(environment, "operate", subject=f"keys backup to {public.fingerprint}")
    place = folder or environment.folder / "key-backups" / time.strftime("%Y%m%dT%H%M%SZ")
    names = [each.name for each in environment.instances]
    _refuse_existing(place, names)
    again = f"aitbc keys backup {environment.name} --to {recipient}"
    with (
        destination.prepared(place, hint=again, private=True),
        looking(environment, tell) as run,
        step(tell, "seal", f"keys of {len(environment.instances)} nodes on their hosts") as now,
    ):
        hosts = [host.name for host in environment.hosts]
        rows = run.crew.set_up("seal", hosts, deadline_s=_SEAL_S, recipient=public.line)
        run.crew.require(rows, verb="keys backup", changed="nothing", status=Exit.FAILED)
        sealed = {
            name: text for row in rows.values() for name, text in row.answer["sealed"].items()
        }
        now.say(f"{len(sealed)} nodes, to {public.fingerprint}")
        _write(place, sealed)
    took_s = time.monotonic() - began
    lines = [
        f"Backed up the keys of {len(sealed)} nodes of {environment.name}, took {duration(took_s)}",
        fact("folder", str(place)),
        fact("opens with", f"age --decrypt --identity PRIVATE_KEY {place}/NODE.tar.age | tar -x"),
        fact("left out", "the sign states: a restored validator follows until it may sign"),
    ]
    return Outcome(Exit.OK, lines, took_s=took_s, facts={"folder": str(place)})


def _compared(item: str, found: str, ours: Founded, *, host: str) -> Check:
    state: State = "pass" if found == ours.hash else "fail"
    evidence = found[:12] or "none"
    if not found:
        state = "n.a."
        evidence = "nothing is deployed or running there"
    hint = "" if state != "fail" else "this node is of another chain: aitbc down it, or deploy anew"
    return Check("environments", item, state, evidence, hint, host)


def _hash(text: str) -> str:
    if not text:
        return ""
    try:
        return document.from_json(text).hash().hex()
    except ConfigError:
        return "unreadable"


def _sealed(place: Path, name: str) -> Path:
    return place / f"{name}.tar.age"


def _refuse_existing(place: Path, names: Sequence[str]) -> None:
    """Refuse to write over keys that were backed up before."""
    there = [path.name for name in names if (path := _sealed(place, name)).exists()]
    if there:
        raise UsageError(f"{place} holds {' '.join(there)} already", hint=f"ls -l {place}")


def _write(place: Path, sealed: Mapping[str, str]) -> Sequence[Path]:
    """Write files that only their owner reads, although they are encrypted."""
    written = []
    for name, text in sealed.items():
        path = _sealed(place, name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            os.fsync(file.fileno())
        written.append(path)
    return written
