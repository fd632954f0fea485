"""What do operators do so that the validators of a simulated chain change?

They bond and take back, register with the key of a spare node, move to another key, step back and
return, and vote each other out and in again. Whom any of this concerns is remembered: nobody can
tell any more what power such an operator will have. Do not judge sets here: `checkers.py`.
"""

import random

from aitbc_node.ledger import objects
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.motions import AdmitValidator, EndEpoch, RemoveValidator, ScheduleUpgrade
from aitbc_node.ledger.objects import JAILED, LEAVING, REMOVED
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.proposals import ProposalSubmit, ProposalVote
from aitbc_node.ledger.staking import POWER_UNIT, value_of
from aitbc_node.ledger.state import State
from aitbc_node.types import Address, Amount, Height, PublicKey
from aitbc_sim.founding import account_of, newcomer, operator, spare_key
from aitbc_sim.options import Options
from aitbc_sim.testing import CHAIN_ID, FakeSigner

COINS_MAX = 3
OFTEN = 0.6
"""How much of what operators do on a day with upgrades is about them."""
Act = tuple[FakeSigner, tuple[Body, ...]]
"""Who hands it in, and what; several bodies are a bundle."""


class Operators:
    """Be all who have a say in who validates."""

    def __init__(self, dice: random.Random, options: Options) -> None:
        founders, spares = len(options.powers), options.spares
        self._dice = dice
        self._options = options
        self._people = [
            *map(operator, range(founders)),
            *map(newcomer, range(spares)),
        ]
        self._free = list(map(spare_key, range(spares)))
        self.moved: set[Address] = set()
        """Operators whose power or key is not what it was at the genesis, or may soon not be."""

    def may_change(self, key: PublicKey, voter: Address | None) -> bool:
        """Tell whether a key may come to have another power than it has in the present set.

        `voter` is whose vote the key is there; a spare key that nobody has registered has none.
        """
        if voter is not None:
            return voter in self.moved or bool(self._options.absence_blocks)
        return all(key != free.public_key for free in self._free)

    def next_act(self, state: State, height: Height) -> Act | None:
        """Return what somebody does now, if there is anything that the drawn kind can be done to.

        Mostly what a ledger takes; what it refuses meanwhile is a transaction like any other.
        """
        kinds = (
            self._bond,
            self._bond,
            self._unbond,
            self._register,
            self._register,
            self._rotate,
            self._step_back,
            self._return,
            self._return,
            self._propose,
            self._end_epoch,
            self._end_epoch,
            self._end_epoch,
            self._vote,
            self._vote,
            self._vote,
        )
        if self._options.upgrades and self._dice.random() < OFTEN:
            act = self._plan_upgrade(state, height) or self._vote(state)
            if act is not None:
                return act
        return self._dice.choice(kinds)(state)

    def _bond(self, state: State) -> Act | None:
        operators = state.roster.operators
        if not operators:
            return None
        return self._dice.choice(self._people), (self._stake(self._dice.choice(operators)),)

    def _stake(self, whom: Address) -> StakeBond:
        self.moved.add(whom)
        coins = self._dice.randrange(1, COINS_MAX + 1)
        return StakeBond(whom, Amount(coins * POWER_UNIT))

    def _unbond(self, state: State) -> Act | None:
        found = self._registered(state)
        if not found:
            return None
        who = self._dice.choice(found)
        own = account_of(who)
        member, stake = state.membership(own), state.stake(own, own)
        if member is None or stake is None:
            return None
        self.moved.add(own)
        amount = self._dice.choice((value_of(member, stake.shares), POWER_UNIT))
        return who, (StakeUnbond(own, Amount(amount)),)

    def _register(self, state: State) -> Act | None:
        """Put the key of a spare node and a bond behind a new validator, both or neither."""
        strangers = [w for w in self._people if state.membership(account_of(w)) is None]
        if not strangers or not self._free:
            return None
        who = self._dice.choice(strangers)
        return who, (self._put_key(who), self._stake(account_of(who)))

    def _rotate(self, state: State) -> Act | None:
        """Move a validator to a spare node with another key."""
        found = self._registered(state)
        if not found or not self._free:
            return None
        who = self._dice.choice(found)
        return who, (self._put_key(who),)

    def _put_key(self, who: FakeSigner) -> ValidatorPut:
        own = account_of(who)
        self.moved.add(own)
        key = self._free.pop()
        proof = possession_proof(CHAIN_ID, own, key)
        return ValidatorPut(key=key.public_key, proof=proof)

    def _step_back(self, state: State) -> Act | None:
        found = self._registered(state)
        return self._with_status(self._dice.choice(found), "leaving") if found else None

    def _return(self, state: State) -> Act | None:
        away = {LEAVING: "joining", JAILED: "unjail"}
        for who in self._registered(state):
            member = state.membership(account_of(who))
            if member is not None and member.status in away:
                return self._with_status(who, away[member.status])
        return None

    def _with_status(self, who: FakeSigner, status: str) -> Act:
        self.moved.add(account_of(who))
        return who, (ValidatorPut(status=status),)  # type: ignore[arg-type]  # one of the three

    def _propose(self, state: State) -> Act | None:
        """Ask the others to remove somebody, or to admit who was removed."""
        found = self._registered(state)
        if not found or any(kind == objects.PROPOSAL for kind, _ in state.contents):
            return None
        whom = account_of(self._dice.choice(found))
        member = state.membership(whom)
        assert member is not None, "looked up above"
        self.moved.add(whom)
        motion = AdmitValidator(whom) if member.seat == REMOVED else RemoveValidator(whom)
        return self._dice.choice(found), (ProposalSubmit(motion),)

    def _end_epoch(self, state: State) -> Act | None:
        """Ask the others to let the epoch end at once."""
        found = self._registered(state)
        if not found or any(kind == objects.PROPOSAL for kind, _ in state.contents):
            return None
        return self._dice.choice(found), (ProposalSubmit(EndEpoch()),)

    def _plan_upgrade(self, state: State, height: Height) -> Act | None:
        """Ask the others to have the next rules from a height on that comes soon."""
        found = self._registered(state)
        is_open = any(kind == objects.PROPOSAL for kind, _ in state.contents)
        if not found or is_open or state.upgrade is not None:
            return None
        at = Height(height + self._dice.randrange(4, 9))
        motion = ScheduleUpgrade(at, state.chain.app_version + 1)
        return self._dice.choice(found), (ProposalSubmit(motion),)

    def _vote(self, state: State) -> Act | None:
        names = sorted(name for kind, name in state.contents if kind == objects.PROPOSAL)
        if not names:
            return None
        proposal = state.proposal(names[0])
        assert proposal is not None, "looked up above"
        voted = {voter for voter, _ in proposal.votes}
        silent = [who for who in self._registered(state) if account_of(who) not in voted]
        if not silent:
            return None
        return self._dice.choice(silent), (ProposalVote(names[0], yes=True),)

    def _registered(self, state: State) -> list[FakeSigner]:
        return [who for who in self._people if state.membership(account_of(who)) is not None]
