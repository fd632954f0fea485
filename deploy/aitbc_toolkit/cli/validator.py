"""`aitbc validator`: who votes, how one comes and goes, and what stands behind it."""

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from aitbc_node import bech32
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.motions import AdmitValidator, RemoveValidator
from aitbc_node.ledger.params import BPS
from aitbc_node.ledger.records import TTL_BLOCKS_MAX
from aitbc_node.types import Address
from aitbc_toolkit import candidacy, electing
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.cli import electorate
from aitbc_toolkit.cli.acting import Way, act, acting_options, force_option, node_option
from aitbc_toolkit.cli.proposal import decide, voters_option
from aitbc_toolkit.cli.reaching import environment_option, json_option, reach
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.wallet import Wallet

_details = (
    click.option(
        "--commission",
        "commission_bps",
        type=click.IntRange(0, BPS),
        help="Basis points of the rewards that the operator keeps.",
    ),
    click.option("--region", help="Failure domain, for people."),
    click.option("--endpoint", help="Where people find it, for people."),
)
_consensus_key = click.option(
    "--consensus-key",
    required=True,
    help="The key that votes: a file, made where it is missing, or its public part in hex.",
)
_proof = click.option("--proof", default="", help="What the key's host tells beside a public part.")


@click.group()
def validator() -> None:
    """Show validators, and act as the operator of one."""


@validator.command("list")
@node_option
@environment_option
@json_option
def list_all(*, node: str, environment: str, as_json: bool) -> Exit:
    """List who votes and who may be chosen, with power now and in the next epoch.

    Example: aitbc validator list -e lab
    """
    with reach(environment, node=node) as (_found, mesh):
        told = mesh.ask_any(lambda each: each.members())
        names = {} if as_json else candidacy.node_names(mesh)
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join(electorate.member_table(told, names)))
    return Exit.OK


@validator.command()
@click.argument("who")
@environment_option
@json_option
def show(who: str, *, environment: str, as_json: bool) -> Exit:
    """Show one validator; WHO is its operator's address, or the name of its node.

    Example: aitbc validator show v1 -e lab
    """
    with reach(environment) as (found, mesh):
        address = _text(found, candidacy.operator_of(found, mesh, who))
        told = mesh.ask_any(lambda each: each.member(address))
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join(electorate.member_lines(told)))
    return Exit.OK


@validator.command()
@_consensus_key
@_proof
@click.option("--stake", required=True, help="What is bonded at once, in whole coins.")
@force_option
@_details[0]
@_details[1]
@_details[2]
@acting_options
def register(
    *,
    consensus_key: str,
    proof: str,
    stake: str,
    force: bool,
    way: Way,
    **details: str | int | None,
) -> Exit:
    """Register the account of --key as a validator and bond its stake, both or neither.

    It votes from the next epoch on, where admission is asked for once it is admitted.

    Example: aitbc validator register --key operator.key --consensus-key new.key --stake 10
    """
    key = candidacy.ConsensusKey(consensus_key, proof)
    put = ValidatorPut(**details)  # type: ignore[arg-type]  # the options are its fields

    def write(found: Environment, mesh: MeshClient, signer: Wallet) -> Sequence[Body]:
        enrolled, bond = candidacy.registered(found, signer, put, key, stake)
        if not force and electing.admits_anybody(mesh):
            votes = enrolled.key.hex() if enrolled.key else ""
            electing.keep_quorum(mesh, _text(found, signer.account), bond=bond.amount, key=votes)
        return [enrolled, bond]

    return act(way, write, own=True)


@validator.command()
@_consensus_key
@_proof
@force_option
@acting_options
def rotate(*, consensus_key: str, proof: str, force: bool, way: Way) -> Exit:
    """Change the consensus key of the account of --key; it votes from the next epoch on.

    The old key votes until then, and can be punished for it later: the node needs both in turn.
    Refused where the others could not make blocks until a node has the new one.

    Example: aitbc validator rotate --key operator.key --consensus-key new.key
    """
    key = candidacy.ConsensusKey(consensus_key, proof)

    def write(found: Environment, mesh: MeshClient, signer: Wallet) -> Sequence[Body]:
        put = candidacy.with_key(found, signer, ValidatorPut(), key)
        if not force and put.key is not None:
            votes, address = put.key.hex(), _text(found, signer.account)
            electing.keep_quorum(mesh, address, bond=0, key=votes, rotates=True)
        return [put]

    return act(way, write, own=True)


@validator.command("set")
@_details[0]
@_details[1]
@_details[2]
@acting_options
def set_details(*, way: Way, **details: str | int | None) -> Exit:
    """Change what is told of the validator of --key: commission, region, endpoint.

    Example: aitbc validator set --commission 500 --key FILE
    """
    put = ValidatorPut(**details)  # type: ignore[arg-type]  # the options are its fields

    def write(_found: Environment, _mesh: MeshClient, _signer: Wallet) -> Sequence[Body]:
        if put == ValidatorPut():
            raise UsageError("nothing is changed", hint="aitbc validator set --help")
        return [put]

    return act(way, write, own=True)


@validator.command()
@force_option
@acting_options
def leave(*, force: bool, way: Way) -> Exit:
    """Step back: the validator of --key has no vote from the next epoch on; its bond stays.

    Example: aitbc validator leave --key FILE
    """

    def write(found: Environment, mesh: MeshClient, signer: Wallet) -> Sequence[Body]:
        if not force:
            electing.keep_quorum(mesh, _text(found, signer.account), bond=electing.ALL)
        return [ValidatorPut(status="leaving")]

    return act(way, write, own=True)


