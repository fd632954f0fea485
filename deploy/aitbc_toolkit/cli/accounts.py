"""`aitbc account`: what an account owns, and who signs for it."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from aitbc_node.ledger.families import Body
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.rpc import schema
from aitbc_node.types import PublicKey
from aitbc_toolkit import amounts, keys, payments
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.cli.acting import Way, act, acting_options, node_option
from aitbc_toolkit.cli.environment import load
from aitbc_toolkit.cli.fates import line
from aitbc_toolkit.cli.reaching import environment_option, json_option, reach
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.wallet import Wallet

_KEY = re.compile(r"[0-9a-f]{64}")


@click.group()
def account() -> None:
    """Show accounts, make keys for them, change who signs."""


@account.command("show")
@click.argument("address")
@node_option
@environment_option
@json_option
def show_account(address: str, *, node: str, environment: str, as_json: bool) -> Exit:
    """Show what an account owns; ADDRESS may be `faucet`.

    Example: aitbc account show faucet -e lab
    """
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
    """Make a key in FILE, readable by its owner only, and print the address of its account.

    Example: aitbc account new ana.key
    """
    found = load(environment)
    if not file.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {file.parent}", hint=f"mkdir -p {file.parent}")
    if not keys.make(file):
        raise UsageError(f"{file} exists already", hint="choose another file; keys are not reused")
    click.echo(Wallet(keys.read(file)).address(found.chain.hrp))
    return Exit.OK


@account.command()
@click.option("--threshold", type=click.IntRange(min=1), required=True, help="So many must sign.")
@click.option(
    "--signer",
    "signers",
    multiple=True,
    required=True,
    help="A public key in hex, or a key's file; once for each who may sign.",
)
@acting_options
def policy(threshold: int, *, signers: Sequence[str], way: Way) -> Exit:
    """Change who signs for the account of --key; it keeps its address.

    Example: aitbc account policy --threshold 2 --signer a.key --signer b.key --signer c.key
    """

    def write(_found: Environment, _mesh: MeshClient, _signer: Wallet) -> Sequence[Body]:
        return [AccountPolicy(threshold, tuple(sorted(_public_key(word) for word in signers)))]

    return act(way, write, own=True)


def _public_key(word: str) -> PublicKey:
    if _KEY.fullmatch(word):
        return PublicKey(bytes.fromhex(word))
    return keys.read(Path(word)).public_key


def _account_lines(told: schema.AccountView, decimals: dict[str, int]) -> Iterator[str]:
    yield line("address", told.address)
    yield line("nonce", f"{told.nonce}, next {told.next_nonce}")
    for ticker, row in told.balances.items():
        exact = (row.balance, row.locked, row.available)
        human = [amounts.write(int(units), decimals=decimals[ticker]) for units in exact]
        yield line(ticker, f"{human[0]}, locked {human[1]}, available {human[2]}")
    if not told.balances:
        yield line("owns", "nothing")
    if told.policy is not None:
        yield line("signed by", f"{told.policy.threshold} of {len(told.policy.keys)} keys")


def _account_json(told: schema.AccountView, decimals: dict[str, int]) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(told)
    for ticker, row in document["balances"].items():
        row["human"] = amounts.write(int(row["balance"]), decimals=decimals[ticker])
    return document
