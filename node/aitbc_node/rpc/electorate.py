"""What do the answers about validators, stakes, rewards and decisions look like?

As in `schema.py`, whose rules hold here too: fields may be added, never renamed. Do not add how an
answer is found: `bonds.py` and `decisions.py` do that.
"""

from aitbc_node.rpc.schema import AddressText, Answer, Digits, Hex


class MemberView(Answer, frozen=True, kw_only=True):
    """Show an operator: what stands behind it, its vote now and, as it looks, in the next epoch.

    Units: `signed` of `expected` blocks and `proposed` count in the present epoch, `missed` is what
    lacks; `rewards` is owed to those who stand behind it, `commission` to the operator.
    Shape: `status` is candidate, active, leaving or jailed; `seat` is what the other validators
    decided: admitted, removed or nothing; `next_key` replaces `key` with the next epoch;
    `jailed_for` is what it was jailed for last: equivocation, absence, absence-leaving or nothing.
    """

    address: AddressText
    key: Hex
    next_key: Hex | None
    status: str
    seat: str
    power: int
    next_power: int
    bonded: Digits
    own_bond: Digits
    unbonding: Digits
    delegators: int
    commission_bps: int
    region: str
    endpoint: str
    jailed_until: int
    jailed_for: str = ""
    signed: int
    expected: int
    missed: int
    proposed: int
    rewards: Digits
    commission: Digits


class Members(Answer, frozen=True, kw_only=True):
    """List who votes, and who may be chosen for the next epoch; others are asked for by address."""

    height: int
    total_power: int
    next_total_power: int
    next_epoch: int
    validators: list[MemberView]


class MemberRewards(Answer, frozen=True, kw_only=True):
    """Show what a validator has earned and nobody has taken yet; what was taken is not kept."""

    address: AddressText
    height: int
    rewards: Digits
    commission: Digits
    commission_bps: int
    signed: int
    expected: int
    proposed: int


class StakeView(Answer, frozen=True, kw_only=True):
    """Show what an account has behind one validator: its worth now, and what it has earned."""

    validator: AddressText
    amount: Digits
    earned: Digits
    validator_status: str


class UnbondingView(Answer, frozen=True, kw_only=True):
    """Show coins on their way back; they come at the end of block `matures`, or later.

    Shape: `counted_until` is the last height at which they stood behind a vote, 0 while they do:
    then they come an evidence's age after that vote is gone.
    """

    validator: AddressText
    amount: Digits
    matures: int
    counted_until: int


class AccountStakes(Answer, frozen=True, kw_only=True):
    """Show what an account has behind validators, and what is on its way back."""

    address: AddressText
    height: int
    bonded: Digits
    unbonding: Digits
    stakes: list[StakeView]
    leaving: list[UnbondingView]


class RewardView(Answer, frozen=True, kw_only=True):
    """Show what waits for an account with one validator; commission is the operator's only."""

    validator: AddressText
    earned: Digits
    commission: Digits


class AccountRewards(Answer, frozen=True, kw_only=True):
    """Show what an account may claim."""

    address: AddressText
    height: int
    total: Digits
    rewards: list[RewardView]


class MotionView(Answer, frozen=True, kw_only=True):
    """Show what is asked for: its kind, and its fields in words."""

    kind: str
    details: dict[str, str]


class BallotView(Answer, frozen=True, kw_only=True):
    """Show one vote, with the power that it has now."""

    address: AddressText
    yes: bool
    power: int


class ProposalRow(Answer, frozen=True, kw_only=True):
    """Show an open proposal and its tally; one that was decided or has lapsed is gone.

    Units: `needed_power` is the least that carries it, `ends` the last height at which to vote.
    """

    id: Hex
    height: int
    proposer: AddressText
    motion: MotionView
    deposit: Digits
    ends: int
    yes_power: int
    no_power: int
    needed_power: int
    total_power: int


class ProposalView(ProposalRow, frozen=True, kw_only=True):
    """Show an open proposal, its tally, and each vote."""

    votes: list[BallotView]


class Proposals(Answer, frozen=True, kw_only=True):
    """List open proposals, those first that end first; of very many the first hundred."""

    height: int
    count: int
    proposals: list[ProposalRow]


class NextVote(Answer, frozen=True, kw_only=True):
    """Show one vote of the next epoch."""

    address: AddressText
    key: Hex
    power: int


class Epoch(Answer, frozen=True, kw_only=True):
    """Tell where the present epoch begins and ends, and what comes with the next one.

    Units: `number` counts from 0 at the present length; `first` and `last` are heights, and what
    was bonded, decided or rotated counts from the height behind `last`. Shape: `next_validators` is
    what comes if nothing else happens; `decided` is carried out at the end of this epoch.
    """

    height: int
    number: int
    first: int
    last: int
    blocks: int
    total_power: int
    next_total_power: int
    next_validators: list[NextVote]
    decided: list[MotionView]