@validator.command("return")
@acting_options
def come_back(*, way: Way) -> Exit:
    """Take part again, after `leave`.

    Example: aitbc validator return --key FILE
    """
    return act(way, lambda _found, _mesh, _signer: [ValidatorPut(status="joining")], own=True)


@validator.command()
@acting_options
def unjail(*, way: Way) -> Exit:
    """Ask for the vote of the jailed validator of --key again, once its time is over.

    Example: aitbc validator unjail --key FILE
    """
    return act(way, lambda _found, _mesh, _signer: [ValidatorPut(status="unjail")], own=True)


@validator.command()
@click.argument("node_name", metavar="NODE")
@click.option(
    "--blocks",
    type=click.IntRange(0, TTL_BLOCKS_MAX),
    default=candidacy.ANNOUNCED_BLOCKS,
    show_default=True,
    help="How long the ledger names it; 0 takes the name off.",
)
@acting_options
def announce(node_name: str, blocks: int, *, way: Way) -> Exit:
    """Put on the ledger where the node of the validator of --key can be reached.

    Whoever has the chain finds the mesh then, though every bootstrap host be gone. After a move of
    the node, or before the blocks are over, do it again.

    Example: aitbc validator announce v1 --key operator.key
    """
    return act(
        way, lambda found, mesh, _: [candidacy.announced(found, mesh, node_name, blocks)], own=True
    )


@validator.command()
@click.argument("who")
@force_option
@voters_option
@acting_options
def add(who: str, *, force: bool, voters: Sequence[Path], way: Way) -> Exit:
    """Propose to admit a registered validator, and say yes with every key at hand.

    Example: aitbc validator add ADDRESS --key mine.key --voter yours.key --voter theirs.key
    """

    def motion(found: Environment, mesh: MeshClient) -> AdmitValidator:
        operator = candidacy.operator_of(found, mesh, who)
        if not force:
            address = _text(found, operator)
            row = mesh.ask_any(lambda node: node.member(address))
            bond = 0 if row.next_power else int(row.bonded)
            electing.keep_quorum(mesh, address, bond=bond, key=row.key)
        return AdmitValidator(operator)

    return decide(way, voters, motion)


@validator.command()
@click.argument("who")
@click.option(
    "--force", is_flag=True, help="Also when fewer than four stay, or too few of them vote."
)
@voters_option
@acting_options
def remove(who: str, *, force: bool, voters: Sequence[Path], way: Way) -> Exit:
    """Propose to remove a validator, and say yes with every key at hand; its bond stays its own.

    An operator who goes by itself says `aitbc validator leave`.

    Example: aitbc validator remove v4 --key FILE
    """

    def motion(found: Environment, mesh: MeshClient) -> RemoveValidator:
        operator = candidacy.operator_of(found, mesh, who)
        if not force:
            electing.keep_enough(mesh, _text(found, operator))
            electing.keep_quorum(mesh, _text(found, operator), bond=electing.ALL)
        return RemoveValidator(operator)

    return decide(way, voters, motion)


@validator.command()
@click.argument("who")
@click.option("--evidence", "file", type=click.Path(path_type=Path), help="Two signed messages.")
@acting_options
def slash(who: str, *, file: Path | None, way: Way) -> Exit:
    """Show that a validator signed two things at once: it loses half of its bond.

    Nobody is slashed without evidence, by whatever majority.

    Example: aitbc validator slash v1 --key FILE
    """

    def write(found: Environment, mesh: MeshClient, _signer: Wallet) -> Sequence[Body]:
        return [candidacy.evidence(found, mesh, who, file)]

    return act(way, write)


@validator.command()
@click.argument("amount")
@acting_options
def stake(amount: str, *, way: Way) -> Exit:
    """Put AMOUNT coins of the operator --key behind its own validator.

    Example: aitbc validator stake 5 --key FILE
    """

    def write(_found: Environment, _mesh: MeshClient, signer: Wallet) -> Sequence[Body]:
        return [candidacy.bonded(signer.account, amount)]

    return act(way, write, own=True)


@validator.command()
@click.argument("amount")
@force_option
@acting_options
def unstake(amount: str, *, force: bool, way: Way) -> Exit:
    """Take AMOUNT coins of the operator --key back from behind its own validator.

    Example: aitbc validator unstake 5 --key FILE
    """

    def write(found: Environment, mesh: MeshClient, signer: Wallet) -> Sequence[Body]:
        taken = candidacy.unbonded(signer.account, amount)
        if not force:
            electing.keep_quorum(mesh, _text(found, signer.account), bond=-taken.amount)
        return [taken]

    return act(way, write, own=True)


@validator.command()
@click.argument("who")
@environment_option
@json_option
def rewards(who: str, *, environment: str, as_json: bool) -> Exit:
    """Show what a validator has earned and nobody has taken yet.

    Example: aitbc validator rewards v1 -e lab
    """
    with reach(environment) as (found, mesh):
        address = _text(found, candidacy.operator_of(found, mesh, who))
        told = mesh.ask_any(lambda each: each.member_rewards(address))
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join(electorate.reward_lines(told)))
    return Exit.OK


def _text(found: Environment, operator: Address) -> str:
    return bech32.address_text(found.chain.hrp, operator)
