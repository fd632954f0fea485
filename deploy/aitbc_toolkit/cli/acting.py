"""How does a command sign a transaction, hand it in and end? One set of options for all.

Do not add what is signed: that is the command's.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from aitbc_node.ledger.families import Body
from aitbc_node.rpc import schema
from aitbc_toolkit import payments
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.cli.fates import show_fate
from aitbc_toolkit.cli.reaching import environment_option, json_option, reach
from aitbc_toolkit.errors import Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.wallet import Wallet

WAIT_S = 60

Write = Callable[[Environment, MeshClient, Wallet], Sequence[Body]]
"""Say what is signed, once it is known by whom and on which mesh."""

node_option = click.option("--node", default="", help="Ask this node only.")
deadline_option = click.option(
    "--deadline",
    type=click.IntRange(min=1),
    default=WAIT_S,
    show_default=True,
    help="Seconds to wait for the end.",
)
_key_option = click.option(
    "--key",
    "key_files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="The PEM key that signs; the environment's faucet unless given. Again for each signer.",
)
_account_option = click.option(
    "--account", default="", help="Whose account the keys sign for, when it asks for several."
)
force_option = click.option(
    "--force", is_flag=True, help="Also when too little power would vote to make blocks."
)
_no_wait_option = click.option("--no-wait", is_flag=True, help="Do not wait until it is final.")


@dataclass(frozen=True, slots=True)
class Way:
    """Hold who signs, through which node, and how long the end is waited for."""

    key_files: tuple[Path, ...]
    account: str
    node: str
    no_wait: bool
    deadline_s: int
    environment: str
    as_json: bool

    def signer(self, environment: Environment, *, own: bool = False) -> Wallet:
        """Open the keys that sign; with `own`, never the faucet's in the place of an operator's.

        Raises: UsageError when no key was named, or it is not clear whose several are.
        """
        if own and not self.key_files:
            raise UsageError(
                "whose act is it? name the operator's key", hint="aitbc ... --key FILE"
            )
        return payments.signer(environment, self.key_files, self.account)


def signing_options(command: Callable[..., Exit]) -> Callable[..., Exit]:
    """Give a command the options of what is signed and not waited for; it gets `way` as well."""

    @_key_option
    @_account_option
    @node_option
    @environment_option
    @json_option
    @functools.wraps(command)
    def signing(
        *,
        key_files: tuple[Path, ...],
        account: str,
        node: str,
        environment: str,
        as_json: bool,
        **rest: Any,
    ) -> Exit:
        way = Way(key_files, account, node, True, WAIT_S, environment, as_json)  # noqa: FBT003 - no end is waited for
        return command(way=way, **rest)

    return signing


def acting_options(command: Callable[..., Exit]) -> Callable[..., Exit]:
    """Give a command the options of everything that signs; it is called with `way`."""

    @_key_option
    @_account_option
    @node_option
    @_no_wait_option
    @deadline_option
    @environment_option
    @json_option
    @functools.wraps(command)
    def acting(
        *,
        key_files: tuple[Path, ...],
        account: str,
        node: str,
        no_wait: bool,
        deadline: int,
        environment: str,
        as_json: bool,
        **rest: Any,
    ) -> Exit:
        way = Way(key_files, account, node, no_wait, deadline, environment, as_json)
        return command(way=way, **rest)

    return acting


def act(way: Way, write: Write, *, own: bool = False) -> Exit:
    """Sign, hand in, wait for the end and print it; `own` acts ask for a key."""
    with reach(way.environment) as (found, mesh):
        if way.node:
            found.instance(way.node)  # an unknown name is told before anything is asked
        wallet = way.signer(found, own=own)
        bodies = write(found, mesh, wallet)
        raw, tx_id = payments.hand_in(found, mesh, wallet, bodies, node=way.node)
        if way.no_wait:
            told = schema.TxView(id=tx_id, status="pending")
        else:
            told = mesh.wait(tx_id, deadline_s=way.deadline_s, raw=raw)
    return show_fate(told, found.chain.hrp, as_json=way.as_json)
