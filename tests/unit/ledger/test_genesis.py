"""Genesis: what a chain may start from, and the state before its first block."""

import msgspec
import pytest

from aitbc_node import limits
from aitbc_node.errors import ConfigError
from aitbc_node.ledger import genesis
from aitbc_node.ledger.audit import audit
from aitbc_node.ledger.genesis import Genesis, GenesisAccount, GenesisAsset
from aitbc_node.ledger.objects import balance
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.policy import Policy
from aitbc_node.ledger.staking import POWER_UNIT
from aitbc_node.types import Address, Amount, Power, PublicKey, Signature
from aitbc_sim.town import WEALTH, a_genesis, address

GENESIS = a_genesis()


def changed(**changes: object) -> Genesis:
    """Change fields of a good genesis."""
    return msgspec.structs.replace(GENESIS, **changes)


def with_first(field: str, **changes: object) -> Genesis:
    """Change the first entry of a list of a good genesis."""
    first, *others = getattr(GENESIS, field)
    return changed(**{field: (msgspec.structs.replace(first, **changes), *others)})


def test_a_good_genesis_is_accepted() -> None:
    """The builders make what validation wants."""
    genesis.validate(GENESIS)


def test_building_puts_everything_into_canonical_order() -> None:
    """The same contents in another order are the same chain."""
    shuffled = genesis.build(
        chain_id=GENESIS.chain_id,
        hrp=GENESIS.hrp,
        genesis_time_ms=GENESIS.genesis_time_ms,
        validators=reversed(GENESIS.validators),
        accounts=reversed(GENESIS.accounts),
        assets=reversed(GENESIS.assets),
    )

    assert shuffled == GENESIS
    assert shuffled.hash() == GENESIS.hash()


@pytest.mark.parametrize(
    "other",
    [
        changed(chain_id="aitbc-test-2"),
        changed(genesis_time_ms=1),
        changed(params=Params(max_block_txs=1999)),
        changed(treasury=Amount(1)),
        with_first("validators", region="eu"),
        with_first("accounts", policy=None),
    ],
)
def test_any_difference_is_another_chain(other: Genesis) -> None:
    """The hash covers every field."""
    assert other.hash() != GENESIS.hash()


def test_a_version_that_is_unknown_is_told_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that this software starts, not only the newest."""
    monkeypatch.setattr(genesis, "APP_VERSION", genesis.APP_VERSION_OLDEST + 1)
    unknown = genesis.APP_VERSION_OLDEST + 2

    refusal = next(genesis.faults(changed(app_version=unknown)))

    assert refusal.message == f"{unknown} is not {unknown - 2}..{unknown - 1}"


WEAK = PublicKey(bytes(32))


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        (changed(chain_id="Upper"), "chain_id"),
        (changed(chain_id=""), "chain_id"),
        (changed(hrp="AITD"), "hrp"),
        (changed(genesis_time_ms=-1), "genesis_time_ms"),
        (changed(app_version=1), "app_version"),
        (changed(params=Params(max_block_txs=0)), "params.max_block_txs"),
        (changed(assets=GENESIS.assets[1:]), "assets"),
        (changed(assets=GENESIS.assets[::-1]), "assets"),
        (with_first("assets", ticker="A-B"), "assets[0].ticker"),
        (with_first("assets", name="e\u0301"), "assets[0].name"),
        (with_first("assets", name="x" * 65), "assets[0].name"),
        (with_first("validators", region="\U000105c9"), "validators[0].region"),
        (with_first("assets", decimals=5), "assets[0].decimals"),
        (with_first("assets", min_amount=Amount(0)), "assets[0].min_amount"),
        (with_first("assets", mint_authority=Address(b"x")), "assets[0].mint_authority"),
        (changed(hrp="ait"), "assets[1].mint_authority"),
        (changed(accounts=GENESIS.accounts[::-1]), "accounts"),
        (with_first("accounts", policy=Policy(1, (WEAK,))), "accounts[0].policy.keys[0]"),
        (with_first("accounts", balances=(("NOPE", 1),)), "accounts[0].balances.NOPE"),
        (with_first("accounts", balances=(("AIT", 0),)), "accounts[0].balances[0][1]"),
        (with_first("accounts", balances=(("AIT", 1), ("AIT", 1))), "accounts[0].balances"),
        (changed(treasury=Amount(limits.INT_MAX)), "accounts"),
        (changed(reward_pool=Amount(-1)), "reward_pool"),
        (changed(validators=GENESIS.validators[:3]), "validators"),
        (changed(validators=GENESIS.validators[::-1]), "validators"),
        (changed(validators=GENESIS.validators[:1] * 4), "validators"),
        (with_first("validators", power=Power(0)), "validators[0].power"),
        (with_first("validators", power=Power(2**43)), "validators"),
        (with_first("validators", operator=GENESIS.validators[1].operator), "validators"),
        (changed(params=Params(self_bond_min=2_000_000)), "validators[3].power"),
        (with_first("validators", key=WEAK), "validators[0].key"),
        (with_first("validators", operator=address("mallory")), "validators[0].proof"),
        (with_first("validators", proof=Signature(bytes(64))), "validators[0].proof"),
    ],
)
def test_each_fault_is_told_by_its_field(broken: Genesis, field: str) -> None:
    """An operator reads which field to mend, whatever else follows from it."""
    fields = [fault.field for fault in genesis.faults(broken)]

    assert field in fields
    with pytest.raises(ConfigError, match=r"^genesis: "):
        genesis.validate(broken)


def test_another_policy_than_the_addresss_own_is_a_fault() -> None:
    """Genesis cannot hand an address to somebody else."""
    other = GENESIS.accounts[1].policy

    fields = [fault.field for fault in genesis.faults(with_first("accounts", policy=other))]

    assert fields == ["accounts[0].policy"]


def test_one_validator_is_enough_for_a_developer_alone() -> None:
    """The flag is part of the genesis, so nobody mistakes such a chain for a real one."""
    alone = changed(validators=GENESIS.validators[:1], single_node_dev=True)

    genesis.validate(alone)


def test_a_proof_of_possession_is_for_one_chain_and_operator() -> None:
    """A consensus key seen elsewhere cannot be entered under another name or chain."""
    elsewhere = changed(chain_id="aitbc-test-2")

    fields = [fault.field for fault in genesis.faults(elsewhere)]

    assert fields == [f"validators[{place}].proof" for place in range(4)]


def test_the_first_state_holds_what_genesis_gives() -> None:
    """Supplies are the sums of all holdings; validators take no turn before the first block."""
    mock = GenesisAsset("mUSDA", "mock dollar", 6, address("mint"))
    holder = GenesisAccount(address("holder"), None, (("mUSDA", Amount(7)),))
    founding = genesis.build(
        chain_id=GENESIS.chain_id,
        hrp="aitd",
        genesis_time_ms=0,
        validators=GENESIS.validators,
        accounts=[*GENESIS.accounts, holder],
        assets=[mock],
        reward_pool=50,
        treasury=20,
    )

    state = genesis.initial_state(founding)

    assert audit(state) == []
    native, mock_asset = state.asset("AIT"), state.asset("mUSDA")
    assert native is not None
    assert mock_asset is not None
    assert (native.supply, mock_asset.supply) == (3 * WEALTH + 70 + 4 * POWER_UNIT, 7)
    assert balance(state.pool("reward_pool").balances, "AIT") == 50
    assert state.validators == founding.validator_set()
    assert state.fees.price == state.params.gas_base_price
    assert state.chain.chain_id == GENESIS.chain_id
