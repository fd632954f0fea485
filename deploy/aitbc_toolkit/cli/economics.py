"""`aitbc economics`: what gas costs, the money of the chain, and an account's part in staking."""

from collections.abc import Iterator, Sequence

import click
import msgspec

from aitbc_node import bech32
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.rewards import RewardClaim
from aitbc_node.rpc import schema
from aitbc_node.rpc.estimates import FeeEstimate
from aitbc_toolkit import amounts, candidacy, electing, payments
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.cli import electorate, tables
from aitbc_toolkit.cli.acting import Way, act, acting_options, force_option, node_option
from aitbc_toolkit.cli.fates import line, native
from aitbc_toolkit.cli.reaching import environment_option, json_option, reach
from aitbc_toolkit.cli.tables import Column
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.rpc_client import RefusedError
from aitbc_toolkit.wallet import Wallet

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


@click.group()
def economics() -> None:
    """Show the chain's money with its checks; stake, and claim what it earned."""


@economics.command("gas-price")
@click.option("--gas", type=click.IntRange(min=1), help="Price this much; else a transfer's.")
@node_option
@environment_option
@json_option
def gas_price(*, gas: int | None, node: str, environment: str, as_json: bool) -> Exit:
    """Show the price of gas, and limits that outlive one, ten and thirty full blocks.

    Example: aitbc economics gas-price --gas 42000 -e lab
    """
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
@node_option
@environment_option
@json_option
def stats(*, node: str, environment: str, as_json: bool) -> Exit:
    """Show supplies, pools, the newest fees and the ledger's checks; exit 1 when one is broken.

    Example: aitbc economics stats -e lab
    """
    with reach(environment, node=node) as (_found, mesh):
        money, audit = mesh.ask_any(lambda each: (each.economics(), each.audit()))
    if as_json:
        click.echo(msgspec.json.encode({"economics": money, "audit": audit}).decode())
    else:
        click.echo("\n".join([*_money_lines(money), "", *_check_lines(audit)]))
    return Exit.FAILED if audit.violations else Exit.OK


@economics.command()
@click.argument("validator")
@click.argument("amount")
@acting_options
def stake(validator: str, amount: str, *, way: Way) -> Exit:
    """Put AMOUNT coins behind a VALIDATOR: an operator's address, or the name of its node.

    Example: aitbc economics stake v1 5 --key FILE
    """

    def write(found: Environment, mesh: MeshClient, _signer: Wallet) -> Sequence[Body]:
        return [candidacy.bonded(candidacy.operator_of(found, mesh, validator), amount)]

    return act(way, write)


@economics.command()
@click.argument("validator")
@click.argument("amount")
@force_option
@acting_options
def unstake(validator: str, amount: str, *, force: bool, way: Way) -> Exit:
    """Take AMOUNT coins back from behind a VALIDATOR; they come when unbonding is over.

    Example: aitbc economics unstake v1 5 --key FILE
    """

    def write(found: Environment, mesh: MeshClient, _signer: Wallet) -> Sequence[Body]:
        operator = candidacy.operator_of(found, mesh, validator)
        taken = candidacy.unbonded(operator, amount)
        if not force:
            address = bech32.address_text(found.chain.hrp, operator)
            electing.keep_quorum(mesh, address, bond=-taken.amount)
        return [taken]

    return act(way, write)


@economics.command()
@click.option("--validator", default="", help="With this one; the own one unless given.")
@acting_options
def claim(*, validator: str, way: Way) -> Exit:
    """Take what the account of --key has earned with a validator; an operator its commission.

    Example: aitbc economics claim --validator v1 --key FILE
    """

    def write(found: Environment, mesh: MeshClient, signer: Wallet) -> Sequence[Body]:
        if not validator:
            return [RewardClaim(signer.account)]
        return [RewardClaim(candidacy.operator_of(found, mesh, validator))]

    return act(way, write)


@economics.command()
@click.argument("address")
@node_option
@environment_option
@json_option
def stakes(address: str, *, node: str, environment: str, as_json: bool) -> Exit:
    """Show what an account has behind validators, and what is on its way back.

    Example: aitbc economics stakes faucet -e lab
    """
    with reach(environment, node=node) as (found, mesh):
        named = payments.address_text(found, address)
        told = mesh.ask_any(lambda each: each.stakes(named))
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join(electorate.stake_lines(told)))
    return Exit.OK


@economics.command()
@click.argument("address")
@node_option
@environment_option
@json_option
def rewards(address: str, *, node: str, environment: str, as_json: bool) -> Exit:
    """Show what an account may claim; ADDRESS may be `faucet`.

    Example: aitbc economics rewards faucet -e lab
    """
    with reach(environment, node=node) as (found, mesh):
        named = payments.address_text(found, address)
        told = mesh.ask_any(lambda each: each.rewards(named))
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join(electorate.claim_lines(told)))
    return Exit.OK


def _price_lines(told: FeeEstimate) -> Iterator[str]:
    for label, price in (
        ("now", told.price),
        ("slow", told.slow),
        ("standard", told.standard),
        ("fast", told.fast),
    ):
        fee = told.fees.get(label)  # an older node names prices only
        cost = "" if fee is None else f", {told.gas:,} gas cost {native(int(fee))}"
        yield _line(label, f"{price:,}{cost}")
    yield _line(
        "bounds", f"{told.min_price:,} to {told.max_price:,}, at genesis {told.base_price:,}"
    )
    yield _line("blocks", f"{told.full_bps / 100:.1f} % full, the last ten")
    if told.tips:
        yield _line("tips", _tips(told))
    yield "Prices are in thousandths of a base unit per 1000 gas; nobody pays more than the price."


def _tips(told: FeeEstimate) -> str:
    seen = f"{told.full_blocks} of {told.blocks_seen} blocks had no room"
    if not any(map(int, told.tips.values())):
        return f"none needed, {seen}"
    each = [f"{name} {native(int(tip))}" for name, tip in told.tips.items()]
    return f"{', '.join(each)} on top of the fee; {seen}"


def _money_lines(told: schema.Economics) -> Iterator[str]:
    yield from tables.draw(_ASSET_COLUMNS, [_asset_row(*row) for row in told.assets.items()])
    hidden = told.asset_count - len(told.assets)
    if hidden:
        yield f"and {hidden:,} more assets"
    yield ""
    for name, holdings in told.pools.items():
        yield _line(name, ", ".join(_amount(told, *row) for row in holdings.items()) or "empty")
    yield _line("bonded", f"{native(int(told.bonded))}, {told.bonded_bps / 100:.2f} % of all")
    yield _line("unbonding", native(int(told.unbonding)))
    yield _line("unpaid", f"{native(int(told.accrued))} of rewards")
    shares = told.fees
    yield _line(
        "newest fees",
        f"{native(int(shares.collected))}: proposer {native(int(shares.proposer))},"
        f" treasury {native(int(shares.treasury))}, burned {native(int(shares.burned))}",
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
    return line(label, text, width=_LABEL)
