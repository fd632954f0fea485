"""What does a node say of who validates, who stands behind them, and what they have earned?

One pure function per route, answered from the state after the newest final block.
"""

from collections.abc import Mapping
from typing import NamedTuple

from aitbc_node import bech32, limits
from aitbc_node.codes import Code
from aitbc_node.ledger import forecast, staking
from aitbc_node.ledger.objects import Attendance, Membership
from aitbc_node.ledger.state import State
from aitbc_node.rpc import electorate
from aitbc_node.rpc.call import Call, read_address
from aitbc_node.rpc.view import RequestFault
from aitbc_node.types import Address
from aitbc_node.validators import ValidatorSet


class _Standing(NamedTuple):
    """What all rows of an answer look things up in, so that each costs no walk over all."""

    powers: Mapping[Address, int]
    coming: Mapping[Address, int]
    attendance: Mapping[Address, Attendance]


def members(call: Call) -> electorate.Members:
    """Answer `GET /state/validators`: voters and the roster, which are both bounded."""
    state, height = call.view.state, call.view.height
    coming = forecast.next_validators(state, height)
    standing = _standing(state, coming)
    operators = sorted({*standing.powers, *state.roster.operators})
    rows = [_member(state, operator, standing) for operator in operators]
    return electorate.Members(
        height=height,
        total_power=state.validators.total_power,
        next_total_power=coming.total_power,
        next_epoch=forecast.last_of_epoch(state, height) + 1,
        validators=sorted(rows, key=lambda row: (-row.power, -row.next_power, row.address)),
    )


def member(call: Call) -> electorate.MemberView:
    """Answer `GET /state/validators/<address>`."""
    operator, _ = _named(call)
    state = call.view.state
    coming = forecast.next_validators(state, call.view.height)
    return _member(state, operator, _standing(state, coming))


def member_rewards(call: Call) -> electorate.MemberRewards:
    """Answer `GET /validators/<address>/rewards`."""
    operator, found = _named(call)
    part = _attendance(call.view.state).get(operator) or Attendance(operator)
    return electorate.MemberRewards(
        address=_text(call.view.state, operator),
        height=call.view.height,
        rewards=str(found.rewards),
        commission=str(found.commission),
        commission_bps=found.commission_bps,
        signed=part.signed,
        expected=part.expected,
        proposed=part.proposed,
    )


def account_stakes(call: Call) -> electorate.AccountStakes:
    """Answer `GET /state/accounts/<address>/stakes`."""
    state, delegator = call.view.state, read_address(call)
    stakes: list[electorate.StakeView] = []
    leaving: list[electorate.UnbondingView] = []
    for operator in _behind(state, delegator):
        stakes += _stake(state, operator, delegator)
        leaving += _leaving(state, operator, delegator)
    return electorate.AccountStakes(
        address=_text(state, delegator),
        height=call.view.height,
        bonded=str(sum(int(row.amount) for row in stakes)),
        unbonding=str(sum(int(row.amount) for row in leaving)),
        stakes=stakes,
        leaving=sorted(leaving, key=lambda row: row.matures),
    )


def account_rewards(call: Call) -> electorate.AccountRewards:
    """Answer `GET /state/accounts/<address>/rewards`."""
    state, address = call.view.state, read_address(call)
    rows = []
    for operator in sorted({address, *_behind(state, address)}):
        row = _reward(state, operator, address)
        if row is not None:
            rows.append(row)
    return electorate.AccountRewards(
        address=_text(state, address),
        height=call.view.height,
        total=str(sum(int(row.earned) + int(row.commission) for row in rows)),
        rewards=rows,
    )


def _named(call: Call) -> tuple[Address, Membership]:
    operator = read_address(call)
    found = call.view.state.membership(operator)
    if found is None:
        message = "no validator is registered by this account"
        hint = "GET /state/validators lists who votes and who may be chosen"
        raise RequestFault(404, Code.E_NOT_FOUND, message, field="address", hint=hint)
    return operator, found


def _standing(state: State, coming: ValidatorSet) -> _Standing:
    return _Standing(_powers(state.validators), _powers(coming), _attendance(state))


def _member(state: State, operator: Address, standing: _Standing) -> electorate.MemberView:
    found = state.membership(operator)
    assert found is not None, "on the roster without a membership"
    part = standing.attendance.get(operator) or Attendance(operator)
    queue = state.unbonding(operator)
    return electorate.MemberView(
        address=_text(state, operator),
        key=found.key.hex(),
        next_key=found.next_key.hex() if found.next_key else None,
        status=found.status,
        seat=found.seat,
        power=standing.powers.get(operator, 0),
        next_power=standing.coming.get(operator, 0),
        bonded=str(found.bonded),
        own_bond=str(staking.own_bond(state, operator, found)),
        unbonding=str(sum(row.amount for row in queue.rows)),
        delegators=found.delegators,
        commission_bps=found.commission_bps,
        region=found.region,
        endpoint=found.endpoint,
        jailed_until=found.jailed_until,
        jailed_for=found.jailed_for,
        signed=part.signed,
        expected=part.expected,
        missed=part.expected - part.signed,
        proposed=part.proposed,
        rewards=str(found.rewards),
        commission=str(found.commission),
    )


def _behind(state: State, delegator: Address) -> list[Address]:
    return state.listing.validators_of(delegator)[: limits.RPC_ROWS_MAX]


def _stake(state: State, operator: Address, delegator: Address) -> list[electorate.StakeView]:
    found, stake = state.membership(operator), state.stake(operator, delegator)
    if found is None or stake is None:
        return []
    row = electorate.StakeView(
        validator=_text(state, operator),
        amount=str(staking.value_of(found, stake.shares)),
        earned=str(staking.earned_by(found, stake)),
        validator_status=found.status,
    )
    return [row]


def _leaving(state: State, operator: Address, delegator: Address) -> list[electorate.UnbondingView]:
    return [
        electorate.UnbondingView(
            validator=_text(state, operator),
            amount=str(row.amount),
            matures=row.matures,
            counted_until=row.counted_until,
        )
        for row in state.listing.leaving(delegator, operator)
    ]


def _reward(state: State, operator: Address, address: Address) -> electorate.RewardView | None:
    found, stake = state.membership(operator), state.stake(operator, address)
    if found is None:
        return None
    earned = 0 if stake is None else staking.earned_by(found, stake)
    commission = found.commission if operator == address else 0
    return electorate.RewardView(
        validator=_text(state, operator), earned=str(earned), commission=str(commission)
    )


def _attendance(state: State) -> Mapping[Address, Attendance]:
    return {row.operator: row for row in state.epoch_log.rows}


def _powers(voters: ValidatorSet) -> Mapping[Address, int]:
    return {member.operator: member.power for member in voters.members}


def _text(state: State, address: Address) -> str:
    return bech32.address_text(state.chain.hrp, address)
