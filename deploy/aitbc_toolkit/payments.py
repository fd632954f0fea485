"""How does what a person asks to pay become a transaction in the mesh?

Names become addresses, decimals become base units, and the bytes go to a node that takes them. Do
not print here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aitbc_node.codes import Code
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.objects import NATIVE, NATIVE_DECIMALS
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.limits import MEMO_BYTES_MAX
from aitbc_node.rpc import schema
from aitbc_node.types import Amount
from aitbc_toolkit import amounts, keys, wallet
from aitbc_toolkit.asking import MeshClient, Silence
from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.rpc_client import RefusedError
from aitbc_toolkit.wallet import ChainNow, Wallet

NONCE_TRIES = 3

# What a look at the payer's account explains.
_OF_ACCOUNTS = frozenset({Code.E_INSUFFICIENT, Code.E_NONCE, Code.E_POLICY})

_AFTER = {
    "expired": "send it anew: its nonce was not used and nothing was paid",
    "rejected": "mend the cause, then send it anew: its nonce and its fee are used up",
    Code.E_INSUFFICIENT: "aitbc account show ADDRESS   # what the payer has; the fee is paid",
}

FAUCET = "faucet"
"""Stands for the environment's own funded account wherever an address is asked for."""


@dataclass(frozen=True, slots=True)
class Payment:
    """Hold what was asked, as it was written."""

    recipient: str
    amount: str
    ticker: str
    memo: str = ""


class Payer(Protocol):
    """Be whoever signs for one account, wherever the key is."""

    def address(self, hrp: str) -> str:
        """Write the account's address."""

    def act(self, chain: ChainNow, *, nonce: int, new: bool, bodies: Sequence[Body]) -> bytes:
        """Sign one transaction."""


def transfer(environment: Environment, mesh: MeshClient, wanted: Payment) -> Transfer:
    """Make a payment of what was asked.

    Raises: UsageError for what is wrong with the words.
    """
    return Transfer((_output(environment, mesh, wanted),), wanted.memo)


def hand_in(
    environment: Environment,
    mesh: MeshClient,
    payer: Payer,
    bodies: Sequence[Body],
    *,
    node: str = "",
) -> tuple[bytes, str]:
    """Sign one transaction of these bodies and hand it in; return its bytes and its id.

    Someone else who signs for the account may take the nonce in between: what was refused for that
    is signed anew, which is safe because it was refused.

    Raises: RefusedError.
    """
    tries = NONCE_TRIES
    account = payer.address(environment.chain.hrp)
    while True:
        tries -= 1
        chain = wallet.look_any(mesh, interval_ms=environment.chain.block_interval_ms)
        nonce, new = next_nonce(mesh, account)
        raw = payer.act(chain, nonce=nonce, new=new, bodies=bodies)
        try:
            accepted = mesh.submit(raw, node=node)
        except RefusedError as refused:
            if refused.code in _OF_ACCOUNTS:
                refused.hint = f"aitbc account show {account}"
            if refused.code != Code.E_NONCE or not tries:
                raise
        else:
            return raw, accepted.id


def signer(environment: Environment, files: Sequence[Path], account: str = "") -> Wallet:
    """Open the keys that sign: of one account of several keys, or of one key; else the faucet's.

    Raises: UsageError when it is not clear whose they are.
    """
    if len({file.resolve() for file in files}) < len(files):
        raise UsageError("the same key is named twice", hint="each key of an account signs once")
    named = wallet.read_address(account, hrp=environment.chain.hrp) if account else None
    if len(files) > 1 and named is None:
        raise UsageError(
            f"{len(files)} keys sign together: for which account?",
            hint="aitbc ... --account ADDRESS",
        )
    found = [keys.read(file) for file in files] or [keys.read_faucet(environment.folder)]
    return Wallet(*found, account=named)


def without_effect(told: schema.TxView) -> AitbcError:
    """Say that a transaction ended without effect, and what can be done about it."""
    what = f"transaction {told.id[:12]} took no effect: {told.status}"
    if told.code not in {"", Code.OK}:
        what += f", {told.code}"
    return AitbcError(what, hint=_AFTER.get(told.code, _AFTER[told.status]))


def _output(environment: Environment, mesh: MeshClient, wanted: Payment) -> Output:
    text = address_text(environment, wanted.recipient)
    to = wallet.read_address(text, hrp=environment.chain.hrp)
    try:
        memo = wanted.memo.encode()
    except UnicodeEncodeError as wrong:
        raise UsageError("the memo is no UTF-8 text", hint="check the terminal's LANG") from wrong
    if len(memo) > MEMO_BYTES_MAX:
        raise UsageError(
            f"the memo has {len(memo)} bytes, at most {MEMO_BYTES_MAX} are possible",
            hint="shorten it, or give it the hash of what it stands for",
        )
    return Output(to, wanted.ticker, Amount(units(mesh, wanted.amount, wanted.ticker)))


def units(mesh: MeshClient, amount: str, ticker: str) -> int:
    """Read an amount of any asset into its base units.

    Raises: UsageError for an asset that is not there, or an amount that it cannot have.
    """
    return amounts.read(amount, decimals=decimals_of(mesh, [ticker])[ticker], asset=ticker)


def next_nonce(mesh: MeshClient, address: str) -> tuple[int, bool]:
    """Return the first nonce that no node has heard of, and whether the account is new.

    Gossip takes a moment: the node that is asked may not know yet what another one took.
    """
    told = mesh.ask_all(lambda node: node.account(address))
    known = [each for each in told.values() if not isinstance(each, Silence)]
    if not known:
        raise mesh.silent(told)
    newest = max(known, key=lambda account: account.next_nonce)
    return newest.next_nonce, newest.policy is None


def address_text(environment: Environment, written: str) -> str:
    """Return the address that a person means; `faucet` is the account of the faucet's key."""
    if written != FAUCET:
        wallet.read_address(written, hrp=environment.chain.hrp)
        return written
    return Wallet(keys.read_faucet(environment.folder)).address(environment.chain.hrp)


def decimals_of(mesh: MeshClient, tickers: Iterable[str]) -> dict[str, int]:
    """Ask how finely each asset is divided.

    Raises: UsageError for an asset that is not there.
    """
    return {ticker: _decimals(mesh, ticker) for ticker in tickers}


def asset(mesh: MeshClient, ticker: str) -> schema.AssetView:
    """Ask what an asset is.

    Raises: UsageError for one that is not there, naming those that are.
    """
    try:
        return mesh.ask_any(lambda node: node.asset(ticker))
    except RefusedError as refused:
        if refused.code not in {Code.E_ASSET, Code.E_BAD_REQUEST, Code.E_NOT_FOUND}:
            raise
        known = mesh.ask_any(lambda node: node.audit()).supply
        raise UsageError(
            f"no asset {ticker[:40]!r} on this chain", hint=f"it has {', '.join(known)}"
        ) from refused


def _decimals(mesh: MeshClient, ticker: str) -> int:
    return NATIVE_DECIMALS if ticker == NATIVE else asset(mesh, ticker).decimals
