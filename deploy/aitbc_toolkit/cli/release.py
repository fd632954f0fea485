"""`aitbc release`: signed tags that say what an environment gets."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import click

from aitbc_toolkit import paths
from aitbc_toolkit.cli.environment import (
    break_lease_option,
    environment_argument,
    load,
    load_records,
)
from aitbc_toolkit.cli.narration import narrate
from aitbc_toolkit.cli.prompting import confirm
from aitbc_toolkit.cli.reaching import environment_option, json_option
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.cli.signing import key_option, needed_key
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.release import (
    audit,
    cutting,
    history,
    permission,
    provenance,
    safekeeping,
    standing,
    trust,
)
from aitbc_toolkit.release.finalizing import finalize as run_finalize
from aitbc_toolkit.release.outcome import Outcome, fact
from aitbc_toolkit.release.progress import Tell
from aitbc_toolkit.release.source import SHORT


@click.group()
def release() -> None:
    """Cut, show and verify the releases of an environment."""


@release.command()
@environment_argument
@click.option("--ref", default="HEAD", help="A commit, tag or branch.")
@click.option("--push", is_flag=True, help="Give the tag to origin.")
@key_option
@json_option
def cut(environment: str, *, ref: str, push: bool, key: Path | None, as_json: bool) -> Exit:
    """Sign the next tag rel/ENV/N with its manifest; no host is changed.

    Example: aitbc release cut staging --push
    """
    found, root, file = load(environment), paths.project_root(), needed_key(key)
    permit = permission.demand(found, safekeeping.load(found), "cut", key=file, subject=ref)
    shared = found.rules.source == "origin"
    numbers = cutting.numbers_at_origin(found.name, root=root) if shared else set()
    manifest, made = cutting.cut(
        found.name, ref=ref, root=root, key=file, by=permit.who, numbers=numbers
    )
    if push:
        cutting.push(manifest.tag, root=root)
    outcome = "cut" if made else "kept"
    entry = audit.Entry(
        "cut", manifest.tag, outcome, permit.who, manifest.commit, bypassed=permit.bypassed
    )
    audit.append(audit.path_of(found), entry)
    if as_json:
        click.echo(json.dumps({"made": made, "pushed": push, **asdict(manifest)}))
        return Exit.OK
    click.echo(f"{manifest.tag} {outcome}: {manifest.commit[:SHORT]} {manifest.subject}")
    after = f"aitbc deploy {found.name} --ref {manifest.tag}"
    say("next: " + (after if push else f"git push origin refs/tags/{manifest.tag}"))
    return Exit.OK


@release.command()
@click.argument("tag", default="")
@environment_option
@json_option
def show(tag: str, *, environment: str, as_json: bool) -> Exit:
    """Show the manifest of a release, the newest unless one is named, and what each node got of it.

    Example: aitbc release show rel/staging/3
    """
    root = paths.project_root()
    named = tag or cutting.newest(load_records(environment).name, root=root)
    manifest = cutting.read(named, root=root)
    run = None
    with suppress(UsageError):  # of an environment that this checkout does not know
        known = history.read(load_records(manifest.environment))
        run = history.newest_of(known, manifest.commit)
    if as_json:
        deployed = None if run is None else run.to_document()
        click.echo(json.dumps({**asdict(manifest), "deployed": deployed}))
        return Exit.OK
    click.echo(f"{manifest.tag}: {manifest.subject}")
    for repository, commit in manifest.repositories.items():
        click.echo(fact(repository, commit))
    for name in ("environment", "tree", "lock", "previous", "by"):
        click.echo(fact(name, asdict(manifest)[name] or "none"))
    for line in _deployed_lines(run):
        click.echo(line)
    say(f"next: aitbc release verify {manifest.tag}")
    return Exit.OK


def _deployed_lines(run: history.Record | None) -> Iterator[str]:
    """Say which configuration and genesis each node got with a release: those are no part of it."""
    if run is None:
        yield fact("deployed", "not from here")
        return
    yield fact("deployed", f"run {run.number} of {run.started}, {run.outcome}")
    yield fact("genesis", run.genesis_hash or "none")
    for name, (commit, config) in sorted(run.places.items()):
        yield fact(name, f"{commit[:SHORT]}, configuration {config}")


@release.command()
@click.argument("tag")
@json_option
def verify(tag: str, *, as_json: bool) -> Exit:
    """Prove who signed a release, and that its manifest says what its commit is.

    Example: aitbc release verify rel/staging/3
    """
    root = paths.project_root()
    manifest = cutting.read(tag, root=root)
    found = load(tag.split("/")[1])
    commit = provenance.commit_of(f"refs/tags/{tag}", root=root)
    candidate = provenance.candidate(found, commit, root=root)
    findings = cutting.contradictions(manifest, candidate, tag)
    signer = trust.signer_of(tag, candidate, safekeeping.load(found))
    if not signer:
        findings.append(f"no signer that {found.name} trusts has signed it")
    decision = trust.decide(candidate, safekeeping.load(found))
    standing.record(found, decision)
    document = {"tag": tag, "signer": signer, "findings": findings}
    if as_json:
        click.echo(json.dumps({**document, **standing.to_document(found.name, decision)}))
    else:
        click.echo(f"{tag}: " + (f"signed by {signer}" if signer else "not verified"))
        for line in (*findings, *standing.decision_lines(found.name, decision)):
            click.echo(f"  {line}")
    sound = signer and not findings and decision.level is not trust.Level.UNKNOWN
    return Exit.OK if sound else Exit.FAILED


@release.command()
@environment_argument
@break_lease_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Write records as JSON lines.")
def finalize(environment: str, *, break_lease: str, yes: bool, as_json: bool) -> Exit:
    """Let all nodes write the data of the release that runs; no way back to an older one after it.

    Example: aitbc release finalize staging
    """

    def work(tell: Tell) -> Outcome:
        found = load(environment)
        confirm(found, f"finalize {found.name}?", yes=yes)
        return run_finalize(found, tell, break_lease=break_lease)

    return narrate("finalize", work, as_json=as_json)
