"""What the state is made of: one record per kind of object, each with its place in the tree.

Amounts are integers in base units. Records are values: a change makes a new one. No rules here.
"""

import hashlib
from functools import lru_cache
from typing import TypeAlias

from aitbc_node import limits
from aitbc_node.canonical import Record
from aitbc_node.ledger.policy import Policy
from aitbc_node.types import Address, Amount, Height, PublicKey

NATIVE = "AIT"
"""The asset that fees are paid in."""
NATIVE_DECIMALS = 6

TREASURY = "treasury"
REWARD_POOL = "reward_pool"
POOLS = (REWARD_POOL, TREASURY)

ACCOUNT = "account"
ASSET = "asset"
POOL = "pool"
CHAIN = "chain"
FEES = "fees"
PARAMS = "params"
VALIDATORS = "validators"
RECORD = "record"
AGENDA = "agenda"
VALIDATOR = "validator"
STAKE = "stake"
UNBONDING = "unbonding"
ROSTER = "roster"
KEY_USE = "key"
OFFENCE = "offence"
EPOCH = "epoch"
PROPOSAL = "proposal"
DECIDED = "decided"
ABSENCE = "absence"
UPGRADE = "upgrade"

CANDIDATE = "candidate"
ACTIVE = "active"
LEAVING = "leaving"
JAILED = "jailed"

EQUIVOCATION = "equivocation"
AWAY = "absence"
AWAY_LEAVING = "absence-leaving"  # it was leaving when it was jailed, and is again when out

ADMITTED = "admitted"
REMOVED = "removed"

Balances: TypeAlias = tuple[tuple[str, Amount], ...]
"""Ascending by asset, without zeroes."""

ObjectKey: TypeAlias = tuple[str, bytes]
"""Kind, and the object's name within its kind; empty where there is one object."""


class Account(Record, frozen=True):
    """Hold what an address owns; `nonce` counts the transactions it has sent."""

    nonce: int = 0
    policy: Policy | None = None
    balances: Balances = ()


class Asset(Record, frozen=True):
    """Describe an asset; supply = minted - burned, and `minted` never exceeds `mint_max`."""

    name: str
    decimals: int
    mint_authority: Address | None
    min_amount: Amount
    supply: Amount
    minted: Amount
    burned: Amount
    paused: bool = False
    mint_max: Amount = Amount(limits.INT_MAX)
    minting_paused: bool = False


class Pool(Record, frozen=True):
    """Hold what belongs to no account."""

    balances: Balances = ()


class Chain(Record, frozen=True):
    """Say which chain this state is of."""

    chain_id: str
    hrp: str
    app_version: int


class Fees(Record, frozen=True):
    """Hold the price of gas, and where the fees of the newest block went.

    Shape: `recent_gas` is the gas of the newest blocks, newest last, at most ten. Units: `price` in
    thousandths of a base unit per 1000 gas.
    """

    price: int
    recent_gas: tuple[int, ...] = ()
    collected: Amount = Amount(0)
    to_proposer: Amount = Amount(0)
    to_treasury: Amount = Amount(0)
    burned: Amount = Amount(0)


class StoredRecord(Record, frozen=True):
    """Keep a value for its owner until the end of the block at `expires`."""

    ns: str
    key: bytes
    value: bytes
    owner: Address
    expires: Height


class Membership(Record, frozen=True):
    """Say how an operator takes part in validating, and what stands behind it.

    `bonded` is divided into `shares`; `earned` counts rewards per share since the beginning, and
    `rewards` is what of them nobody has taken yet. `next_key` replaces `key` at the next epoch.
    `seat` is what the others decided; `jailed_for` is what it was jailed for last; `fresh` are
    delegators, ascending, with the shares that each bought in this epoch.
    """

    key: PublicKey
    next_key: PublicKey | None
    commission_bps: int
    region: str
    endpoint: str
    status: str = CANDIDATE
    bonded: Amount = Amount(0)
    shares: int = 0
    delegators: int = 0
    earned: int = 0
    rewards: Amount = Amount(0)
    commission: Amount = Amount(0)
    jailed_until: Height = Height(0)
    seat: str = ""
    jailed_for: str = ""
    open_proposals: int = 0
    fresh: tuple[tuple[Address, int], ...] = ()


