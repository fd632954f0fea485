"""`aitbc tx`, `aitbc account`, `aitbc asset`: money on the ledger."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec

from aitbc_node import bech32
from aitbc_node.ledger.objects import NATIVE, NATIVE_DECIMALS
from aitbc_node.limits import TX_BYTES_MAX
from aitbc_node.rpc import schema
from aitbc_node.types import Address
from aitbc_toolkit import amounts, keys, payments
from aitbc_toolkit.books import Schedule
from aitbc_toolkit.cli.environment import load
from aitbc_toolkit.cli.reaching import environment_option, json_option, reach
from aitbc_toolkit.cli.sending import send_on, sending_options
from aitbc_toolkit.cli.tables import printable
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.payments import Payment
from aitbc_toolkit.wallet import Wallet

_LABEL = 10
_WAIT_S = 60
_ID = re.compile(r"[0-9a-f]{64}")
_ADDRESS = re.compile(r"[0-9a-f]{40}")

_node_option = click.option("--node", default="", help="Ask this node only.")
_deadline_option = click.option(
    "--deadline",
    type=click.IntRange(min=1),
    default=_WAIT_S,
    show_default=True,
    help="Seconds to wait for the end.",
)
_key_option = click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    help="The PEM key that pays; the environment's faucet unless given.",
)


@click.group()
def tx() -> None:
    """Send, show and wait for transactions."""


@tx.command()
@click.option("--to", "recipient", help="An address, or `faucet`.")
@click.option("--amount", help="In whole coins, like 1.5.")
@click.option("--asset", "ticker", default=NATIVE, show_default=True)
@click.option("--memo", default="", help="At most 256 bytes, for everybody to read.")
@_key_option
@_node_option
@click.option("--no-wait", is_flag=True, help="Do not wait until it is final.")
@_deadline_option
@sending_options
@environment_option
@json_option
def send(  # noqa: PLR0913 - one parameter per option
    recipient: str,
    amount: str,
    *,
    ticker: str,
    memo: str,
    key_file: Path | None,
    node: str,
    no_wait: bool,
    deadline: int,
    schedule: Schedule | None,
    environment: str,
    as_json: bool,
) -> Exit:
    """Pay, and wait until the payment is final; or send on and on with --rate and --for.

    Example: aitbc tx send --to faucet --amount 1.5 -e dev
    """
    if schedule:
        return send_on(environment, schedule, key_file, as_json=as_json)
    with reach(environment) as (found, mesh):
        if node:
            found.instance(node)  # an unknown name is told before anything is asked
        wallet = Wallet(keys.read(key_file) if key_file else keys.read_faucet(found.folder))
        wanted = Payment(recipient, amount, ticker, memo)
        raw, tx_id = payments.pay(found, mesh, wallet, wanted, node=node)
        if no_wait:
            told = schema.TxView(id=tx_id, status="pending")
        else:
            told = mesh.wait(tx_id, deadline_s=deadline, raw=raw)
    return _show(told, found.chain.hrp, as_json=as_json)


@tx.command()
@click.argument("file", type=click.File("rb", lazy=True))
@_node_option
@click.option("--no-wait", is_flag=True, help="Do not wait until it is final.")
@_deadline_option
@environment_option
@json_option
def submit(
    file: BinaryIO, *, node: str, no_wait: bool, deadline: int, environment: str, as_json: bool
) -> Exit:
    """Hand in the raw bytes of a signed transaction from FILE, or from standard input with `-`.

    Example: aitbc tx submit payment.tx -e lab
    """
    raw = file.read(TX_BYTES_MAX + 1)  # one byte more than is allowed is refused like any more
    with reach(environment, node=node) as (found, mesh):
        accepted = mesh.submit(raw)
        told = schema.TxView(id=accepted.id, status=accepted.status)
        if not no_wait:
            told = mesh.wait(accepted.id, deadline_s=deadline, raw=raw)
    return _show(told, found.chain.hrp, as_json=as_json)


@tx.command()
@click.argument("tx_id")
@_node_option
@environment_option
@json_option
def show(tx_id: str, *, node: str, environment: str, as_json: bool) -> Exit:
    """Show what became of a transaction."""
    _check_id(tx_id)
    with reach(environment, node=node) as (found, mesh):
        told = mesh.fate(tx_id)
    if told is None:
        raise AitbcError(
            f"transaction {tx_id[:12]} is not known to any node that answers",
            hint="one that was never handed in, or whose nodes forgot it: hand in the same bytes",
        )
    return _show(told, found.chain.hrp, as_json=as_json)


@tx.command()
@click.argument("tx_id")
@_deadline_option
@_node_option
@environment_option
@json_option
def wait(tx_id: str, *, deadline: int, node: str, environment: str, as_json: bool) -> Exit:
    """Wait until a transaction has ended; exit 1 unless it took effect."""
    _check_id(tx_id)
    with reach(environment, node=node) as (found, mesh):
        told = mesh.wait(tx_id, deadline_s=deadline)
    return _show(told, found.chain.hrp, as_json=as_json)


@click.group()
def account() -> None:
    """Show accounts and make keys for them."""


@account.command("show")
@click.argument("address")
@_node_option
@environment_option
@json_option
def show_account(address: str, *, node: str, environment: str, as_json: bool) -> Exit:
    """Show what an account owns; ADDRESS may be `faucet`."""
    with reach(environment, node=node) as (found, mesh):
        named = payments.address_text(found, address)
        told = mesh.ask_any(lambda each: each.account(named))
        decimals = payments.decimals_of(mesh, told.balances)
    if as_json:
        click.echo(json.dumps(_account_json(told, decimals)))
    else:
        click.echo("\n".join(_account_lines(told, decimals)))
    return Exit.OK


@account.command()
@click.argument("file", type=click.Path(path_type=Path))
@environment_option
def new(file: Path, *, environment: str) -> Exit:
    """Make a key in FILE, readable by its owner only, and print the address of its account."""
    found = load(environment)
    if not file.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {file.parent}", hint=f"mkdir -p {file.parent}")
    if not keys.make(file):
        raise UsageError(f"{file} exists already", hint="choose another file; keys are not reused")
    click.echo(Wallet(keys.read(file)).address(found.chain.hrp))
    return Exit.OK


@click.group()
def asset() -> None:
    """Show assets."""


@asset.command("show")
@click.argument("ticker")
@_node_option
@environment_option
@json_option
def show_asset(ticker: str, *, node: str, environment: str, as_json: bool) -> Exit:
    """Show an asset: its name, decimals, supply and rules."""
    with reach(environment, node=node) as (_found, mesh):
        told = payments.asset(mesh, ticker)
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join(_asset_lines(told)))
    return Exit.OK


def _show(told: schema.TxView, hrp: str, *, as_json: bool) -> Exit:
    """Print the fate of a transaction.

    Raises: AitbcError for one that took no effect.
    """
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join(_tx_lines(told, hrp)))
    if told.status in {"rejected", "expired"}:
        raise payments.without_effect(told)
    return Exit.OK


def _tx_lines(told: schema.TxView, hrp: str) -> Iterator[str]:
    yield _line("id", told.id)
    yield _line("status", told.status if told.code in {"", "ok"} else f"{told.status}: {told.code}")
    if told.height is not None:
        yield _line("block", f"{told.height:,}, index {told.index}")
    if told.fee is not None:
        fee = amounts.write(int(told.fee), decimals=NATIVE_DECIMALS)
        yield _line("fee", f"{fee} {NATIVE}")
    for event in told.events:
        words = (_shown(word, hrp) if _ADDRESS.fullmatch(word) else word for word in event)
        yield _line("event", " ".join(words))


def _shown(address: str, hrp: str) -> str:
    return bech32.address_text(hrp, Address(bytes.fromhex(address)))


def _account_lines(told: schema.AccountView, decimals: dict[str, int]) -> Iterator[str]:
    yield _line("address", told.address)
    yield _line("nonce", f"{told.nonce}, next {told.next_nonce}")
    for ticker, row in told.balances.items():
        exact = (row.balance, row.locked, row.available)
        human = [amounts.write(int(units), decimals=decimals[ticker]) for units in exact]
        yield _line(ticker, f"{human[0]}, locked {human[1]}, available {human[2]}")
    if not told.balances:
        yield _line("owns", "nothing")
    if told.policy is not None:
        yield _line("signed by", f"{told.policy.threshold} of {len(told.policy.keys)} keys")


def _account_json(told: schema.AccountView, decimals: dict[str, int]) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(told)
    for ticker, row in document["balances"].items():
        row["human"] = amounts.write(int(row["balance"]), decimals=decimals[ticker])
    return document


def _asset_lines(told: schema.AssetView) -> Iterator[str]:
    supply = amounts.write(int(told.total_supply), decimals=told.decimals)
    yield _line("ticker", told.ticker)
    yield _line("name", told.name)
    yield _line("decimals", str(told.decimals))
    yield _line("supply", f"{supply} ({told.total_supply} base units)")
    yield _line("mint", told.mint_authority or "nobody")
    if told.mint_authority:
        most = amounts.write(int(told.mint_max), decimals=told.decimals)
        yield _line("at most", f"{most} may ever be minted")
    if told.paused:
        yield _line("state", "paused")


def _line(label: str, text: str) -> str:
    return printable(f"{label:<{_LABEL}}{text}")


def _check_id(text: str) -> None:
    if not _ID.fullmatch(text):
        raise UsageError(
            f"{text[:70]!r} is no transaction id", hint="an id is 64 lower-case hex digits"
        )
