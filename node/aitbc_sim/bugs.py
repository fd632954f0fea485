"""Which bugs can be planted, to see that the checkers have teeth?

Each takes the place of a part of the real node for one run; they live here and nowhere in the node.
Do not add a bug without the checker that must find it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec

from aitbc_node import machine
from aitbc_node.blocks import NO_BLOCK, Block, Certificate, FinalBlock, Proposed, block_id
from aitbc_node.chain import Candidate, Chain
from aitbc_node.consensus import algorithm, conditions
from aitbc_node.consensus.algorithm import Condition
from aitbc_node.consensus.electorate import Electorate
from aitbc_node.consensus.height import HeightRecord
from aitbc_node.consensus.inputs import ConsensusEffect
from aitbc_node.consensus.messages import NO_ROUND, Vote
from aitbc_node.consensus.replica import Consensus
from aitbc_node.consensus.retransmission import Retransmission
from aitbc_node.consensus.votes import Standing, VoteBook
from aitbc_node.events import Committed, SignState
from aitbc_node.gossip.book import Book
from aitbc_node.ledger import (
    accounts,
    apply,
    boundary,
    epochs,
    evidence,
    fees,
    transfers,
)
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.storage.sign_state import FILE_NAME, NOTHING_SIGNED, SignStateFile
from aitbc_node.storage.store import Store
from aitbc_node.types import BlockId, Height, PeerId
from aitbc_node.validators import ValidatorSet
from aitbc_node.workshop import Workshop
from aitbc_sim import false_books
from aitbc_sim.byzantine import SkipLock

# Votes and locks.


class ForgetLock(Consensus):
    """Come back from a restart with the newest signature, but without the lock."""

    def __init__(self, *, sign_state: SignState | None, **rest: Any) -> None:
        if sign_state is not None:
            sign_state = msgspec.structs.replace(
                sign_state,
                locked_round=NO_ROUND,
                locked_id=NO_BLOCK,
                valid_round=NO_ROUND,
                valid_id=NO_BLOCK,
                prevotes=(),
            )
        super().__init__(sign_state=sign_state, **rest)


class StaleSet(Consensus):
    """Go on with the validators of the epoch before when others may vote."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(**rest)
        self._newest = self._before = ValidatorSet(())

    def enter_height(
        self, height: Height, validators: ValidatorSet, **rest: Any
    ) -> list[ConsensusEffect]:
        """Begin a height with the set that the newest one has replaced."""
        if self._newest.digest() != validators.digest():
            self._before = self._newest
        self._newest = validators
        stale = self._before if self._before.members else validators
        return super().enter_height(height, stale, **rest)


_save = SignStateFile.save


def _save_without_sync(self: SignStateFile, state: SignState) -> None:
    """Write a sign state and go on, as if the disk could be trusted to have it."""
    sync = self._disk.sync
    with patch.object(self._disk, "sync", lambda name: sync(name) if name != FILE_NAME else None):
        _save(self, state)


def _half_is_enough(self: Electorate | ValidatorSet, power: int) -> bool:
    """Take 2f votes of 3f+1 for a quorum."""
    members = self.powers if isinstance(self, Electorate) else [m.power for m in self.members]
    return 3 * power >= 2 * (sum(members) - 1)


def _decide_on_prevotes(record: HeightRecord) -> Condition | None:
    """Make a block final at its first precommit (line 49 with the quorum of line 36)."""
    for round_, votes in record.book.rounds.items():
        winner = votes.prevotes.winner
        if record.is_valid(winner) and any(votes.precommits.voters(winner)):
            assert winner is not None, "what is valid is a value"
            return algorithm.PrecommitsForValue(round_, winner)
    return None


_standing = VoteBook.standing


def _always_new(self: VoteBook, vote: Vote, *, favoured: frozenset[BlockId]) -> Standing:
    """Count a vote as often as it comes."""
    standing = _standing(self, vote, favoured=favoured)
    return "new" if standing == "known" else standing


_make_final = machine.Machine._make_final  # noqa: SLF001 - the bug does it twice


def _make_final_twice(
    self: machine.Machine, candidate: Candidate, certificate: Certificate
) -> None:
    """Announce a final block a second time."""
    _make_final(self, candidate, certificate)
    final = FinalBlock(candidate.block, certificate)
    self._out.add(Committed(candidate.id, final, candidate.execution.receipts))


# Blocks.


def _judge_without_root(self: Chain, proposed: Proposed, txs: Sequence[Parsed]) -> Candidate | str:
    """Execute a block and take its header's word for the state that comes out."""
    header = proposed.header
    context = self._context(header.proposer, proposed.last_commit, proposed.evidence)
    done = apply.execute(self.state, context, txs)
    if isinstance(done, apply.InvalidBlock):
        return done.refusal.message
    raws = tuple(parsed.raw for parsed in txs)
    block = Block(header, raws, proposed.last_commit, proposed.evidence)
    return Candidate(block_id(header), block, tuple(txs), done)


def _apply_without_root(self: Chain, candidate: Candidate, certificate: Certificate) -> None:
    """Make a candidate final without a look at the state."""
    header = candidate.block.header
    self.tip_validators = self.state.validators
    self.adopt(candidate.execution)
    self.height, self.tip, self.tip_id = header.height, header, candidate.id
    self.tip_certificate = certificate


_build = Workshop.build
_advance = Workshop.advance
_plan_dial = Book.plan_dial


