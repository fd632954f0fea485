"""`aitbc proposal`: what the validators vote on, and how an operator proposes and votes."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import msgspec

from aitbc_node.ledger.families import Body
from aitbc_node.ledger.motions import Motion
from aitbc_node.ledger.proposals import ProposalVote
from aitbc_toolkit import deciding, payments
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.cli import electorate
from aitbc_toolkit.cli.acting import Way, act, acting_options, node_option
from aitbc_toolkit.cli.reaching import environment_option, json_option, reach
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.wallet import Wallet

voters_option = click.option(
    "--voter",
    "voters",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Another operator's key that says yes; once for each.",
)


@click.group()
def proposal() -> None:
    """Show what the validators vote on; propose and vote."""


@proposal.command("list")
@node_option
@environment_option
@json_option
def list_all(*, node: str, environment: str, as_json: bool) -> Exit:
    """List the open proposals with their tallies.

    Example: aitbc proposal list -e lab
    """
    with reach(environment, node=node) as (_found, mesh):
        told = mesh.ask_any(lambda each: each.proposals())
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join(electorate.proposal_table(told)))
    return Exit.OK


@proposal.command()
@click.argument("name", metavar="ID")
@node_option
@environment_option
@json_option
def show(name: str, *, node: str, environment: str, as_json: bool) -> Exit:
    """Show an open proposal and who has voted how.

    Example: aitbc proposal show ID -e lab
    """
    with reach(environment, node=node) as (_found, mesh):
        told = mesh.ask_any(lambda each: each.proposal(name))
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join(electorate.proposal_lines(told)))
    return Exit.OK


@proposal.command()
@click.argument("kind", type=click.Choice(list(deciding.WORDS)))
@click.argument("words", nargs=-1)
@voters_option
@acting_options
def submit(kind: str, words: Sequence[str], *, voters: Sequence[Path], way: Way) -> Exit:
    """Ask the validators for a decision, and say yes with every key at hand.

    Example: aitbc proposal submit param epoch_blocks 100 --key mine.key --voter yours.key
    """
    return decide(way, voters, lambda found, _mesh: deciding.motion(found, kind, words))


@proposal.command()
@click.argument("name", metavar="ID")
@click.argument("answer", type=click.Choice(["yes", "no"]))
@acting_options
def vote(name: str, answer: str, *, way: Way) -> Exit:
    """Vote on an open proposal as the operator of --key; a vote is for good.

    Example: aitbc proposal vote ID yes --key FILE
    """

    def write(_found: Environment, _mesh: MeshClient, _signer: Wallet) -> Sequence[Body]:
        return [ProposalVote(deciding.proposal_id(name), answer == "yes")]

    return act(way, write, own=True)


def decide(
    way: Way, voters: Sequence[Path], ask: Callable[[Environment, MeshClient], Motion]
) -> Exit:
    """Propose, say yes with every key, and print how far that came."""
    with reach(way.environment) as (found, mesh):
        if way.no_wait:
            raise UsageError("votes wait for the proposal: no --no-wait", hint="leave it out")
        proposer = way.signer(found, own=True)
        asked = ask(found, mesh)
        others = [payments.signer(found, [file]) for file in voters]
        forum = deciding.Forum(found, mesh, way.deadline_s, way.node)
        made = deciding.decide(forum, [proposer, *others], asked)
        blocks = mesh.ask_any(lambda node: node.epoch()).blocks
    ends = -(-made.height // blocks) * blocks
    if way.as_json:
        shown = {"proposal": made.id, "passed": made.passed, "epoch_ends": ends}
        click.echo(json.dumps({**shown, "open": msgspec.to_builtins(made.open)}))
    else:
        click.echo("\n".join(electorate.decision_lines(made, ends)))
    return Exit.OK
