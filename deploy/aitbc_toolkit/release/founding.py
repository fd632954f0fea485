"""Which genesis does an environment have, and how is it made the first time?

Built on the operator's machine from the public parts of keys that never left their hosts; kept;
never made again silently. Do not decide here what a chain's parameters mean: the node does.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from aitbc_node import bech32
from aitbc_node.ledger import document, params
from aitbc_node.ledger import genesis as ledger
from aitbc_node.ledger.genesis import Genesis, GenesisAccount, GenesisAsset, GenesisValidator
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.policy import address_of, single_key
from aitbc_node.types import Address, Amount, Power, PublicKey, Signature
from aitbc_toolkit.declared import Chain
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit
from aitbc_toolkit.identity import genesis_path
from aitbc_toolkit.inventory import Environment

_COIN = 1_000_000
_FAUCET = 1_000_000_000 * _COIN
_OPERATOR = 1_000_000 * _COIN

ABSENCE_S = 1_200
"""Who misses nearly so much loses its vote."""
TEST_HRP = "aitd"
"""The prefix of chains for development and labs, where a jail for absence ends by itself."""


@dataclass(frozen=True, slots=True)
class Founded:
    """Hold an environment's genesis as it is sent to nodes; `made` says that it is new."""

    text: str
    hash: str
    chain_id: str
    made: bool


def read(environment: Environment) -> Founded | None:
    """Read the genesis that an environment has, or nothing before its first deploy."""
    path = genesis_path(environment)
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    return _founded(document.from_json(text), text=text, made=False)


def ensure(
    environment: Environment, public: Mapping[str, Mapping[str, Any]], *, all_new: bool
) -> Founded:
    """Take the genesis that is there, or build it from the public parts of every validator.

    `all_new` says that no node has chain data: only then, and only where the environment allows
    it, does a genesis that belongs to other keys give way to a new one.
    Raises: AitbcError (refused) when the genesis there does not name the keys that are on hosts.
    """
    known = read(environment)
    if known is not None:
        strangers = _strangers(environment, known, public)
        if not strangers:
            return known
        if not (all_new and environment.rules.regenesis):
            raise _mismatch(environment, strangers)
        path = genesis_path(environment)
        path.rename(path.with_name(f"genesis-{known.hash[:12]}.json"))
    genesis = _build(environment, public)
    ledger.validate(genesis)
    text = document.to_json(genesis)
    _write(genesis_path(environment), text)
    return _founded(genesis, text=text, made=True)


def _build(environment: Environment, public: Mapping[str, Mapping[str, Any]]) -> Genesis:
    from aitbc_toolkit import keys  # noqa: PLC0415 - an environment is founded once

    hrp = environment.chain.hrp
    keys.make(keys.faucet_path(environment.folder))
    faucet = single_key(keys.read(keys.faucet_path(environment.folder)).public_key)
    validators = []
    accounts = [GenesisAccount(address_of(faucet), faucet, ((NATIVE, Amount(_FAUCET)),))]
    for instance in environment.validators:
        parts = public[instance.name]
        operator = Address(bech32.parse_address(str(parts["operator_address"]), hrp=hrp))
        validators.append(
            GenesisValidator(
                operator=operator,
                key=PublicKey(bytes.fromhex(parts["consensus_key"])),
                power=Power(instance.power),
                region=environment.host(instance.host).domain,
                proof=Signature(bytes.fromhex(parts["proof"])),
            )
        )
        accounts.append(GenesisAccount(operator, None, ((NATIVE, Amount(_OPERATOR)),)))
    # Only test networks have an authority, and theirs is the faucet.
    minters = {"authority": address_of(faucet), "fixed": None}
    assets = [
        GenesisAsset(ticker, entry.title, mint_authority=minters[entry.mint_policy])
        for ticker, entry in environment.chain.assets.items()
    ]
    return ledger.build(
        chain_id=environment.chain.id,
        hrp=hrp,
        genesis_time_ms=time.time_ns() // 1_000_000,
        validators=validators,
        accounts=accounts,
        assets=assets,
        params=parameters(environment.chain),
        single_node_dev=len(validators) < ledger.VALIDATORS_MIN,
    )


def parameters(chain: Chain) -> Params:
    """Return the parameters that an environment asks for; the others are the defaults.

    Units: a time becomes so many blocks at the interval that blocks should have. Evidence is good
    for the part of the unbonding time that it has by default.
    Raises: ConfigError when these do not fit together.
    """
    usual = Params()
    unbonding = -(-1_000 * chain.unbonding_s // chain.block_interval_ms)
    made = msgspec.structs.replace(
        usual,
        unbonding_blocks=unbonding,
        evidence_max_age_blocks=(
            unbonding * usual.evidence_max_age_blocks // usual.unbonding_blocks
        ),
        absence_window_blocks=max(
            usual.absence_window_blocks, 1_000 * ABSENCE_S // chain.block_interval_ms
        ),
        unjail_by_itself=int(chain.hrp == TEST_HRP),
        validators_open=int(chain.validators == "open"),
        validator_power_max_bps=chain.power_max_bps,
    )
    for fault in params.faults(made):
        raise ConfigError(
            f"[chain] of the inventory: {fault.field}: {fault.message}",
            hint=f"unbonding_s = {chain.unbonding_s} is {unbonding:,} blocks of"
            f" {chain.block_interval_ms:,} ms: try a longer time, or a shorter interval",
        )
    return made


def _strangers(
    environment: Environment, known: Founded, public: Mapping[str, Mapping[str, Any]]
) -> Sequence[str]:
    """List the validators whose key on the host is not in the genesis."""
    members = {entry.key.hex() for entry in document.from_json(known.text).validators}
    return [
        each.name
        for each in environment.validators
        if str(public[each.name]["consensus_key"]) not in members
    ]


def _mismatch(environment: Environment, strangers: Sequence[str]) -> AitbcError:
    return AitbcError(
        f"deploy {environment.name} refused: the genesis does not name the keys of "
        f"{', '.join(strangers)}\n  a genesis is the chain's identity and is never made anew "
        f"behind your back\n  changed so far   no running node",
        hint=f"bring back the keys of {strangers[0]} from their backup\n"
        f"aitbc down {environment.name} --wipe   # ends this chain, removes keys and data",
        exit_status=Exit.REFUSED,
    )


def _founded(genesis: Genesis, *, text: str, made: bool) -> Founded:
    return Founded(text, genesis.hash().hex(), genesis.chain_id, made)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
