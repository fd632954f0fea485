"""`aitbc keys new|show|rotate|revoke|backup`, `genesis build|check`: what a chain rests on."""

import json
from pathlib import Path

import click

from aitbc_toolkit.cli import acting
from aitbc_toolkit.cli.environment import break_lease_option, environment_argument, load
from aitbc_toolkit.cli.narration import narrate
from aitbc_toolkit.cli.reaching import environment_option
from aitbc_toolkit.cli.tables import Column, draw
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import ceremony, revoking
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import Tell
from aitbc_toolkit.release.renaming import rename
from aitbc_toolkit.release.request import Request
from aitbc_toolkit.release.rotating import Way
from aitbc_toolkit.release.rotating import rotate as rotate_keys

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def keys() -> None:
    """Make and change keys on their hosts, show their public parts, back them up encrypted."""


@keys.command()
@environment_argument
@click.option("--ref", help="The commit whose node makes the keys; HEAD unless given.")
@_json
def new(environment: str, *, ref: str | None, as_json: bool) -> Exit:
    """Let every host make the keys that its nodes lack; nothing is started.

    Example: aitbc keys new staging
    """

    def work(tell: Tell) -> Outcome:
        return ceremony.make_keys(load(environment), Request(ref=ref), tell)

    return narrate("keys new", work, as_json=as_json)


@keys.command()
@environment_argument
@_json
def show(environment: str, *, as_json: bool) -> None:
    """Show the public parts of every node's keys, as they were told by its host.

    Example: aitbc keys show lab
    """
    public = ceremony.known(load(environment))
    if as_json:
        click.echo(json.dumps({"keys": public}))
        return
    columns = [Column(title) for title in ("NODE", "PEER", "CONSENSUS KEY", "OPERATOR")]
    rows = [
        [
            node,
            str(parts.get("peer_id", "-")),
            str([parts.get("consensus_key", "-"), *parts.get("later_keys", ())][-1]),
            str(parts.get("operator_address", "-")),
        ]
        for node, parts in public.items()
    ]
    for line in draw(columns, rows, width=200):
        click.echo(line)


@keys.command()
@click.argument("name", metavar="[NODE]", default="")
@environment_option
@click.option("--node-key", is_flag=True, help="The key by which others know the node instead.")
@click.option("--force", is_flag=True, help="Even where the mesh stops if the new key fails.")
@click.option("--no-wait", is_flag=True, help="Do not wait until the new key has voted.")
@break_lease_option
@_json
def rotate(
    name: str,
    environment: str,
    *,
    node_key: bool,
    force: bool,
    no_wait: bool,
    break_lease: str,
    as_json: bool,
) -> Exit:
    """Give validators a new consensus key, made on the host; it votes from the next epoch on.

    Of NODE, or of all validators, one in each epoch. Nothing is restarted, no vote is missed. With
    --node-key: of any node, or all; the ledger tells it to everybody, and the node starts again.

    Example: aitbc keys rotate v1 -e lab
    """
    way = Way(force=force, wait=not no_wait, break_lease=break_lease)
    found, act = load(environment), rename if node_key else rotate_keys
    return narrate("keys rotate", lambda tell: act(found, name, tell, way), as_json=as_json)


@keys.command()
@click.argument("file", type=Path)
@click.option("--force", is_flag=True, help="Also the key of a node of this environment.")
@acting.acting_options
def revoke(file: Path, *, force: bool, way: acting.Way) -> Exit:
    """End the key of a node, its node.key, for good: every node refuses it from that block on.

    FILE comes from a backup or from the host. Anybody may pay for it.

    Example: aitbc keys revoke stolen/node.key -e lab
    """
    return acting.act(way, lambda found, *_: [revoking.ended(found, file, force=force)])


@keys.command()
@environment_argument
@click.option("--to", "recipient", type=Path, required=True, help="An SSH key: file.pub.")
@click.option("--folder", type=Path, help="Where the encrypted files go.")
@_json
def backup(environment: str, *, recipient: Path, folder: Path | None, as_json: bool) -> Exit:
    """Bring all keys here, each encrypted on its host to an SSH key.

    Example: aitbc keys backup production --to ~/.ssh/id_ed25519.pub
    """

    def work(tell: Tell) -> Outcome:
        return ceremony.backup(load(environment), tell, recipient=recipient, folder=folder)

    return narrate("keys backup", work, as_json=as_json)


@click.group()
def genesis() -> None:
    """Build the genesis of an environment; compare it on every host."""


@genesis.command()
@environment_argument
@_json
def build(environment: str, *, as_json: bool) -> None:
    """Build the genesis from public keys, once; it is never made again silently.

    Example: aitbc genesis build lab
    """
    founded = ceremony.build(load(environment))
    if as_json:
        facts = {"chain_id": founded.chain_id, "hash": founded.hash, "made": founded.made}
        click.echo(json.dumps(facts))
        return
    click.echo(f"{founded.chain_id}: {founded.hash} {'made' if founded.made else 'kept'}")


@genesis.command()
@environment_argument
@_json
def check(environment: str, *, as_json: bool) -> Exit:
    """Compare the genesis here with the file of every node and the chain that it runs.

    Exit 1 when one differs.

    Example: aitbc genesis check lab
    """
    found = ceremony.compare(load(environment))
    status = Exit.FAILED if found.failed else Exit.OK
    if as_json:
        click.echo(json.dumps({**found.to_document(), "exit": int(status)}))
        return status
    columns = [Column(title) for title in ("HOST", "ITEM", "STATE", "HASH")]
    for line in draw(columns, [[c.host, c.item, c.state, c.evidence] for c in found.checks]):
        click.echo(line)
    if found.failed:
        nodes = ", ".join(each.item for each in found.failed)
        raise AitbcError(
            f"another genesis than ours: {nodes}", hint=found.failed[0].hint, exit_status=status
        )
    return status