def _build_with_old(self: Workshop, candidates: Iterator[Parsed], **rest: Any) -> Candidate:
    """Propose the transactions of the last block once more."""
    old = getattr(self, "_old", ())
    return _build(self, (*old, *candidates), **rest)


def _advance_with_memory(self: Workshop, height: Height, final: Candidate | None = None) -> None:
    self._old = () if final is None else final.txs  # type: ignore[attr-defined]  # the bug's own
    _advance(self, height, final)


# Links and disks.


def _never_again(self: Book, peer: PeerId, now_ms: int) -> None:
    """Never dial a peer a second time."""
    _plan_dial(self, peer, now_ms)
    entry = self.get(peer)
    if entry is not None:
        entry.dial_at_ms = now_ms + 10**9


class Bug(NamedTuple):
    """Say what takes the place of what, on which day it shows, and which checker must turn red."""

    checker: str
    parts: tuple[tuple[object, str, object], ...]
    profile: str = "sound"
    changes: Mapping[str, Any] = {}


_QUICK = {"interval_ms": 100, "timeout_ms": 300, "blocks": 8}
_LOSES_VOTES = {
    **_QUICK,
    "loss": [["prevote", 0.5], ["precommit", 0.5], ["summary", 0.7]],
    "lossy_edges": 0.5,
}
_PAYS = {**_QUICK, "tx_every_ms": 60}
_CHANGES = {**_PAYS, "blocks": 20, "churn": 0.5, "spares": 2, "epoch_blocks": 3}
_CUT_OFTEN = {**_QUICK, "blocks": 60, "partition_every_ms": 500, "partition_ms": [2500, 4000]}

BUGS = {
    "skip-lock": Bug("agreement", ((machine, "Consensus", SkipLock),), "hard"),
    "forget-lock": Bug("agreement", ((machine, "Consensus", ForgetLock),), "hard"),
    "vote-before-disk": Bug(
        "no_double_sign", ((SignStateFile, "save", _save_without_sync),), "hard"
    ),
    "forget-sign-state": Bug(
        "no_double_sign", ((SignStateFile, "load", lambda _: NOTHING_SIGNED),), "hard"
    ),
    "accept-2f-votes": Bug(
        "certificate",
        ((Electorate, "is_quorum", _half_is_enough), (ValidatorSet, "is_quorum", _half_is_enough)),
        "sound",
        _QUICK,
    ),
    "decide-on-prevotes": Bug(
        "certificate", ((conditions, "_decision", _decide_on_prevotes),), "sound", _QUICK
    ),
    "count-votes-twice": Bug(
        "certificate",
        ((VoteBook, "standing", _always_new),),
        "sound",
        {**_QUICK, "duplicate": 0.3, "delay_ms": [5, 150]},
    ),
    "stale-validator-set": Bug(
        "certificate", ((machine, "Consensus", StaleSet),), "sound", _CHANGES
    ),
    "believe-evidence": Bug(
        "no_honest_slash",
        ((evidence, "_check_signatures", lambda *_: None),),
        "sound",
        {**_QUICK, "byzantine": [[0, "slander"]]},
    ),
    "change-at-once": Bug(
        "validator_set", ((epochs, "limited", false_books.all_at_once),), "sound", _CHANGES
    ),
    "ignore-upgrade": Bug(
        "rules_known",
        ((Chain, "upgrade_needed", 0),),
        "sound",
        {**_CHANGES, "upgrades": True, "blocks": 30},
    ),
    "finalise-twice": Bug(
        "height_monotone", ((machine.Machine, "_make_final", _make_final_twice),), "sound", _QUICK
    ),
    "mint-one": Bug(
        "supply_conserved", ((transfers, "move", false_books.mint_one),), "sound", _PAYS
    ),
    "lose-a-fee": Bug(
        "supply_conserved", ((fees, "after_block", false_books.lose_a_share),), "sound", _PAYS
    ),
    "slash-twice": Bug(
        "supply_conserved",
        ((evidence, "check", false_books.punish_again),),
        "sound",
        {**_QUICK, "byzantine": [[0, "equivocate"]]},
    ),
    "pay-unbonding-early": Bug(
        "supply_conserved", ((boundary, "end_block", false_books.pay_early),), "sound", _CHANGES
    ),
    "skip-root-check": Bug(
        "state_root_equal",
        ((Chain, "judge", _judge_without_root), (Chain, "apply", _apply_without_root)),
        "sound",
        {**_QUICK, "byzantine": [[0, "bad-root"]]},
    ),
    "include-twice": Bug(
        "tx_once",
        (
            (accounts, "check_nonce", lambda _account, _tx: None),
            (Workshop, "build", _build_with_old),
            (Workshop, "advance", _advance_with_memory),
        ),
        "sound",
        _PAYS,
    ),
    "never-redial": Bug(
        "liveness",
        ((Book, "plan_dial", _never_again),),
        "sound",
        _CUT_OFTEN,
    ),
    "no-retransmission": Bug(
        "liveness", ((Retransmission, "answer", lambda *_: []),), "sound", _LOSES_VOTES
    ),
    "log-without-sync": Bug(
        "height_monotone",
        ((Store, "_sync_log", lambda _: None),),
        "sound",
        {**_QUICK, "crash_every_ms": 800, "power_loss": 1.0, "blocks": 30},
    ),
}


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Let nodes that run meanwhile have a bug; None is the node as it is."""
    with ExitStack() as stack:
        for owner, part, replacement in () if name is None else BUGS[name].parts:
            stack.enter_context(patch.object(owner, part, replacement))
        yield
