"""Which numbers of the chain may change by decision, with default, unit and bounds of each.

`PARAMETERS` is the one table: genesis is checked against it and the documentation prints it. The
quorum is no parameter. Do not add configuration of a single node here: whatever is in this file
changes the result of a block.
"""

import hashlib
from collections.abc import Iterator

import msgspec

from aitbc_node import limits
from aitbc_node.canonical import Record, encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.types import Hash

BPS = 10_000
"""Basis points in a whole."""

DELEGATORS_MAX = 120

ABSENCE_WINDOW_MIN = 1_200

PARAMS_TAG = b"aitbc/params\0"


class Parameter(msgspec.Struct, frozen=True):
    """Describe one parameter; `low` and `high` are the least and greatest value it may have."""

    name: str
    default: int
    unit: str
    low: int
    high: int
    meaning: str


PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "epoch_blocks",
        20,
        "blocks",
        1,
        1_000_000,
        "length of an epoch: at its end the validators change",
    ),
    Parameter(
        "max_block_txs",
        limits.BLOCK_TXS_DEFAULT,
        "transactions",
        1,
        limits.BLOCK_TXS_MAX,
        "most transactions in a block",
    ),
    Parameter(
        "max_block_bytes",
        4 * limits.MIB,
        "bytes",
        limits.TX_BYTES_MAX,
        limits.BLOCK_BYTES_MAX,
        "most raw transaction bytes in a block",
    ),
    Parameter("max_block_gas", 50_000_000, "gas", 2_000_000, 10**12, "most gas spent in a block"),
    Parameter(
        "tx_ttl_blocks",
        limits.VALID_UNTIL_AHEAD_MAX,
        "blocks",
        10,
        10_000_000,
        "how far ahead `valid_until` may be",
    ),
    Parameter(
        "gas_base_price", 10_000, "1/1000 base unit per 1000 gas", 1, 10**9, "price at genesis"
    ),
    Parameter(
        "gas_min_price", 1_000, "1/1000 base unit per 1000 gas", 1, 10**9, "price never below"
    ),
    Parameter(
        "gas_max_price", 1_000_000, "1/1000 base unit per 1000 gas", 1, 10**12, "price never above"
    ),
    Parameter(
        "gas_high_bps", 8_000, "bps of max_block_gas", 1, BPS, "fuller blocks raise the price"
    ),
    Parameter(
        "gas_low_bps", 5_600, "bps of max_block_gas", 0, BPS, "a lower mean of 10 lowers the price"
    ),
    Parameter(
        "gas_step_num", 11, "ratio", 2, 1_000, "the price moves by gas_step_num / gas_step_den"
    ),
    Parameter("gas_step_den", 10, "ratio", 1, 999, "see gas_step_num"),
    Parameter(
        "fee_proposer_bps", 5_000, "bps of the fee", 0, BPS, "share of the proposer's operator"
    ),
    Parameter("fee_treasury_bps", 3_000, "bps of the fee", 0, BPS, "share of the treasury"),
    Parameter("fee_burn_bps", 2_000, "bps of the fee", 0, BPS, "share that is destroyed"),
    Parameter(
        "self_bond_min",
        1_000_000,
        "base units",
        1_000_000,
        10**18,
        "least own bond of a validator",
    ),
    Parameter("delegation_min", 1_000_000, "base units", 1, 10**18, "least bond of anybody"),
    Parameter(
        "delegators_max", 100, "accounts", 0, DELEGATORS_MAX, "most bonds behind a validator"
    ),
    Parameter(
        "unbonding_blocks",
        1_200,
        "blocks",
        10,
        10_000_000,
        "how long a bond that is taken back can be slashed",
    ),
    Parameter("commission_min_bps", 100, "bps of rewards", 0, BPS, "least commission"),
    Parameter("commission_max_bps", 1_000, "bps of rewards", 0, BPS, "highest commission"),
    Parameter(
        "validators_max", 50, "validators", 1, limits.VALIDATORS_MAX, "most validators of an epoch"
    ),
    Parameter(
        "evidence_max_age_blocks", 1_000, "blocks", 1, 9_999_999, "how long an offence can be shown"
    ),
    Parameter("double_sign_slash_bps", 5_000, "bps of the bond", 0, BPS, "loss of who signs twice"),
    Parameter("evidence_reporter_bps", 500, "bps of the loss", 0, 500, "share of who shows it"),
    Parameter("jail_blocks", 1_200, "blocks", 1, 10_000_000, "least stay in jail"),
    Parameter(
        "absence_window_blocks",
        1_200,
        "blocks",
        0,
        10_000_000,
        "absence is counted over so many blocks; 0: nobody is jailed for it",
    ),
    Parameter(
        "absence_missed_bps",
        9_000,
        "bps of the window",
        5_000,
        BPS,
        "who misses so much is jailed",
    ),
    Parameter(
        "unjail_by_itself", 0, "0 or 1", 0, 1, "1: a jail for absence ends without a request"
    ),
    Parameter(
        "reward_per_block", 1_000, "base units", 0, 10**15, "what the reward pool pays for a block"
    ),
    Parameter("reward_proposer_bps", 2_000, "bps of rewards", 0, BPS, "share by blocks proposed"),
    Parameter(
        "proposal_deposit", 1_000_000, "base units", 0, 10**18, "lost when a proposal finds too few"
    ),
    Parameter("proposal_blocks", 1_000, "blocks", 1, 10_000_000, "how long a proposal is open"),
    Parameter("validators_open", 1, "0 or 1", 0, 1, "1: a bond is enough, 0: admission is needed"),
    Parameter(
        "validator_power_max_bps", BPS, "bps of the power", 100, BPS, "most of one validator"
    ),
)


