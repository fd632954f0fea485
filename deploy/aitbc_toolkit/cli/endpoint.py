"""`aitbc endpoint`: where an agent answers, under an address that it keeps when it moves."""

import json

import click

from aitbc_node.ledger.families import Body
from aitbc_node.ledger.records import TTL_BLOCKS_MAX
from aitbc_node.transport.addresses import PORT_MAX
from aitbc_toolkit import endpoints
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.cli.acting import Way, act, acting_options
from aitbc_toolkit.cli.reaching import environment_option, json_option, reach
from aitbc_toolkit.cli.saying import say
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.wallet import Wallet

_port = click.argument("port", type=click.IntRange(0, PORT_MAX))


@click.group()
def endpoint() -> None:
    """Put on the ledger where an agent answers; find where one does."""


@endpoint.command()
@_port
@click.argument("place", metavar="HOST:PORT")
@click.option(
    "--blocks",
    type=click.IntRange(1, TTL_BLOCKS_MAX),
    default=endpoints.BLOCKS,
    show_default=True,
    help="How long it is remembered; its room is paid for in advance.",
)
@acting_options
def publish(port: int, place: str, *, blocks: int, way: Way) -> Exit:
    """Say that the signer's PORT is at HOST:PORT now; once more after each move.

    Example: aitbc endpoint publish 80 198.51.100.7:8080 --key FILE
    """

    def write(found: Environment, mesh: MeshClient, signer: Wallet) -> list[Body]:
        body = endpoints.published(port, place, blocks)
        agent = signer.address(found.chain.hrp)
        say(f"address: {endpoints.address_of(mesh, agent, port)}", err=True)
        return [body]

    return act(way, write)


@endpoint.command()
@_port
@acting_options
def withdraw(port: int, *, way: Way) -> Exit:
    """Take back what the signer said of PORT.

    Example: aitbc endpoint withdraw 80 --key FILE
    """
    return act(way, lambda _found, _mesh, _signer: [endpoints.published(port, "", 0)])


@endpoint.command()
@click.argument("address")
@environment_option
@json_option
def resolve(address: str, *, environment: str, as_json: bool) -> Exit:
    """Print the HOST:PORT at which an aitbc://NETWORK/AGENT/PORT answers now.

    Example: aitbc endpoint resolve aitbc://0123456789abcdef/AGENT/80 -e lab
    """
    with reach(environment) as (found, mesh):
        wanted = endpoints.AgentAddress.parse(address)
        there = endpoints.resolve(mesh, wanted, hrp=found.chain.hrp)
    if as_json:
        told = {
            "address": str(wanted),
            "endpoint": str(there),
            "expires": there.expires,
            "height": there.height,
        }
        click.echo(json.dumps(told))
    else:
        click.echo(str(there))
    return Exit.OK
