"""How does what a person asks to pay become a transaction in the mesh?

Names become addresses, decimals become base units, and the bytes go to a node that takes them. Do
not print here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from aitbc_node.blocks import tx_id
from aitbc_node.codes import Code
from aitbc_node.ledger.objects import NATIVE, NATIVE_DECIMALS
from aitbc_node.ledger.transactions import Output
from aitbc_node.limits import MEMO_BYTES_MAX
from aitbc_node.types import Amount
from aitbc_toolkit import amounts, keys, wallet
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.rpc_client import RefusedError
from aitbc_toolkit.wallet import Wallet

FAUCET = "faucet"
"""Stands for the environment's own funded account wherever an address is asked for."""


@dataclass(frozen=True, slots=True)
class Payment:
    """Hold what was asked, as it was written."""

    recipient: str
    amount: str
    ticker: str
    memo: str = ""


def prepare(
    environment: Environment, mesh: MeshClient, payer: Wallet, wanted: Payment
) -> tuple[bytes, str]:
    """Sign a payment as the payer's next transaction; return its bytes and its id.

    Raises: UsageError for what is wrong with the words, before anything is sent.
    """
    hrp = environment.chain.hrp
    to = wallet.read_address(address_text(environment, wanted.recipient), hrp=hrp)
    if len(wanted.memo.encode()) > MEMO_BYTES_MAX:
        raise UsageError(f"the memo is longer than {MEMO_BYTES_MAX} bytes")
    decimals = decimals_of(mesh, [wanted.ticker])[wanted.ticker]
    units = amounts.read(wanted.amount, decimals=decimals, asset=wanted.ticker)
    chain = wallet.look_any(mesh, interval_ms=environment.chain.block_interval_ms)
    account = mesh.ask_any(lambda node: node.account(payer.address(hrp)))
    raw = payer.transfer(
        chain,
        nonce=account.next_nonce,
        new=account.policy is None,
        outs=[Output(to, wanted.ticker, Amount(units))],
        memo=wanted.memo,
    )
    return raw, tx_id(raw).hex()


def hand_in(mesh: MeshClient, raw: bytes) -> None:
    """Hand a transaction in; one that is known already is as good as taken."""
    try:
        mesh.submit(raw)
    except RefusedError as refused:
        if refused.code != Code.E_DUPLICATE:
            raise


def address_text(environment: Environment, written: str) -> str:
    """Return the address that a person means; `faucet` is the account of the faucet's key."""
    if written != FAUCET:
        wallet.read_address(written, hrp=environment.chain.hrp)
        return written
    key = keys.read(keys.faucet_path(environment.folder))
    return Wallet(key).address(environment.chain.hrp)


def decimals_of(mesh: MeshClient, tickers: Iterable[str]) -> dict[str, int]:
    """Ask how finely each asset is divided.

    Raises: UsageError for an asset that is not there.
    """
    return {ticker: _decimals(mesh, ticker) for ticker in tickers}


def _decimals(mesh: MeshClient, ticker: str) -> int:
    if ticker == NATIVE:
        return NATIVE_DECIMALS
    try:
        return mesh.ask_any(lambda node: node.asset(ticker)).decimals
    except RefusedError as refused:
        if refused.code != Code.E_ASSET:
            raise
        raise UsageError(f"no asset {ticker!r} on this chain") from refused
