"""What may the validators decide about, and what does each decision do?

One record per kind of motion, with what it takes to be asked for and its effect. Do not add when a
decision has been made: `proposals.py` counts. Source: rules 2.11.
"""

from typing import Annotated, TypeAlias

from msgspec import Meta
from msgspec.structs import replace

from aitbc_node import limits
from aitbc_node.canonical import Record
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import objects, params, roster, upgrades
from aitbc_node.ledger.forms import AccountName, Ticker
from aitbc_node.ledger.objects import ADMITTED, REMOVED
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.staking import membership_key
from aitbc_node.ledger.state import Draft, Reader
from aitbc_node.types import Address, Height


class ChangeParameter(Record, frozen=True, tag="param"):
    """Set one parameter of the chain."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    value: Annotated[int, Meta(ge=0, le=limits.INT_MAX)]


class ShareFees(Record, frozen=True, tag="fee_shares"):
    """Set all three shares of a fee, which are a whole together."""

    proposer_bps: Annotated[int, Meta(ge=0, le=params.BPS)]
    treasury_bps: Annotated[int, Meta(ge=0, le=params.BPS)]
    burn_bps: Annotated[int, Meta(ge=0, le=params.BPS)]


class AdmitValidator(Record, frozen=True, tag="validator_add"):
    """Let an operator validate, if it has bonded enough."""

    operator: AccountName


class RemoveValidator(Record, frozen=True, tag="validator_remove"):
    """Let an operator validate no more; its bond stays its own."""

    operator: AccountName


class PauseAsset(Record, frozen=True, tag="pause"):
    """Stop or resume transfers and minting of an asset; bonds, deposits and rewards go on."""

    asset: Ticker
    paused: bool


class PauseMinting(Record, frozen=True, tag="pause_minting"):
    """Stop or resume the minting of an asset; what there is moves on, and may be destroyed."""

    asset: Ticker
    paused: bool


class ScheduleUpgrade(Record, frozen=True, tag="upgrade"):
    """Have other rules from a height on; who does not know them stops before it."""

    height: Annotated[Height, Meta(ge=1, le=limits.INT_MAX)]
    app_version: Annotated[int, Meta(ge=1, le=limits.INT_MAX)]


class CancelUpgrade(Record, frozen=True, tag="upgrade_cancel"):
    """Take back what is planned."""


class EndEpoch(Record, frozen=True, tag="epoch_now"):
    """End the epoch with the block that decides it; the next one ends when it would have."""


Motion: TypeAlias = (
    ChangeParameter
    | ShareFees
    | AdmitValidator
    | RemoveValidator
    | PauseAsset
    | PauseMinting
    | ScheduleUpgrade
    | CancelUpgrade
    | EndEpoch
)


def fault(motion: Motion) -> Refusal | None:
    """Judge the form of a motion, without the state."""
    match motion:
        case ChangeParameter(name=name) if not name.isascii():
            return Refusal(Code.E_MALFORMED, "motion.name", "not ASCII")
        case PauseAsset(asset=asset) | PauseMinting(asset=asset) if not asset.isascii():
            return Refusal(Code.E_MALFORMED, "motion.asset", "not ASCII")
        case _:
            return None


def check(reader: Reader, motion: Motion, *, height: Height) -> Refusal | None:
    """Say why a motion cannot be asked for at a height."""
    match motion:
        case ChangeParameter(name=name):
            if name not in Params.__struct_fields__:
                return Refusal(Code.E_UNKNOWN, "motion.name", f"no parameter '{name}'")
            fault = params.hasty(name, motion.value) or next(
                params.faults(_changed(reader.params, motion)), None
            )
            return fault and Refusal(Code.E_AMOUNT, "motion.value", fault.message)
        case ShareFees():
            fault = next(params.faults(_changed(reader.params, motion)), None)
            return fault and Refusal(Code.E_AMOUNT, "motion.burn_bps", fault.message)
        case AdmitValidator(operator=operator) | RemoveValidator(operator=operator):
            if reader.membership(operator) is None:
                return Refusal(Code.E_UNKNOWN, "motion.operator", "nobody registered there")
        case PauseAsset(asset=asset) | PauseMinting(asset=asset):
            if reader.asset(asset) is None:
                return Refusal(Code.E_ASSET, "motion.asset", f"no asset '{asset}'")
        case ScheduleUpgrade(app_version=version) if version <= reader.chain.app_version:
            message = f"the chain is in version {reader.chain.app_version}"
            return Refusal(Code.E_AMOUNT, "motion.app_version", message)
        case ScheduleUpgrade(height=wanted) if wanted <= height:
            return Refusal(Code.E_EXPIRED, "motion.height", f"the chain is at {height}")
        case CancelUpgrade() if reader.upgrade is None:
            return Refusal(Code.E_UNKNOWN, "motion", "no upgrade is planned")
    return None


def acts_at_once(motion: Motion) -> bool:
    """Tell whether a decision does not wait for the end of the epoch."""
    return is_emergency(motion) or isinstance(motion, ScheduleUpgrade | CancelUpgrade | EndEpoch)


def is_emergency(motion: Motion) -> bool:
    """Tell whether a decision stops or resumes something, which takes four fifths of the power."""
    return isinstance(motion, PauseAsset | PauseMinting)


def is_too_late(reader: Reader, motion: Motion, height: Height) -> bool:
    """Tell whether a decision at this height would have nothing to act on any more."""
    return acts_at_once(motion) and check(reader, motion, height=height) is not None


def carry_out(draft: Draft, motion: Motion) -> None:
    """Let a decision take effect."""
    match motion:
        case ChangeParameter() | ShareFees():
            changed = _changed(draft.params, motion)
            # Two decisions of one epoch may each be sound and not fit together: the first stands.
            if next(params.faults(changed), None) is None:
                draft.put((objects.PARAMS, b""), changed)
        case AdmitValidator(operator=operator):
            _seat(draft, operator, ADMITTED)
        case RemoveValidator(operator=operator):
            _seat(draft, operator, REMOVED)
        case PauseAsset(asset=ticker, paused=paused):
            asset = draft.asset(ticker)
            assert asset is not None, "an asset is never undone"
            draft.put_asset(ticker, replace(asset, paused=paused))
        case PauseMinting(asset=ticker, paused=paused):
            asset = draft.asset(ticker)
            assert asset is not None, "an asset is never undone"
            draft.put_asset(ticker, replace(asset, minting_paused=paused))
        case ScheduleUpgrade(height=height, app_version=version):
            upgrades.plan(draft, height, version)
        case CancelUpgrade():
            upgrades.cancel(draft)


def _changed(before: Params, motion: ChangeParameter | ShareFees) -> Params:
    if isinstance(motion, ChangeParameter):
        return replace(before, **{motion.name: motion.value})
    return replace(
        before,
        fee_proposer_bps=motion.proposer_bps,
        fee_treasury_bps=motion.treasury_bps,
        fee_burn_bps=motion.burn_bps,
    )


def _seat(draft: Draft, operator: Address, seat: str) -> None:
    member = draft.membership(operator)
    assert member is not None, "a registration is never undone"
    draft.put(membership_key(operator), replace(member, seat=seat))
    roster.enter(draft, operator)
