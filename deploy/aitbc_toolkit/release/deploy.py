"""How does a commit come to every node of an environment? Step by step, as the manual has it.

Resolve, observe, publish, stage, found, render, configure; then the change is carried out. Until
then nothing that runs is touched, and a failure costs nothing.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aitbc_toolkit import lab, neighbours, paths, render, shell
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import founding, history, source, verifying, vouching, waves
from aitbc_toolkit.release.change import Change, carry_out
from aitbc_toolkit.release.founding import Founded
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.outcome import Outcome, fact
from aitbc_toolkit.release.progress import Tell, note, step
from aitbc_toolkit.release.reading import tip
from aitbc_toolkit.release.rolling import NOTHING, Place, Run
from aitbc_toolkit.release.source import Revision
from aitbc_toolkit.release.unchanged import nothing_to_do
from aitbc_toolkit.release.verifying import Prove
from aitbc_toolkit.release.vouching import Admission

_PLACEHOLDER = "0" * 40

Facts = Mapping[str, Mapping[str, Any]]
"""What each host told, by its name."""


@dataclass(frozen=True, slots=True)
class Request:
    """Say what the operator asked for; `checkout` is where the commit comes from."""

    checkout: Path = field(default_factory=paths.project_root)
    ref: str | None = None
    snapshot: bool = False
    allow_stall: bool = False
    prove: Prove = verifying.smoke


def deploy(environment: Environment, request: Request, tell: Tell) -> Outcome:
    """Take a commit to every node and prove that the mesh works with it."""
    began = time.monotonic()
    _refuse_snapshot(environment, request)
    neighbours.refuse_clashes(environment)
    revision = _resolve(request, tell)
    _rehearse(environment, revision)
    admitted = vouching.admit(
        environment, revision.commit, ref=request.ref or "", root=request.checkout, tell=tell
    )
    with at_work(environment, tell) as run:
        facts = _observe(run)
        before = places(facts)
        release = _known(run, revision)
        if release is not None and not differing(run, facts, release):
            return nothing_to_do(run, revision.commit, began=began)
        founded, release = _prepare(run, request, revision, facts, admitted)
        changed = differing(run, facts, release)
        if not changed:
            return nothing_to_do(run, revision.commit, began=began)
        records = _records(environment, facts, founded)
        change = Change(
            action="deploy",
            commit=revision.commit,
            subject=revision.subject,
            snapshot=revision.snapshot,
            targets=release,
            before=before,
            plan=waves.plan(
                environment, changed, seen(run, facts), allow_stall=request.allow_stall
            ),
            genesis_hash=founded.hash,
            records=records,
            began=began,
            prove=request.prove,
            lines=_was(environment, records, release),
        )
        return carry_out(run, change)


def host_count(environment: Environment) -> str:
    """Say how many hosts there are."""
    count = len(environment.hosts)
    return f"{count} host{'s' if count > 1 else ''}"


def places(facts: Facts) -> dict[str, Place]:
    """Read from the hosts which release each node has."""
    return {
        name: (str(told["commit"]), str(told["config"])) if told["commit"] else NOTHING
        for host in facts.values()
        for name, told in host["instances"].items()
    }


def differing(run: Run, facts: Facts, release: Mapping[str, Place]) -> list[str]:
    """List the nodes that do not run what they should, whatever their links say."""
    changed = []
    for host in facts.values():
        for name, told in host["instances"].items():
            runs = told["service"]["active"] and told["running_commit"] == release[name][0]
            if not runs or (told["commit"], told["config"]) != release[name]:
                changed.append(name)
    order = [each.name for each in run.environment.instances]
    return sorted(changed, key=order.index)


def seen(run: Run, facts: Facts) -> waves.Seen:
    """Put together what hosts and nodes tell about the mesh before a change."""
    statuses = run.mesh.statuses()
    active = {
        name
        for host in facts.values()
        for name, told in host["instances"].items()
        if told["service"]["active"]
    }
    leader = next((status.proposer for status in statuses.values() if status), "")
    proposer = [name for name, status in statuses.items() if status and status.validator == leader]
    return waves.Seen(
        active=frozenset(active),
        voting=frozenset(voting(run.environment, statuses)),
        height=tip(statuses),
        proposer=next(iter(proposer), ""),
    )


def refuse_taken_ports(environment: Environment, facts: Facts) -> None:
    """Refuse when a node that is down would find somebody else on its ports.

    Raises: AitbcError (refused) that names every port.
    """
    taken = [
        f"  {name:<14} {port} on {host}"
        for host, told in facts.items()
        for name, instance in told["instances"].items()
        for port in instance["taken_ports"]
    ]
    if taken:
        raise AitbcError(
            "\n".join(
                [
                    f"deploy {environment.name} refused: ports in use by another program",
                    *taken,
                    "  changed so far   nothing, on no host",
                ]
            ),
            hint="ss -ltnp   # shows who listens\n"
            f"edit inventories/{environment.name}/inventory.toml   # ports of the instance",
            exit_status=Exit.REFUSED,
        )


def _refuse_snapshot(environment: Environment, request: Request) -> None:
    if request.snapshot and not environment.rules.dirty:
        raise AitbcError(
            f"deploy {environment.name} refused: uncommitted work is deployed to dev and lab only",
            hint="git commit",
            exit_status=Exit.REFUSED,
        )


def _resolve(request: Request, tell: Tell) -> Revision:
    revision = source.resolve(request.ref, snapshot=request.snapshot, root=request.checkout)
    if revision.dirty:
        paths_ = f"{revision.dirty} changed path{'s' if revision.dirty > 1 else ''}"
        note(tell, f"warning: {paths_} not committed and so not deployed; --dirty takes them along")
    return revision


def _rehearse(environment: Environment, revision: Revision) -> None:
    """Render everything once with stand-ins: a broken template stops here, before any host."""
    stand_ins = {each.name: _PLACEHOLDER for each in environment.instances}
    render.configurations(
        environment, commit=revision.commit, peer_ids=stand_ins, genesis=_PLACEHOLDER
    )


def _observe(run: Run) -> Facts:
    with step(run.tell, "observe", f"looking at {host_count(run.environment)}") as now:
        facts = run.crew.observe("deploy")
        refuse_taken_ports(run.environment, facts)
        now.say(f"{host_count(run.environment)} answer")
    return facts


def _prepare(
    run: Run, request: Request, revision: Revision, facts: Facts, admitted: Admission
) -> tuple[Founded, dict[str, Place]]:
    """Do everything that touches nothing that runs."""
    with step(run.tell, "publish", f"putting {revision.short} where hosts fetch it") as now:
        place = source.publish(run.environment, revision, root=request.checkout)
        _warm(run.environment, request, revision)
        vouched = vouching.vouch(run.environment, admitted, root=request.checkout)
        now.say(f"{revision.short} at {place.url}")
    with step(run.tell, "stage", f"{revision.short} on {host_count(run.environment)}") as now:
        manifest = {"subject": revision.subject, "by": source.who(), "snapshot": revision.snapshot}
        told = vouched.to_wire() if vouched else {}
        staged = run.crew.stage(revision, place, manifest, told)
        proofs = {name: str(row["proof"]) for name, row in staged.items()}
        vouching.record(run.environment, vouched, proofs)
        made = sorted({each for row in staged.values() for each in row["changed"]})
        now.say(
            f"{host_count(run.environment)}: " + (", ".join(made) + " made" if made else "reused")
        )
    public = {name: keys for row in staged.values() for name, keys in row["keys"].items()}
    with step(run.tell, "genesis", f"genesis of {run.environment.chain.id}") as now:
        all_new = not any(
            told["has_data"] for host in facts.values() for told in host["instances"].values()
        )
        founded = founding.ensure(run.environment, public, all_new=all_new)
        now.say(
            f"{founded.chain_id}, hash {founded.hash[:12]} {'made' if founded.made else 'kept'}"
        )
    _remember(run.environment, public)
    with step(run.tell, "render", f"configuration of {len(public)} nodes") as now:
        ready = _render(run.environment, revision, public, founded)
        new = run.crew.configure(revision.commit, ready)
        now.say(f"{len(ready)} nodes, {len(new)} new")
    return founded, {name: (revision.commit, each.hash) for name, each in ready.items()}


def _warm(environment: Environment, request: Request, revision: Revision) -> None:
    """Fill a lab's wheel cache for the lock of exactly this commit: its hosts are offline."""
    if not environment.lab:
        return
    show = ["git", "-C", str(request.checkout), "show", f"{revision.commit}:locks/node.lock"]
    lock = environment.folder / "node.lock"
    lock.write_text(shell.run(show).stdout, encoding="utf-8")
    lab.warm_cache(lock)


