"""Who lives in a small world of whole machines: validators, rich accounts, and what they sign.

Keys are made from names, with the cheap signatures of `testing.py`. Do not add a world here.
"""

from collections.abc import Iterable, Sequence

from aitbc_node.crypto import sha256
from aitbc_node.ledger import genesis
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.policy import address_of, single_key
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.transactions import Transaction, sign
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Address, Amount, Gas, Height, Power, PublicKey
from aitbc_sim.testing import FakeSigner

CHAIN_ID = "aitbc-pump-1"
GENESIS_MS = 1_759_999_999_000
WEALTH = 10**12


def signer_of(name: str) -> FakeSigner:
    """Make the same key for the same name, always."""
    return FakeSigner(PublicKey(sha256(name.encode())))


def address(name: str) -> Address:
    """Return the address of a name's account."""
    return address_of(single_key(signer_of(name).public_key))


def a_payment(
    sender: str, to: str, amount: int, *, nonce: int, valid_until: int = 1_000, tip: int = 0
) -> bytes:
    """Sign a transfer."""
    body = Transfer((Output(address(to), NATIVE, Amount(amount)),))
    return an_act(sender, body, nonce=nonce, valid_until=valid_until, tip=tip)


def an_act(sender: str, body: Body, *, nonce: int, valid_until: int = 1_000, tip: int = 0) -> bytes:
    """Sign a transaction with one body."""
    tx = Transaction(
        chain_id=CHAIN_ID,
        sender=address(sender),
        nonce=nonce,
        valid_until=Height(valid_until),
        gas_limit=Gas(500_000),
        max_gas_price=10**9,
        tip=Amount(tip),
        policy=None,
        bundle=False,
        bodies=(body,),
    )
    return sign(tx, [signer_of(sender)])


def a_genesis(powers: Sequence[int], rich: Iterable[str]) -> genesis.Genesis:
    """Found a chain with validators `v0`, `v1`, ... and some rich citizens."""
    names = [f"v{index}" for index in range(len(powers))]
    policies = [single_key(signer_of(name).public_key) for name in rich]
    return genesis.build(
        chain_id=CHAIN_ID,
        hrp="aitd",
        genesis_time_ms=GENESIS_MS,
        validators=[
            genesis.GenesisValidator(
                address(name),
                signer_of(f"{name} votes").public_key,
                Power(power),
                "",
                possession_proof(CHAIN_ID, address(name), signer_of(f"{name} votes")),
            )
            for name, power in zip(names, powers, strict=True)
        ],
        accounts=[
            genesis.GenesisAccount(address_of(policy), policy, ((NATIVE, Amount(WEALTH)),))
            for policy in policies
        ],
        single_node_dev=len(powers) < genesis.VALIDATORS_MIN,
    )
