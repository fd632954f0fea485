"""What a chain starts from; the hash of it is the chain's identity, checked on every handshake.

Records, their validation, and the state before the first block. How it is written as a JSON file
is in `document.py`. Do not add anything here that one node may choose for itself.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from aitbc_node import bech32, crypto, limits
from aitbc_node.canonical import Record, encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import Verifier
from aitbc_node.errors import ConfigError
from aitbc_node.ledger import objects, params, staking
from aitbc_node.ledger.fields import form_fault
from aitbc_node.ledger.forms import (
    NAME_BYTES_MAX,
    AccountName,
    Count,
    Decimals,
    Gain,
    Money,
    Ticker,
    is_plain_text,
)
from aitbc_node.ledger.objects import NATIVE, NATIVE_DECIMALS, ObjectKey
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.policy import Key, Policy, address_of, check_policy
from aitbc_node.ledger.possession import possession_message
from aitbc_node.ledger.state import State
from aitbc_node.ledger.upgrades import APP_VERSION, APP_VERSION_OLDEST
from aitbc_node.types import Amount, Hash, Power, Signature
from aitbc_node.validators import Validator, ValidatorSet, validator_set

GENESIS_TAG = b"aitbc/genesis\0"

VALIDATORS_MIN = 4
"""Fewer cannot lose one and go on; `single_node_dev` lifts it."""

PRODUCTION_HRP = "ait"
POWER_TOTAL_MAX = 2**43
"""The bond behind it, and turn priorities, stay within 64 bits."""

_TICKER_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
Name = TypeVar("Name", str, bytes)
_CHAIN_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


class GenesisAsset(Record, frozen=True):
    """Define one asset; its supply is the sum of what accounts and pools hold."""

    ticker: Ticker
    name: str
    decimals: Decimals = NATIVE_DECIMALS
    mint_authority: AccountName | None = None
    min_amount: Gain = Amount(1)


class GenesisAccount(Record, frozen=True):
    """Fund one account; with its policy on record, or bare, to bring it along later."""

    address: AccountName
    policy: Policy | None
    balances: tuple[tuple[Ticker, Gain], ...]


class GenesisValidator(Record, frozen=True):
    """Admit one validator. Shape: `proof` is its consensus key's `possession_proof`."""

    operator: AccountName
    key: Key
    power: Annotated[Power, Meta(ge=1, le=POWER_TOTAL_MAX)]
    region: str
    proof: Signature


class Genesis(Record, frozen=True):
    """Found a chain. Shape: assets, accounts and validators ascend by ticker, address and key."""

    chain_id: str
    hrp: str
    genesis_time_ms: Count
    app_version: int
    single_node_dev: bool
    params: Params
    assets: tuple[GenesisAsset, ...]
    accounts: tuple[GenesisAccount, ...]
    reward_pool: Money
    treasury: Money
    validators: tuple[GenesisValidator, ...]

    def hash(self) -> Hash:
        """Return the chain's identity."""
        return Hash(hashlib.sha256(GENESIS_TAG + encode(self)).digest())

    def validator_set(self) -> ValidatorSet:
        """Return who validates the first height."""
        return validator_set(
            Validator(entry.operator, entry.key, entry.power) for entry in self.validators
        )


NATIVE_ASSET = GenesisAsset(NATIVE, "AITBC coin", NATIVE_DECIMALS)


def build(  # noqa: PLR0913 - one keyword per field of a genesis
    *,
    chain_id: str,
    hrp: str,
    genesis_time_ms: int,
    validators: Iterable[GenesisValidator],
    accounts: Iterable[GenesisAccount],
    assets: Iterable[GenesisAsset] = (),
    params: Params | None = None,
    reward_pool: int = 0,
    treasury: int = 0,
    single_node_dev: bool = False,
) -> Genesis:
    """Put a genesis into canonical order, adding the native asset where it is not given."""
    given = tuple(assets)
    if all(asset.ticker != NATIVE for asset in given):
        given = (NATIVE_ASSET, *given)
    funded = (
        msgspec.structs.replace(account, balances=tuple(sorted(account.balances)))
        for account in accounts
    )
    return Genesis(
        chain_id=chain_id,
        hrp=hrp,
        genesis_time_ms=genesis_time_ms,
        app_version=APP_VERSION,
        single_node_dev=single_node_dev,
        params=params or Params(),
        assets=tuple(sorted(given, key=lambda asset: asset.ticker)),
        accounts=tuple(sorted(funded, key=lambda account: account.address)),
        reward_pool=Amount(reward_pool),
        treasury=Amount(treasury),
        validators=tuple(sorted(validators, key=lambda entry: entry.key)),
    )


