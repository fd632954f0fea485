"""`aitbc asset`: what an asset is, how one comes about, how its units do."""

from collections.abc import Iterator

import click
import msgspec

from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.definitions import AssetDefine
from aitbc_node.ledger.families import Body
from aitbc_node.rpc import schema
from aitbc_node.types import Amount
from aitbc_toolkit import amounts, payments, wallet
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.cli.acting import Way, act, acting_options, node_option
from aitbc_toolkit.cli.fates import line
from aitbc_toolkit.cli.reaching import environment_option, json_option, reach
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.wallet import Wallet


@click.group()
def asset() -> None:
    """Show assets, define one, make and destroy units."""


@asset.command("show")
@click.argument("ticker")
@node_option
@environment_option
@json_option
def show_asset(ticker: str, *, node: str, environment: str, as_json: bool) -> Exit:
    """Show an asset: its name, decimals, supply and rules.

    Example: aitbc asset show AIT -e lab
    """
    with reach(environment, node=node) as (_found, mesh):
        told = payments.asset(mesh, ticker)
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join(_asset_lines(told)))
    return Exit.OK


@asset.command()
@click.argument("ticker")
@click.option("--name", required=True, help="What people call it.")
@click.option("--decimals", type=click.IntRange(0, 18), required=True, help="Of one coin.")
@click.option("--most", required=True, help="All that may ever be minted, in whole coins.")
@click.option("--least", default="", help="The least payment; the smallest unit unless given.")
@click.option("--mint-by", "minter", default="", help="Who mints; the signer unless given.")
@acting_options
def define(
    ticker: str, *, name: str, decimals: int, most: str, least: str, minter: str, way: Way
) -> Exit:
    """Define an asset under a TICKER that nobody has taken; it begins empty.

    Example: aitbc asset define ROAD --name "Road toll" --decimals 2 --most 1000000 --key FILE
    """

    def write(found: Environment, _mesh: MeshClient, signer: Wallet) -> list[Body]:
        by = wallet.read_address(minter, hrp=found.chain.hrp) if minter else signer.account
        greatest = amounts.read(most, decimals=decimals, asset=ticker)
        smallest = amounts.read(least, decimals=decimals, asset=ticker) if least else 1
        return [AssetDefine(ticker, name, decimals, by, Amount(smallest), Amount(greatest))]

    return act(way, write)


@asset.command()
@click.argument("ticker")
@click.argument("amount")
@click.option("--to", "recipient", default="", help="Whose they are; the signer's unless given.")
@acting_options
def mint(ticker: str, amount: str, *, recipient: str, way: Way) -> Exit:
    """Make AMOUNT units of an asset, as its mint authority.

    Example: aitbc asset mint ROAD 100 --key FILE
    """

    def write(found: Environment, mesh: MeshClient, signer: Wallet) -> list[Body]:
        units = payments.units(mesh, amount, ticker)
        text = payments.address_text(found, recipient) if recipient else ""
        to = wallet.read_address(text, hrp=found.chain.hrp) if text else signer.account
        return [AssetSupply(ticker, to, units)]

    return act(way, write)


@asset.command()
@click.argument("ticker")
@click.argument("amount")
@acting_options
def burn(ticker: str, amount: str, *, way: Way) -> Exit:
    """Destroy AMOUNT units of an asset in the account of its mint authority.

    Example: aitbc asset burn ROAD 5 --key FILE
    """

    def write(_found: Environment, mesh: MeshClient, signer: Wallet) -> list[Body]:
        return [AssetSupply(ticker, signer.account, -payments.units(mesh, amount, ticker))]

    return act(way, write)


def _asset_lines(told: schema.AssetView) -> Iterator[str]:
    supply = amounts.write(int(told.total_supply), decimals=told.decimals)
    yield line("ticker", told.ticker)
    yield line("name", told.name)
    yield line("decimals", str(told.decimals))
    yield line("supply", f"{supply} ({told.total_supply} base units)")
    yield line("mint", told.mint_authority or "nobody")
    if told.mint_authority:
        most = amounts.write(int(told.mint_max), decimals=told.decimals)
        yield line("at most", f"{most} may ever be minted")
    if told.paused:
        yield line("state", "paused")
    elif told.minting_paused:
        yield line("state", "minting paused")
