"""How is the fate of a transaction shown, and labelled facts like it?

Do not ask nodes here.
"""

import re
from collections.abc import Iterator

import click
import msgspec

from aitbc_node import bech32
from aitbc_node.ledger.objects import NATIVE, NATIVE_DECIMALS
from aitbc_node.rpc import schema
from aitbc_node.types import Address
from aitbc_toolkit import amounts, payments
from aitbc_toolkit.cli.tables import printable
from aitbc_toolkit.errors import Exit

_LABEL = 10
_ADDRESS = re.compile(r"[0-9a-f]{40}")


def show_fate(told: schema.TxView, hrp: str, *, as_json: bool) -> Exit:
    """Print the fate of a transaction.

    Raises: AitbcError for one that took no effect.
    """
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
    else:
        click.echo("\n".join(fate_lines(told, hrp)))
    if told.status in {"rejected", "expired"}:
        raise payments.without_effect(told)
    return Exit.OK


def fate_lines(told: schema.TxView, hrp: str) -> Iterator[str]:
    """Write a fate for people, a line a fact."""
    yield line("id", told.id)
    yield line("status", told.status if told.code in {"", "ok"} else f"{told.status}: {told.code}")
    if told.height is not None:
        yield line("block", f"{told.height:,}, index {told.index}")
    if told.fee is not None:
        yield line("fee", native(told.fee))
    for event in told.events:
        words = (_shown(word, hrp) if _ADDRESS.fullmatch(word) else word for word in event)
        yield line("event", " ".join(words))


def line(label: str, text: str, *, width: int = _LABEL) -> str:
    """Write one labelled fact."""
    return printable(f"{label:<{width}}{text}")


def native(units: str | int) -> str:
    """Write an amount of the native asset."""
    return f"{amounts.write(int(units), decimals=NATIVE_DECIMALS)} {NATIVE}"


def _shown(address: str, hrp: str) -> str:
    return bech32.address_text(hrp, Address(bytes.fromhex(address)))