def validate(genesis: Genesis, *, verify: Verifier = crypto.verify) -> None:
    """Accept a genesis that a chain can start from.

    Raises: ConfigError naming the first field at fault, with the others as its hint.
    """
    found = list(faults(genesis, verify=verify))
    if found:
        first, *others = [f"genesis: {fault.field}: {fault.message}" for fault in found]
        raise ConfigError(first, hint="\n".join(others))


def faults(genesis: Genesis, *, verify: Verifier = crypto.verify) -> Iterator[Refusal]:
    """List everything that is wrong with a genesis, field by field.

    Lengths and ranges are those of the records; nothing else is judged until they are right.
    """
    form = form_fault(genesis)
    if form is not None:
        yield form
        return
    yield from _head_faults(genesis)
    for fault in params.faults(genesis.params):
        yield _fault(f"params.{fault.field}", fault.message)
    yield from _asset_faults(genesis)
    yield from _account_faults(genesis)
    yield from _validator_faults(genesis, verify)


def initial_state(genesis: Genesis) -> State:
    """Return the state before the first block of a validated genesis."""
    supply = _supplies(genesis)
    contents: dict[ObjectKey, Record] = {
        (objects.CHAIN, b""): objects.Chain(genesis.chain_id, genesis.hrp, genesis.app_version),
        (objects.PARAMS, b""): genesis.params,
        (objects.FEES, b""): objects.Fees(genesis.params.gas_base_price),
        (objects.VALIDATORS, b""): genesis.validator_set(),
    }
    for asset in genesis.assets:
        amount = Amount(supply.get(asset.ticker, 0))
        contents[objects.ASSET, asset.ticker.encode()] = objects.Asset(
            name=asset.name,
            decimals=asset.decimals,
            mint_authority=asset.mint_authority,
            min_amount=asset.min_amount,
            supply=amount,
            minted=amount,
            burned=Amount(0),
        )
    for account in genesis.accounts:
        record = objects.Account(0, account.policy, account.balances)
        contents[objects.ACCOUNT, account.address] = record
    regions = {entry.key: entry.region for entry in genesis.validators}
    contents |= staking.founded(genesis.validator_set(), regions, genesis.params)
    for name, amount in _pools(genesis):
        if amount:
            contents[objects.POOL, name.encode()] = objects.Pool(((NATIVE, amount),))
    return State(contents)


def _pools(genesis: Genesis) -> tuple[tuple[str, Amount], ...]:
    return (objects.REWARD_POOL, genesis.reward_pool), (objects.TREASURY, genesis.treasury)


def _supplies(genesis: Genesis) -> dict[str, int]:
    bonded = staking.POWER_UNIT * sum(entry.power for entry in genesis.validators)
    supply: dict[str, int] = {NATIVE: genesis.reward_pool + genesis.treasury + bonded}
    for account in genesis.accounts:
        for ticker, amount in account.balances:
            supply[ticker] = supply.get(ticker, 0) + amount
    return supply


def _fault(field: str, message: str) -> Refusal:
    return Refusal(Code.E_MALFORMED, field, message)


def _head_faults(genesis: Genesis) -> Iterator[Refusal]:
    name = genesis.chain_id
    if not 1 <= len(name) <= limits.CHAIN_ID_CHARS_MAX or not _CHAIN_CHARS.issuperset(name):
        yield _fault("chain_id", f"'{name}' is not 1..48 of a-z, 0-9 and '-'")
    if not bech32.is_prefix(genesis.hrp) or len(genesis.hrp) > 10:  # noqa: PLR2004 - short names
        yield _fault("hrp", f"'{genesis.hrp}' is not 1..10 lower-case characters")
    if not APP_VERSION_OLDEST <= (version := genesis.app_version) <= APP_VERSION:
        yield _fault("app_version", f"{version} is not {APP_VERSION_OLDEST}..{APP_VERSION}")


