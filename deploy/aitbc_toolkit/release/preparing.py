"""How does a release get onto hosts beside what runs? Publish, stage, found, render.

Nothing that runs is touched here, so a failure costs nothing.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import (
    components,
    configuring,
    founding,
    labs,
    reviews,
    source,
    vouching,
    walking,
)
from aitbc_toolkit.release.checks import Check, State
from aitbc_toolkit.release.configuring import PublicKeys
from aitbc_toolkit.release.facts import Facts, host_count
from aitbc_toolkit.release.founding import Founded
from aitbc_toolkit.release.outcome import counted
from aitbc_toolkit.release.progress import step
from aitbc_toolkit.release.request import Request
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.source import Revision, Source
from aitbc_toolkit.release.vouching import Admission, Vouched
from aitbc_toolkit.release.walking import Phase
from aitbc_toolkit.render import Configuration

Kept = Sequence[Mapping[str, Any]]
"""What each host says of the configurations that it keeps: which were new, and each genesis."""


def prepare(
    run: Run, request: Request, revision: Revision, facts: Facts, admitted: Admission
) -> tuple[PublicKeys, Founded]:
    """Put release and configuration on the hosts; return what was learned about the keys."""
    known, _ = configuring.foreseen(run.environment, revision.commit)
    foreseen = _chosen(request, known)
    public, kept = _stage_all(run, request, revision, admitted, foreseen)
    walking.require(run.environment, Phase(walking.HOSTS, lambda: _hosts_and_keys(facts, public)))
    founded = _found(run, facts, public)
    ready = _chosen(
        request, configuring.configurations(run.environment, revision.commit, public, founded)
    )
    files = _configure(run, revision, ready, kept=kept if ready == foreseen else None)
    walking.require(run.environment, Phase(walking.GENESIS, lambda: _genesis(run, founded, files)))
    return public, founded


def stage_keys(run: Run, request: Request, revision: Revision, admitted: Admission) -> PublicKeys:
    """Stage a commit, by which hosts make the keys that they lack; remember the public parts."""
    public, _ = _stage_all(run, request, revision, admitted, {})
    return public


def _stage_all(
    run: Run,
    request: Request,
    revision: Revision,
    admitted: Admission,
    foreseen: Mapping[str, Configuration],
) -> tuple[PublicKeys, Kept]:
    place, vouched = _publish(run, request, revision, admitted)
    public, kept = _stage(run, request, revision, place, vouched, foreseen)
    configuring.remember(run.environment, public)
    return public, kept


def _chosen(request: Request, rendered: Mapping[str, Configuration]) -> dict[str, Configuration]:
    only = request.choice.only
    return {name: each for name, each in rendered.items() if not only or name in only}


def _publish(
    run: Run, request: Request, revision: Revision, admitted: Admission
) -> tuple[Source, Vouched | None]:
    with step(run.tell, "publish", f"putting {revision.short} where hosts fetch it") as now:
        _warm(run.environment, request, revision)
        vouched, tags = vouching.vouch(run.environment, admitted, root=request.checkout)
        place = source.publish(run.environment, revision, beside=tags, root=request.checkout)
        now.say(f"{revision.short} at {place.url}")
    return place, vouched


def _warm(environment: Environment, request: Request, revision: Revision) -> None:
    """Fill a lab's wheel cache for the lock of exactly this commit: its hosts are offline."""
    if not environment.lab:
        return
    lock = environment.folder / "node.lock"
    lock.write_text(source.lock(revision.commit, root=request.checkout), encoding="utf-8")
    labs.warm_cache(lock)


def _stage(
    run: Run,
    request: Request,
    revision: Revision,
    place: Source,
    vouched: Vouched | None,
    foreseen: Mapping[str, Configuration],
) -> tuple[PublicKeys, Kept]:
    """Stage on the hosts of the chosen nodes; the keys of the others are known already."""
    with step(run.tell, "stage", f"{revision.short} on {host_count(run.environment)}") as now:
        made = {"by": source.who(), "when": reviews.moment(time.time())}
        manifest = {**made, "subject": revision.subject, "snapshot": revision.snapshot}
        told = vouched.to_wire() if vouched else {}
        only = request.choice.only or None
        parts = components.publish(run.environment, revision.commit, root=request.checkout)
        staged = run.crew.stage(
            revision, place, manifest, told, components=parts, configurations=foreseen, only=only
        )
        proofs = {name: str(row["proof"]) for name, row in staged.items()}
        vouching.record(run.environment, vouched, proofs)
        new = sorted({each for row in staged.values() for each in row["changed"]})
        now.say(
            f"{counted(len(staged), 'host')}: " + (", ".join(new) + " made" if new else "reused")
        )
    fresh = {name: keys for row in staged.values() for name, keys in row["keys"].items()}
    public = {**(configuring.known_keys(run.environment) or {}), **fresh}
    return public, [row["configured"] for row in staged.values()]


def _found(run: Run, facts: Facts, public: PublicKeys) -> Founded:
    with step(run.tell, "genesis", f"genesis of {run.environment.chain.id}") as now:
        founded = founding.ensure(run.environment, public, all_new=not _has_data(facts))
        kept = "made" if founded.made else "kept"
        now.say(f"{founded.chain_id}, hash {founded.hash[:12]} {kept}")
    return founded


def _has_data(facts: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(told["has_data"] for host in facts.values() for told in host["instances"].values())


def _hosts_and_keys(facts: Facts, public: PublicKeys) -> list[Check]:
    """Judge what every host has told, and that each of its nodes has keys by now."""
    found = [
        Check("environments", each["item"], each["state"], each["evidence"], each["hint"], host)
        for host, told in facts.items()
        for each in told["checks"]
    ]
    for host, told in facts.items():
        for name in told["instances"]:
            state: State = "pass" if public.get(name, {}).get("peer_id") else "fail"
            found.append(Check("access", f"keys of {name}", state, "made on their host", "", host))
    return found


def _genesis(run: Run, founded: Founded, files: Mapping[str, str]) -> list[Check]:
    """Compare the genesis here with the files that lie on hosts now, and with what others run."""
    ours = hashlib.sha256(founded.text.encode()).hexdigest()
    hint = f"aitbc genesis check {run.environment.name}"
    found = []
    for name, digest in files.items():
        state: State = "pass" if digest == ours else "fail"
        host = run.environment.instance(name).host
        evidence = f"sha256 {digest[:12] or 'none'}, ours is {ours[:12]}"
        found.append(Check("environments", f"{name}: file", state, evidence, hint, host))
    run.mesh.statuses()
    for name, why in run.mesh.strangers.items():
        if name not in files:
            found.append(Check("environments", name, "fail", why, hint))
    return found


def _configure(
    run: Run,
    revision: Revision,
    ready: Mapping[str, Configuration],
    *,
    kept: Kept | None,
) -> Mapping[str, str]:
    """Keep the configurations on the hosts; return what each node's genesis file is there.

    Those that staging has `kept` already need no word more.
    """
    with step(run.tell, "render", f"configuration of {len(ready)} nodes") as now:
        if kept is None:
            kept = list(run.crew.configure(revision.commit, ready).values())
        new = sum(len(answer["changed"]) for answer in kept)
        now.say(f"{len(ready)} nodes, {new} new")
    return {name: digest for answer in kept for name, digest in answer["genesis"].items()}