class Params(Record, frozen=True):
    """Hold the value of every parameter, in the order of `PARAMETERS`."""

    epoch_blocks: int = 20
    max_block_txs: int = limits.BLOCK_TXS_DEFAULT
    max_block_bytes: int = 4 * limits.MIB
    max_block_gas: int = 50_000_000
    tx_ttl_blocks: int = limits.VALID_UNTIL_AHEAD_MAX
    gas_base_price: int = 10_000
    gas_min_price: int = 1_000
    gas_max_price: int = 1_000_000
    gas_high_bps: int = 8_000
    gas_low_bps: int = 5_600
    gas_step_num: int = 11
    gas_step_den: int = 10
    fee_proposer_bps: int = 5_000
    fee_treasury_bps: int = 3_000
    fee_burn_bps: int = 2_000
    self_bond_min: int = 1_000_000
    delegation_min: int = 1_000_000
    delegators_max: int = 100
    unbonding_blocks: int = 1_200
    commission_min_bps: int = 100
    commission_max_bps: int = 1_000
    validators_max: int = 50
    evidence_max_age_blocks: int = 1_000
    double_sign_slash_bps: int = 5_000
    evidence_reporter_bps: int = 500
    jail_blocks: int = 1_200
    absence_window_blocks: int = 1_200
    absence_missed_bps: int = 9_000
    unjail_by_itself: int = 0
    reward_per_block: int = 1_000
    reward_proposer_bps: int = 2_000
    proposal_deposit: int = 1_000_000
    proposal_blocks: int = 1_000
    validators_open: int = 1
    validator_power_max_bps: int = BPS

    def digest(self) -> Hash:
        """Hash all values for a header's `params_hash`."""
        return Hash(hashlib.sha256(PARAMS_TAG + encode(self)).digest())


# The defaults exist twice so that the type checker knows each field; they must not drift.
assert Params.__struct_fields__ == tuple(parameter.name for parameter in PARAMETERS)
assert Params.__struct_defaults__ == tuple(parameter.default for parameter in PARAMETERS)


def hasty(name: str, value: int) -> Refusal | None:
    """Say why a running chain may not be given a value that only its founders could choose.

    In a short window one missed block would cost the vote. Source: rules 2.10.
    """
    if name == "absence_window_blocks" and 0 < value < ABSENCE_WINDOW_MIN:
        message = f"{value} is neither 0 nor at least {ABSENCE_WINDOW_MIN} blocks"
        return Refusal(Code.E_AMOUNT, name, message)
    return None


def faults(params: Params) -> Iterator[Refusal]:
    """List everything that is out of bounds or does not fit together."""
    for parameter in PARAMETERS:
        value = getattr(params, parameter.name)
        if not parameter.low <= value <= parameter.high:
            message = f"{value} is not within {parameter.low}..{parameter.high} {parameter.unit}"
            yield Refusal(Code.E_AMOUNT, parameter.name, message)
    if params.fee_proposer_bps + params.fee_treasury_bps + params.fee_burn_bps != BPS:
        yield Refusal(Code.E_AMOUNT, "fee_burn_bps", f"the fee's shares do not sum to {BPS}")
    if not params.gas_min_price <= params.gas_base_price <= params.gas_max_price:
        yield Refusal(Code.E_AMOUNT, "gas_base_price", "not between least and greatest price")
    if params.gas_low_bps > params.gas_high_bps:
        yield Refusal(Code.E_AMOUNT, "gas_low_bps", "above gas_high_bps")
    if params.gas_step_num <= params.gas_step_den:
        yield Refusal(Code.E_AMOUNT, "gas_step_num", "not above gas_step_den")
    if params.evidence_max_age_blocks >= params.unbonding_blocks:
        # Or an offender's coins could be gone before the offence is shown.
        yield Refusal(Code.E_AMOUNT, "evidence_max_age_blocks", "not below unbonding_blocks")
    elif params.evidence_max_age_blocks + params.epoch_blocks >= params.unbonding_blocks:
        # What is taken back votes to the end of its epoch, and evidence comes after that.
        message = "evidence_max_age_blocks and epoch_blocks together are not below it"
        yield Refusal(Code.E_AMOUNT, "unbonding_blocks", message)
    if params.commission_min_bps > params.commission_max_bps:
        yield Refusal(Code.E_AMOUNT, "commission_min_bps", "above commission_max_bps")