def _asset_faults(genesis: Genesis) -> Iterator[Refusal]:
    tickers = [asset.ticker for asset in genesis.assets]
    if NATIVE not in tickers:
        yield _fault("assets", f"the native asset {NATIVE} is missing")
    yield from _order_faults("assets", tickers)
    for place, asset in enumerate(genesis.assets):
        field = f"assets[{place}]"
        if not _TICKER_CHARS.issuperset(asset.ticker):
            yield _fault(f"{field}.ticker", f"'{asset.ticker}' is not letters and digits only")
        if not is_plain_text(asset.name, bytes_max=NAME_BYTES_MAX):
            yield _fault(f"{field}.name", f"not NFC text of at most {NAME_BYTES_MAX} bytes")
        if asset.ticker == NATIVE and asset.decimals != NATIVE_DECIMALS:
            yield _fault(f"{field}.decimals", f"{NATIVE} has {NATIVE_DECIMALS}")
        if asset.mint_authority is not None and genesis.hrp == PRODUCTION_HRP:
            yield _fault(f"{field}.mint_authority", "no mock money in production")


def _account_faults(genesis: Genesis) -> Iterator[Refusal]:
    tickers = {asset.ticker for asset in genesis.assets}
    yield from _order_faults("accounts", [account.address for account in genesis.accounts])
    for place, account in enumerate(genesis.accounts):
        field = f"accounts[{place}]"
        if account.policy is not None:
            fault = check_policy(account.policy)
            if fault is not None:
                yield _fault(f"{field}.{fault.field}", fault.message)
            if address_of(account.policy) != account.address:
                yield _fault(f"{field}.policy", "does not hash to the address")
        yield from _order_faults(f"{field}.balances", [row[0] for row in account.balances])
        for ticker, _ in account.balances:
            if ticker not in tickers:
                yield _fault(f"{field}.balances.{ticker}", "no such asset")

    for ticker, supply in sorted(_supplies(genesis).items()):
        if supply > limits.INT_MAX:
            yield _fault("accounts", f"all holdings of {ticker} are more than an amount can hold")


def _validator_faults(genesis: Genesis, verify: Verifier) -> Iterator[Refusal]:
    least = 1 if genesis.single_node_dev else VALIDATORS_MIN
    if not least <= len(genesis.validators) <= limits.VALIDATORS_MAX:
        message = f"{len(genesis.validators)}, not within {least}..{limits.VALIDATORS_MAX}"
        yield _fault("validators", message)
    yield from _order_faults("validators", [entry.key for entry in genesis.validators])
    if sum(entry.power for entry in genesis.validators) > POWER_TOTAL_MAX:
        yield _fault("validators", f"total power above {POWER_TOTAL_MAX}")
    operators = {entry.operator for entry in genesis.validators}
    if len(operators) < len(genesis.validators):
        yield _fault("validators", "an operator has more than one")
    for place, entry in enumerate(genesis.validators):
        field = f"validators[{place}]"
        if entry.power * staking.POWER_UNIT < genesis.params.self_bond_min:
            yield _fault(f"{field}.power", f"a bond below {genesis.params.self_bond_min}")
        if not is_plain_text(entry.region, bytes_max=NAME_BYTES_MAX):
            yield _fault(f"{field}.region", f"not NFC text of at most {NAME_BYTES_MAX} bytes")
        if crypto.is_weak_key(entry.key):
            yield _fault(f"{field}.key", "of small order or not in canonical form")
        claim = possession_message(genesis.chain_id, entry.operator)
        if not verify(entry.key, claim, entry.proof):
            yield _fault(f"{field}.proof", "does not show possession of the consensus key")


def _order_faults(field: str, names: Sequence[Name]) -> Iterator[Refusal]:
    for low, high in pairwise(names):
        if not low < high:
            yield _fault(field, "not strictly ascending, or one is there twice")
            return
