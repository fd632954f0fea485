"""`aitbc tx`: pay, hand in, and see what became of a transaction."""

import re
from typing import BinaryIO

import click

from aitbc_node.ledger.objects import NATIVE
from aitbc_node.limits import TX_BYTES_MAX
from aitbc_node.rpc import schema
from aitbc_toolkit import payments
from aitbc_toolkit.books import Schedule
from aitbc_toolkit.cli.acting import Way, act, acting_options, deadline_option, node_option
from aitbc_toolkit.cli.fates import show_fate
from aitbc_toolkit.cli.reaching import environment_option, json_option, reach
from aitbc_toolkit.cli.sending import send_on, sending_options
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.payments import Payment

_ID = re.compile(r"[0-9a-f]{64}")


@click.group()
def tx() -> None:
    """Send, show and wait for transactions."""


@tx.command()
@click.option("--to", "recipient", help="An address, or `faucet`.")
@click.option("--amount", help="In whole coins, like 1.5.")
@click.option("--asset", "ticker", default=NATIVE, show_default=True, help="Of which asset.")
@click.option("--memo", default="", help="At most 256 bytes, for everybody to read.")
@acting_options
@sending_options
def send(
    recipient: str, amount: str, *, ticker: str, memo: str, schedule: Schedule | None, way: Way
) -> Exit:
    """Pay, and wait until the payment is final; or send on and on with --rate and --for.

    Of an account of several keys give --account and each --key that signs.

    Example: aitbc tx send --to faucet --amount 1.5 -e dev
    """
    if schedule:
        return send_on(schedule, way)
    wanted = Payment(recipient, amount, ticker, memo)
    return act(way, lambda found, mesh, _signer: [payments.transfer(found, mesh, wanted)])


@tx.command()
@click.argument("file", type=click.File("rb", lazy=True))
@node_option
@click.option("--no-wait", is_flag=True, help="Do not wait until it is final.")
@deadline_option
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
    return show_fate(told, found.chain.hrp, as_json=as_json)


@tx.command()
@click.argument("tx_id")
@node_option
@environment_option
@json_option
def show(tx_id: str, *, node: str, environment: str, as_json: bool) -> Exit:
    """Show what became of a transaction.

    Example: aitbc tx show ID -e lab
    """
    _check_id(tx_id)
    with reach(environment, node=node) as (found, mesh):
        told = mesh.fate(tx_id)
    if told is None:
        raise AitbcError(
            f"transaction {tx_id[:12]} is not known to any node that answers",
            hint="one that was never handed in, or whose nodes forgot it: hand in the same bytes",
        )
    return show_fate(told, found.chain.hrp, as_json=as_json)


@tx.command()
@click.argument("tx_id")
@deadline_option
@node_option
@environment_option
@json_option
def wait(tx_id: str, *, deadline: int, node: str, environment: str, as_json: bool) -> Exit:
    """Wait until a transaction has ended; exit 1 unless it took effect.

    Example: aitbc tx wait ID -e lab
    """
    _check_id(tx_id)
    with reach(environment, node=node) as (found, mesh):
        told = mesh.wait(tx_id, deadline_s=deadline)
    return show_fate(told, found.chain.hrp, as_json=as_json)


def _check_id(text: str) -> None:
    if not _ID.fullmatch(text):
        raise UsageError(
            f"{text[:70]!r} is no transaction id", hint="an id is 64 lower-case hex digits"
        )
