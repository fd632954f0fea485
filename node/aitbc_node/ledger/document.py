"""How a genesis is written as a JSON file, and read back with errors that name the field.

Amounts are decimal strings, addresses bech32m, keys and proofs lower-case hex. The file's own bytes
mean nothing: the chain's identity is the hash of the canonical record. Do not judge contents here;
`genesis.validate` does.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from aitbc_node import bech32, limits
from aitbc_node.errors import ConfigError
from aitbc_node.ledger.genesis import Genesis, GenesisAccount, GenesisAsset, GenesisValidator
from aitbc_node.ledger.objects import Balances
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.policy import Policy
from aitbc_node.types import Address, Amount, Power, PublicKey, Signature

T = TypeVar("T")

_AMOUNT_DIGITS_MAX = len(str(limits.INT_MAX))


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    pass


class _Policy(_Part):
    threshold: int
    keys: list[str]


class _Asset(_Part):
    ticker: str
    name: str
    decimals: int
    mint_authority: str | None
    min_amount: str


class _Account(_Part):
    address: str
    policy: _Policy | None
    balances: dict[str, str]


class _Validator(_Part):
    operator: str
    key: str
    power: int
    region: str
    proof: str


class _Pools(_Part):
    reward_pool: str
    treasury: str


class _Document(_Part):
    chain_id: str
    hrp: str
    genesis_time_ms: int
    app_version: int
    single_node_dev: bool
    params: dict[str, int]
    assets: list[_Asset]
    accounts: list[_Account]
    pools: _Pools
    validators: list[_Validator]


def to_json(genesis: Genesis) -> str:
    """Write a genesis for people and for `from_json`, indented, with a newline at the end."""
    raw = msgspec.json.encode(_document(genesis))
    return msgspec.json.format(raw, indent=2).decode() + "\n"


def from_json(text: str | bytes) -> Genesis:
    """Read a genesis; it is not validated yet.

    Raises: ConfigError naming the field that cannot be read.
    """
    try:
        document = msgspec.json.decode(text, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"genesis: {error}") from error
    return _genesis(document)


def _document(genesis: Genesis) -> _Document:
    def text(address: Address) -> str:
        return bech32.address_text(genesis.hrp, address)

    return _Document(
        chain_id=genesis.chain_id,
        hrp=genesis.hrp,
        genesis_time_ms=genesis.genesis_time_ms,
        app_version=genesis.app_version,
        single_node_dev=genesis.single_node_dev,
        params=msgspec.structs.asdict(genesis.params),
        assets=[
            _Asset(
                asset.ticker,
                asset.name,
                asset.decimals,
                None if asset.mint_authority is None else text(asset.mint_authority),
                str(asset.min_amount),
            )
            for asset in genesis.assets
        ],
        accounts=[
            _Account(
                text(account.address),
                _policy_document(account.policy),
                {ticker: str(amount) for ticker, amount in account.balances},
            )
            for account in genesis.accounts
        ],
        pools=_Pools(str(genesis.reward_pool), str(genesis.treasury)),
        validators=[
            _Validator(
                text(entry.operator), entry.key.hex(), entry.power, entry.region, entry.proof.hex()
            )
            for entry in genesis.validators
        ],
    )


def _policy_document(policy: Policy | None) -> _Policy | None:
    return None if policy is None else _Policy(policy.threshold, [key.hex() for key in policy.keys])


def _genesis(document: _Document) -> Genesis:
    return Genesis(
        chain_id=document.chain_id,
        hrp=document.hrp,
        genesis_time_ms=document.genesis_time_ms,
        app_version=document.app_version,
        single_node_dev=document.single_node_dev,
        params=_params(document.params),
        assets=tuple(
            _asset(asset, document.hrp, f"assets[{place}]")
            for place, asset in enumerate(document.assets)
        ),
        accounts=tuple(
            _account(account, document.hrp, f"accounts[{place}]")
            for place, account in enumerate(document.accounts)
        ),
        reward_pool=_amount(document.pools.reward_pool, "pools.reward_pool"),
        treasury=_amount(document.pools.treasury, "pools.treasury"),
        validators=tuple(
            _validator(entry, document.hrp, f"validators[{place}]")
            for place, entry in enumerate(document.validators)
        ),
    )


def _params(values: dict[str, int]) -> Params:
    for name in sorted(set(Params.__struct_fields__) - set(values)):
        raise ConfigError(f"genesis: params.{name}: missing")
    for name in sorted(set(values) - set(Params.__struct_fields__)):
        raise ConfigError(f"genesis: params.{name}: no such parameter")
    return Params(**values)


def _asset(asset: _Asset, hrp: str, field: str) -> GenesisAsset:
    authority = asset.mint_authority
    return GenesisAsset(
        asset.ticker,
        asset.name,
        asset.decimals,
        None if authority is None else _address(authority, hrp, f"{field}.mint_authority"),
        _amount(asset.min_amount, f"{field}.min_amount"),
    )


def _account(account: _Account, hrp: str, field: str) -> GenesisAccount:
    return GenesisAccount(
        _address(account.address, hrp, f"{field}.address"),
        _policy(account.policy, f"{field}.policy"),
        _balances(account.balances, f"{field}.balances"),
    )


def _validator(entry: _Validator, hrp: str, field: str) -> GenesisValidator:
    return GenesisValidator(
        _address(entry.operator, hrp, f"{field}.operator"),
        PublicKey(_bytes(entry.key, f"{field}.key")),
        Power(entry.power),
        entry.region,
        Signature(_bytes(entry.proof, f"{field}.proof")),
    )


def _policy(policy: _Policy | None, field: str) -> Policy | None:
    if policy is None:
        return None
    keys = tuple(
        PublicKey(_bytes(key, f"{field}.keys[{place}]")) for place, key in enumerate(policy.keys)
    )
    return Policy(policy.threshold, keys)


def _balances(balances: dict[str, str], field: str) -> Balances:
    rows = ((ticker, _amount(amount, f"{field}.{ticker}")) for ticker, amount in balances.items())
    return tuple(sorted(rows))


def _address(text: str, hrp: str, field: str) -> Address:
    return _read(lambda: bech32.parse_address(text, hrp=hrp), field)


def _bytes(text: str, field: str) -> bytes:
    return _read(lambda: bytes.fromhex(text), field)


def _amount(text: str, field: str) -> Amount:
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"genesis: {field}: '{text}' is not a decimal string of base units")
    if len(text) > _AMOUNT_DIGITS_MAX:
        raise ConfigError(f"genesis: {field}: more than an amount can hold")
    return Amount(int(text))


def _read(reading: Callable[[], T], field: str) -> T:
    try:
        return reading()
    except ValueError as error:
        raise ConfigError(f"genesis: {field}: {error}") from error
