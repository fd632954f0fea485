"""`aitbc trust | approve | approvals`: whom an environment trusts, and who agreed to what."""

import json
from pathlib import Path

import click
import msgspec

from aitbc_toolkit import mistakes, paths
from aitbc_toolkit.cli.environment import environment_argument, load, load_records
from aitbc_toolkit.cli.reaching import environment_option, json_option
from aitbc_toolkit.cli.signing import chosen_key, key_option, needed_key, read_public
from aitbc_toolkit.cli.tables import Column, draw
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import approvals as table
from aitbc_toolkit.release import grants, provenance, roles, safekeeping, standing
from aitbc_toolkit.release import trust as trusting


@click.group()
def trust() -> None:
    """Show and change which sources and signers an environment trusts."""


@trust.command("list")
@environment_option
@json_option
def list_(environment: str, *, as_json: bool) -> Exit:
    """List rules, signers with their roles, and revoked keys.

    Example: aitbc trust list -e staging
    """
    found = load_records(environment)
    known = safekeeping.load(found)
    if as_json:
        click.echo(json.dumps({"environment": found.name, **msgspec.to_builtins(known)}))
        return Exit.OK
    for line in standing.trust_lines(found.name, known):
        click.echo(line)
    return Exit.OK


@trust.group()
def add() -> None:
    """Add a signer, or a rule that names signers."""


@add.command()
@click.argument("principal")
@click.option("--public-key", required=True, help="The key as one line, or the file of it.")
@click.option(
    "--role",
    "given",
    multiple=True,
    required=True,
    type=click.Choice(roles.ROLES),
    help="What it may do; may be repeated.",
)
@environment_option
@key_option
def signer(
    principal: str, *, public_key: str, given: tuple[str, ...], environment: str, key: Path | None
) -> None:
    """Let a key sign, approve or operate, as its roles say.

    Example: aitbc trust add signer ana@example --public-key ana.pub --role release
    """
    line = read_public(public_key)
    entry: dict[str, object] = {"principal": principal, "key": line, "roles": list(given)}
    what = f"add signer {principal}"
    _change(environment, key, what, lambda doc: safekeeping.add(doc, "signers", entry))


@add.command()
@click.argument("name")
@click.option("--remote", default="", help="Where commits come from; * is anything but a slash.")
@click.option("--path", default="", help="A repository on this machine, in place of a remote.")
@click.option("--branch", required=True, help="Only what lies on it is trusted.")
@click.option("--signer", "signers", multiple=True, required=True, help="A principal; repeat it.")
@environment_option
@key_option
def rule(
    name: str,
    *,
    remote: str,
    path: str,
    branch: str,
    signers: tuple[str, ...],
    environment: str,
    key: Path | None,
) -> None:
    """Trust what one of the signers signed, on one branch of one source.

    Example: aitbc trust add rule main --remote ssh://git@forge/aitbc.git --branch main
    --signer ana@example
    """
    entry: dict[str, object] = {
        "name": name,
        "remote": remote,
        "path": path,
        "branch": branch,
        "signers": list(signers),
    }
    _change(environment, key, f"add rule {name}", lambda doc: safekeeping.add(doc, "rules", entry))


@trust.command()
@click.argument("name")
@click.option("--revoke", default="", metavar="REASON", help="Refuse the signer's key for ever.")
@environment_option
@key_option
def remove(name: str, *, revoke: str, environment: str, key: Path | None) -> None:
    """Remove a rule or a signer; a stolen key is revoked, not only removed.

    Example: aitbc trust remove ana@example --revoke "laptop lost"
    """
    what = f"revoke {name}: {revoke}" if revoke else f"remove {name}"
    _change(environment, key, what, lambda doc: safekeeping.take_out(doc, name, revoke=revoke))


@trust.command()
@click.argument("ref", default="HEAD")
@environment_option
@json_option
def verify(ref: str, *, environment: str, as_json: bool) -> Exit:
    """Say how far a commit is trusted here, by which rule and why.

    Example: aitbc trust verify HEAD -e staging
    """
    found, root = load(environment), paths.project_root()
    commit = provenance.commit_of(ref, root=root)
    known = safekeeping.load(found)
    decision = trusting.decide(provenance.candidate(found, commit, root=root), known)
    standing.record(found, decision)
    if as_json:
        click.echo(json.dumps(standing.to_document(found.name, decision)))
    else:
        for line in standing.decision_lines(found.name, decision):
            click.echo(line)
    return Exit.FAILED if decision.level is trusting.Level.UNKNOWN else Exit.OK


@click.command()
@click.argument("hash_", metavar="HASH")
@click.option("--reason", required=True, help="Why; it is signed and kept.")
@click.option("--deny", is_flag=True, help="Refuse the release; nobody can outvote it.")
@environment_option
@key_option
def approve(hash_: str, *, reason: str, deny: bool, environment: str, key: Path | None) -> Exit:
    """Sign for or against a release that waits.

    Example: aitbc approve 4be1f0a2c3d4 --reason "read the diff" -e staging
    """
    found, file = load(environment), needed_key(key)
    request, verdict, path = standing.review(
        found, hash_, key=file, decision="deny" if deny else "approve", reason=reason
    )
    click.echo(f"{request.hash[: table.SHORT]} is {verdict.state}" + standing.waits_for(verdict))
    click.echo(f"next: git add {mistakes.shown(path.parent)}")
    return Exit.OK


@click.command()
@environment_argument
@click.option("--ask", default="", metavar="REF", help="Put a commit into the queue.")
@json_option
def approvals(environment: str, *, ask: str, as_json: bool) -> Exit:
    """List the releases that wait for reviewers, and who said what.

    Example: aitbc approvals staging
    """
    found = load(environment)
    if ask:
        standing.ask(found, provenance.commit_of(ask, root=paths.project_root()))
    rows = standing.queue(found, safekeeping.load(found))
    if as_json:
        click.echo(json.dumps(rows))
        return Exit.OK
    if not rows:
        click.echo(f"{found.name}: nothing waits for approval")
        return Exit.OK
    columns = [Column("HASH"), Column("STATE"), Column("COMMIT"), Column("MISSING", 1)]
    fields = ("hash", "state", "commit", "missing", "expires")
    cells = [[row[each] for each in fields] for row in rows]
    for cell in cells:
        cell[0], cell[2] = cell[0][: table.SHORT], cell[2][: table.SHORT]
    for line in draw([*columns, Column("ENDS", 2)], cells):
        click.echo(line)
    return Exit.OK


def _change(environment: str, key: Path | None, what: str, edit: safekeeping.Change) -> None:
    found = load(environment)
    path = grants.change(found, what, edit, key=chosen_key(key))
    click.echo(f"{found.name}: {what}")
    click.echo(f"next: git diff {mistakes.shown(path)}")