def _known(run: Run, revision: Revision) -> dict[str, Place] | None:
    """Render from the keys of an earlier run; nothing when this environment never had one."""
    path = _keys_path(run.environment)
    founded = founding.read(run.environment)
    if founded is None or not path.is_file():
        return None
    public = json.loads(path.read_text(encoding="utf-8"))
    if any(each.name not in public for each in run.environment.instances):
        return None
    ready = _render(run.environment, revision, public, founded)
    return {name: (revision.commit, each.hash) for name, each in ready.items()}


def _render(
    environment: Environment,
    revision: Revision,
    public: Mapping[str, Mapping[str, Any]],
    founded: Founded,
) -> dict[str, render.Configuration]:
    peer_ids = {name: str(parts["peer_id"]) for name, parts in public.items()}
    return render.configurations(
        environment, commit=revision.commit, peer_ids=peer_ids, genesis=founded.text
    )


def _remember(environment: Environment, public: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep the public parts of all keys, so that a run that changes nothing can know it."""
    path = _keys_path(environment)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json.dumps(public, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    fresh.rename(path)


def _keys_path(environment: Environment) -> Path:
    return environment.folder / "public_keys.json"


def _records(environment: Environment, facts: Facts, founded: Founded) -> list[history.Record]:
    hosts = [record for host in facts.values() for record in host["records"]]
    return history.read(environment, hosts=hosts, genesis_hash=founded.hash)


def _was(
    environment: Environment, records: list[history.Record], release: Mapping[str, Place]
) -> list[str]:
    """Say what a rollback of this deploy would return to; nothing when it only starts nodes."""
    last = history.newest_healthy(records)
    if last is None or all(
        (last.commit, last.configs.get(name)) == place for name, place in release.items()
    ):
        return []
    commit = last.commit[: source.SHORT]
    return [fact("was", f"{commit} (aitbc rollback {environment.name} returns to it)")]
