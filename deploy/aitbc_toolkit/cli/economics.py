"""`aitbc economics`: what gas costs, and the money of the chain."""

from collections.abc import Iterator

import click
import msgspec

from aitbc_node.ledger.objects import NATIVE, NATIVE_DECIMALS
from aitbc_node.rpc import schema
from aitbc_toolkit import amounts
from aitbc_toolkit.cli import tables
from aitbc_toolkit.cli.reaching import environment_option, json_option, reach
from aitbc_toolkit.cli.tables import Column, printable
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.rpc_client import RefusedError

_LABEL = 12
_TRANSFER = "aitbc economics gas-price   # of a transfer"

_ASSET_COLUMNS = (
    Column("ASSET"),
    Column("SUPPLY", right=True),
    Column("MINTED", spare=2, right=True),
    Column("BURNED", spare=1, right=True),
    Column("HELD", right=True),
)
_CHECK_COLUMNS = (Column("CHECK"), Column("VERDICT"), Column("WHAT"))

_node_option = click.option("--node", default="", help="Ask this node only.")


@click.group()
def economics() -> None:
    """Show what gas costs, and the chain's money with its checks."""


@economics.command("gas-price")
@click.option("--gas", type=click.IntRange(min=1), help="Price this much; else a transfer's.")
@_node_option
@environment_option
@json_option
def gas_price(*, gas: int | None, node: str, environment: str, as_json: bool) -> Exit:
    """Show the price of gas, and limits that outlive one, ten and thirty full blocks."""
    try:
        with reach(environment, node=node) as (_found, mesh):
            told = mesh.ask_any(lambda each: each.fees(gas))
    except RefusedError as refused:
        if refused.field != "gas":
            raise
        raise UsageError(f"--gas {gas}: {refused.reason}", hint=_TRANSFER) from refused
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join(_price_lines(told)))
    return Exit.OK


@economics.command()
@_node_option
@environment_option
@json_option
def stats(*, node: str, environment: str, as_json: bool) -> Exit:
    """Show supplies, pools, the newest fees and the ledger's checks; exit 1 when one is broken."""
    with reach(environment, node=node) as (_found, mesh):
        money, audit = mesh.ask_any(lambda each: (each.economics(), each.audit()))
    if as_json:
        click.echo(msgspec.json.encode({"economics": money, "audit": audit}).decode())
    else:
        click.echo("\n".join([*_money_lines(money), "", *_check_lines(audit)]))
    return Exit.FAILED if audit.violations else Exit.OK


def _price_lines(told: schema.FeeEstimate) -> Iterator[str]:
    for label, price in (
        ("now", told.price),
        ("slow", told.slow),
        ("standard", told.standard),
        ("fast", told.fast),
    ):
        fee = told.fees.get(label)  # an older node names prices only
        cost = "" if fee is None else f", {told.gas:,} gas cost {_native(int(fee))}"
        yield _line(label, f"{price:,}{cost}")
    yield _line(
        "bounds", f"{told.min_price:,} to {told.max_price:,}, at genesis {told.base_price:,}"
    )
    yield _line("blocks", f"{told.full_bps / 100:.1f} % full, the last ten")
    yield "Prices are in thousandths of a base unit per 1000 gas; nobody pays more than the price."


def _money_lines(told: schema.Economics) -> Iterator[str]:
    yield from tables.draw(_ASSET_COLUMNS, [_asset_row(*row) for row in told.assets.items()])
    hidden = told.asset_count - len(told.assets)
    if hidden:
        yield f"and {hidden:,} more assets"
    yield ""
    for name, holdings in told.pools.items():
        yield _line(name, ", ".join(_amount(told, *row) for row in holdings.items()) or "empty")
    yield _line("bonded", f"{_native(int(told.bonded))}, {told.bonded_bps / 100:.2f} % of all")
    yield _line("unbonding", _native(int(told.unbonding)))
    yield _line("unpaid", f"{_native(int(told.accrued))} of rewards")
    shares = told.fees
    yield _line(
        "newest fees",
        f"{_native(int(shares.collected))}: proposer {_native(int(shares.proposer))},"
        f" treasury {_native(int(shares.treasury))}, burned {_native(int(shares.burned))}",
    )
    yield _line("gas price", f"{told.price:,}")
    yield _line("adds up", "yes" if told.conserved else "NO")


def _asset_row(ticker: str, row: schema.SupplyView) -> tuple[str, ...]:
    figures = (row.supply, row.minted, row.burned, row.held)
    return ticker, *(amounts.write(int(units), decimals=row.decimals) for units in figures)


def _amount(told: schema.Economics, ticker: str, units: str) -> str:
    known = told.assets.get(ticker)
    if known is None:
        return f"{units} base units of {ticker}"
    return f"{amounts.write(int(units), decimals=known.decimals)} {ticker}"


def _native(units: int) -> str:
    return f"{amounts.write(units, decimals=NATIVE_DECIMALS)} {NATIVE}"


def _check_lines(told: schema.AuditAnswer) -> Iterator[str]:
    yield from tables.draw(_CHECK_COLUMNS, [_check_row(row) for row in told.invariants])
    yield f"Compared at height {told.height:,}; {told.blocks_compared:,} blocks one by one."


def _check_row(row: schema.InvariantView) -> tuple[str, str, str]:
    match row.held:
        case True:
            return row.name, "held", row.title
        case False:
            return row.name, "BROKEN", row.detail
        case None:
            return row.name, "not compared", f"{row.title} ({row.detail})"


def _line(label: str, text: str) -> str:
    return printable(f"{label:<{_LABEL}}{text}")
