"""What does a simulated chain begin with: who validates, who is rich, how long is an epoch?

Keys are made from names and sign cheaply. Do not add what anybody does later.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from aitbc_node.ledger import genesis
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.policy import address_of, single_key
from aitbc_node.types import Address, Amount, Power, Signature
from aitbc_sim.citizens import signer_of
from aitbc_sim.options import Options
from aitbc_sim.testing import CHAIN_ID, FakeSigner

GENESIS_MS = 1_760_000_000_000
CITIZENS = 6
WEALTH = 10**12
MOCK = "mUSDA"


def citizen(index: int) -> FakeSigner:
    """Return the key of an ordinary account."""
    return signer_of(f"citizen {index}")


def operator(index: int) -> FakeSigner:
    """Return the account key of whoever operates a validator of the genesis."""
    return signer_of(f"operator {index}")


def newcomer(index: int) -> FakeSigner:
    """Return the account key of somebody who may come to validate with a spare node."""
    return signer_of(f"newcomer {index}")


def patron(index: int) -> FakeSigner:
    """Return the account key of somebody rich whom the run itself leaves alone."""
    return signer_of(f"patron {index}")


def consensus_key(index: int) -> FakeSigner:
    """Return what a validator of the genesis votes with."""
    return signer_of(f"validator {index}")


def spare_key(index: int) -> FakeSigner:
    """Return what a node would vote with that has no vote at first."""
    return signer_of(f"spare {index}")


def account_of(signer: FakeSigner) -> Address:
    """Return the address of a key's own account."""
    return address_of(single_key(signer.public_key))


def a_genesis(options: Options) -> genesis.Genesis:
    """Found the chain of a run."""
    return genesis.build(
        chain_id=CHAIN_ID,
        hrp="aitd",
        genesis_time_ms=GENESIS_MS,
        validators=[
            genesis.GenesisValidator(
                account_of(operator(index)),
                consensus_key(index).public_key,
                Power(power),
                "",
                Signature(bytes(64)),
            )
            for index, power in enumerate(options.powers)
        ],
        accounts=[_rich(signer) for signer in _all_rich(options)],
        assets=[genesis.GenesisAsset(MOCK, "mock dollar", 6, account_of(citizen(0)))],
        params=_params(options),
        reward_pool=options.reward_pool,
        single_node_dev=len(options.powers) < genesis.VALIDATORS_MIN,
    )


def _all_rich(options: Options) -> Iterator[FakeSigner]:
    yield from map(citizen, range(CITIZENS))
    if options.churn:
        yield from map(operator, range(len(options.powers)))
        yield from map(newcomer, range(options.spares))
    yield from map(patron, range(options.patrons))


def _rich(signer: FakeSigner) -> genesis.GenesisAccount:
    policy = single_key(signer.public_key)
    return genesis.GenesisAccount(address_of(policy), policy, ((NATIVE, Amount(WEALTH)),))


def _params(options: Options) -> Params:
    params = _periods(options)
    return replace(params, max_block_gas=options.block_gas) if options.block_gas else params


def _periods(options: Options) -> Params:
    """Let bonds come back, and the jailed out, within the few blocks of a run."""
    if options.epoch_blocks == Params().epoch_blocks:
        return Params()
    age = 2 * options.epoch_blocks
    return Params(
        epoch_blocks=options.epoch_blocks,
        evidence_max_age_blocks=age,
        unbonding_blocks=max(10, age + options.epoch_blocks + 1),
        jail_blocks=options.epoch_blocks,
        absence_window_blocks=options.absence_blocks,
        unjail_by_itself=1,
        proposal_blocks=age,
    )
