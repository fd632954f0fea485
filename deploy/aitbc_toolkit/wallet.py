"""How does a key of the operator pay? It signs a transaction; the mesh is asked for the rest.

A wallet keeps no state: nonce, price and height come from the mesh each time, so that a lost file
or a second wallet of the same key does no harm. Do not print or log keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from aitbc_node import bech32, limits
from aitbc_node.crypto import Signer
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.fees import fee_of
from aitbc_node.ledger.policy import address_of, single_key
from aitbc_node.ledger.transactions import Transaction, gas_of, sign
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.letters import Letter, sign_letter
from aitbc_node.types import Address, Amount, Gas, Height
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.rpc_client import RpcClient

LIFETIME_S = 300
"""How long a transaction may wait before it expires for good."""


@dataclass(frozen=True, slots=True)
class ChainNow:
    """Hold what a transaction must know of the chain to be good in the next blocks."""

    chain_id: str
    hrp: str
    valid_until: int
    max_gas_price: int
    ttl_blocks: int = limits.VALID_UNTIL_AHEAD_MAX
    """How far ahead `valid_until` may be."""
    tip_price: int = 0
    """What is tipped per gas, as prices are written; 0 while blocks have room."""


class Wallet:
    """Sign for the ordinary account of one key, or with several keys for the account named."""

    def __init__(self, *keys: Signer, account: Address | None = None) -> None:
        self._keys = keys
        self.policy = single_key(keys[0].public_key)
        self.account = account or address_of(self.policy)

    def address(self, hrp: str) -> str:
        """Write the account's address on one network."""
        return bech32.address_text(hrp, self.account)

    def transfer(
        self,
        chain: ChainNow,
        *,
        nonce: int,
        new: bool,
        outs: Sequence[Output],
        memo: str = "",
    ) -> bytes:
        """Sign a payment; `new` accounts carry their policy along."""
        return self.act(chain, nonce=nonce, new=new, bodies=[Transfer(tuple(outs), memo)])

    def act(self, chain: ChainNow, *, nonce: int, new: bool, bodies: Sequence[Body]) -> bytes:
        """Sign one transaction of one body or, all or nothing, of several."""
        unsigned = Transaction(
            chain_id=chain.chain_id,
            sender=self.account,
            nonce=nonce,
            valid_until=Height(chain.valid_until),
            gas_limit=Gas(0),
            max_gas_price=chain.max_gas_price,
            tip=Amount(0),
            policy=self.policy if new else None,
            bundle=len(bodies) > 1,
            bodies=tuple(bodies),
        )
        gas = gas_of(unsigned, signatures=len(self._keys))
        tip = fee_of(gas, chain.tip_price)
        return sign(msgspec.structs.replace(unsigned, gas_limit=gas, tip=tip), self._keys)

    def write(self, letter: Letter) -> bytes:
        """Sign a message of the account."""
        return sign_letter(letter, self._keys)


def look(node: RpcClient, *, interval_ms: int) -> ChainNow:
    """Ask one node what a transaction has to say now."""
    status = node.status()
    fees = node.fees()
    ttl = int(node.parameters().params["tx_ttl_blocks"].value)
    ahead = min(ttl, -(-LIFETIME_S * 1000 // interval_ms))
    until = status.height + ahead
    # Whoever proposes may fill its own blocks with its own tips: nobody follows without end.
    tip_price = min(fees.tip_prices.get("fast", 0), fees.fast)
    return ChainNow(status.chain_id, status.hrp, until, fees.fast, ttl, tip_price)


def look_any(mesh: MeshClient, *, interval_ms: int) -> ChainNow:
    """Ask whichever node answers what a transaction has to say now."""
    return mesh.ask_any(lambda node: look(node, interval_ms=interval_ms))


def read_address(text: str, *, hrp: str) -> Address:
    """Read an address that a person wrote.

    Raises: UsageError saying what is wrong with it.
    """
    try:
        return bech32.parse_address(text, hrp=hrp)
    except ValueError as error:
        raise UsageError(
            f"{text[:60]!r} is no address: {error}", hint=f"addresses here begin with {hrp}1"
        ) from error