class Stake(Record, frozen=True):
    """Hold a delegator's shares, and how much a share had earned when it was paid last."""

    shares: int
    earned: int


class Leaving(Record, frozen=True):
    """Be coins on their way back to whoever had bonded them.

    Shape: `counted_until` is the last height at which they stood behind a vote, 0 while they do.
    """

    delegator: Address
    amount: Amount
    counted_until: Height
    matures: Height


class Unbonding(Record, frozen=True):
    """Hold what leaves one validator's bond, in the order in which it was asked for."""

    rows: tuple[Leaving, ...] = ()


class Roster(Record, frozen=True):
    """List the operators who may be chosen as validators, ascending."""

    operators: tuple[Address, ...] = ()


class KeyUse(Record, frozen=True):
    """Say whose a consensus key is, and at which heights it had a vote.

    Shape: each row is the first and the last height of a time, oldest first; the last is 0 while it
    goes on. Old times are forgotten, or two made one with what is between them.
    """

    operator: Address
    voted: tuple[tuple[Height, Height], ...] = ()


class Offence(Record, frozen=True):
    """Remember what one offence cost, and what had stood behind the validator."""

    liable: Amount
    slashed: Amount


class Attendance(Record, frozen=True):
    """Count an operator's part in the blocks of the present epoch."""

    operator: Address
    signed: int = 0
    expected: int = 0
    proposed: int = 0


class EpochLog(Record, frozen=True):
    """Hold the attendance of everybody who could sign or has proposed, ascending by operator."""

    rows: tuple[Attendance, ...] = ()


class Absence(Record, frozen=True):
    """Count the blocks of the present window that operators did not sign, ascending by operator.

    Who signed all of them is not listed.
    """

    rows: tuple[tuple[Address, int], ...] = ()


class Upgrade(Record, frozen=True):
    """Plan other rules from a height on."""

    height: Height
    app_version: int


class Proposal(Record, frozen=True):
    """Be open for votes until the end of the block at `ends`.

    Shape: `motion` is the canonical body that asked for it; votes ascend by operator.
    """

    proposer: Address
    motion: bytes
    deposit: Amount
    ends: Height
    votes: tuple[tuple[Address, bool], ...] = ()


class Decided(Record, frozen=True):
    """Hold the bodies that were decided and take effect at the end of the epoch, oldest first.

    Shape: `ends_epoch` is true within one block only: that which ends the epoch.
    """

    motions: tuple[bytes, ...] = ()
    ends_epoch: bool = False


NEW_ACCOUNT = Account()
EMPTY_POOL = Pool()


# Busy accounts come again in every block; the bound is some 16 MB.
@lru_cache(maxsize=1 << 16)
def path_of(key: ObjectKey) -> bytes:
    """Return the place of an object in the state tree."""
    return hashlib.sha256(key[0].encode() + b"\0" + key[1]).digest()


def holdings_of(record: Record | None) -> Balances:
    """Return what an object holds of any asset; every kind that can hold money is named here."""
    match record:
        case Account(balances=balances) | Pool(balances=balances):
            return balances
        case Membership(bonded=bonded, rewards=rewards, commission=commission):
            return ((NATIVE, Amount(bonded + rewards + commission)),)
        case Proposal(deposit=deposit):
            return ((NATIVE, deposit),)
        case Unbonding(rows=rows):
            return ((NATIVE, Amount(sum(row.amount for row in rows))),)
    return ()


def balance(balances: Balances, asset: str) -> Amount:
    """Return how much of an asset is there."""
    for ticker, amount in balances:
        if ticker == asset:
            return amount
    return Amount(0)


def adjusted(balances: Balances, asset: str, delta: int) -> Balances:
    """Return balances after adding to one; the caller has checked that it suffices."""
    if len(balances) == 1 and balances[0][0] == asset and (left := balances[0][1] + delta) > 0:
        return ((asset, Amount(left)),)  # nearly all: half of the time
    for place, (ticker, amount) in enumerate(balances):
        if ticker == asset:
            left = amount + delta
            assert left >= 0, "a balance below zero"
            row = ((asset, Amount(left)),) if left else ()
            return balances[:place] + row + balances[place + 1 :]
    assert delta >= 0, "a balance below zero"
    return tuple(sorted((*balances, (asset, Amount(delta))))) if delta else balances
