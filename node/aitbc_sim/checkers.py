"""Is what the nodes did allowed? Each checker looks at every step and raises at the first breach.

They are incremental: a block, a state root or a vote is judged when it is first seen, and compared
afterwards. Who may vote at a height is read from the state before it, which all honest nodes have
come to. A breach names its checker. Do not repair or influence anything here.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NoReturn

from aitbc_node.blocks import PRECOMMIT, Certificate, FinalBlock, Header
from aitbc_node.canonical import encode
from aitbc_node.consensus.messages import Proposal, Vote
from aitbc_node.events import Committed
from aitbc_node.ledger import objects
from aitbc_node.ledger.audit import audit
from aitbc_node.ledger.motions import EndEpoch
from aitbc_node.ledger.proposals import motion_of
from aitbc_node.ledger.state import State
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.types import Address, BlockId, Hash, Height, PublicKey, TxId
from aitbc_node.validators import ValidatorSet
from aitbc_sim.testing import CHAIN_ID, fake_verify


class Violation(Exception):  # noqa: N818 - it is the finding, not a failure of the simulator
    """An invariant does not hold."""

    def __init__(self, checker: str, message: str) -> None:
        super().__init__(f"{checker}: {message}")
        self.checker = checker
        self.message = message


class Checkers:
    """Watch a whole run, over the lives of all nodes."""

    def __init__(
        self,
        founders: ValidatorSet,
        *,
        epoch_blocks: int,
        liars: Collection[Address] = (),
    ) -> None:
        self._epoch_blocks = epoch_blocks
        self._liars = liars
        self.offences: set[bytes] = set()
        """What was punished: operator and height of each."""
        self.decided_ends: set[BlockId] = set()
        """Final blocks that ended an epoch because the voters wanted it."""
        self._block_at: dict[Height, BlockId] = {}
        self._voters_after: dict[Hash, ValidatorSet] = {}
        self._made: dict[BlockId, tuple[Header, bool]] = {}
        """Every block that anybody has executed, and whether it ends an epoch by decision."""
        self._endings: set[str] = set()
        """Proposals to end an epoch at once."""
        self._voters_at = {Height(1): founders}
        self._proven: set[bytes] = set()
        self._signed: dict[tuple[PublicKey, int, int, int], BlockId] = {}
        self._height_of: dict[TxId, Height] = {}
        self._tip_of: dict[int, Height] = {}

    @property
    def voters(self) -> ValidatorSet:
        """Return who may vote on the block behind the highest that anybody has called final."""
        return self._voters_at[max(self._voters_at)]

    def executed(self, index: int, event: Committed, state: State) -> None:
        """Judge the state that a node has come to by a block, before anybody hears of it."""
        header = event.final.block.header
        root = state.root
        if root != header.state_root:
            what = f"height {header.height}: node {index} has another root"
            _breach("state_root_equal", what)
        self._made[event.id] = (header, self._is_decided_end(event))
        if root not in self._voters_after:
            self._voters_after[root] = state.validators
            faults = [*audit(state), *state.tally.violations()]
            if faults:
                _breach("supply_conserved", f"height {header.height}: {'; '.join(faults)}")
            self._check_offences(state)
            self._endings.update(_endings(state))

    def _check_offences(self, state: State) -> None:
        """See that nobody is slashed who keeps the rules, whatever was said of him."""
        for kind, name in state.contents:
            if kind == objects.OFFENCE and name not in self.offences:
                self.offences.add(name)
                if Address(name[:-8]) not in self._liars:
                    height = int.from_bytes(name[-8:], "big")
                    what = f"{name[:4].hex()} was slashed for height {height}, and is honest"
                    _breach("no_honest_slash", what)

    def announced(self, index: int, event: Committed, *, knows: int = APP_VERSION) -> bool:
        """Judge a block that a node calls final; tell whether it is news that the voters change.

        `knows` are the newest rules that the node's build has.

        Only what leaves the node counts: a machine may have decided with its own vote, and died
        before that vote was on disk; then it is free to decide otherwise.
        """
        height = event.final.block.header.height
        before = self._tip_of.get(index, Height(height - 1))
        if height != before + 1:
            _breach("height_monotone", f"node {index} announces {height} after {before}")
        self._tip_of[index] = height
        first = self._block_at.setdefault(height, event.id)
        if first != event.id:
            _breach(
                "agreement",
                f"height {height}: node {index} has {event.id.hex()[:12]}, "
                f"another {first.hex()[:12]}",
            )
        version = event.final.block.header.app_version
        if version > knows:
            what = f"node {index} announces {height} by rules {version}, it knows {knows}"
            _breach("rules_known", what)
        self._check_once(event, height)
        if height not in self._voters_at:
            # Whoever had the block before on disk died before it could call it final.
            self._succeed(*self._made[event.final.block.header.parent_id])
        self._check_proof(event.final.certificate, event.id, self._voters_at[height])
        if self._made[event.id][1]:
            self.decided_ends.add(event.id)
        return height + 1 not in self._voters_at and self._succeed(*self._made[event.id])

    def moved_on(self, index: int, final: FinalBlock) -> None:
        """Judge where a node goes on that has fetched a state: behind a block of this chain."""
        height, id_ = final.block.header.height, final.certificate.block_id
        if self._block_at.setdefault(height, id_) != id_:
            _breach("agreement", f"height {height}: node {index} goes on behind {id_.hex()[:12]}")
        self._tip_of[index] = height

    def _is_decided_end(self, event: Committed) -> bool:
        """Tell whether the voters have decided in this block that the epoch ends with it."""
        told = (row for receipt in event.receipts for row in receipt.events)
        return any(row[0] == "proposal.passed" and row[1] in self._endings for row in told)

    def _succeed(self, header: Header, is_decided_end: bool) -> bool:  # noqa: FBT001 - one row of `_made`
        """Judge who votes next: whom header and state name, and not too many of them new.

        Less than a third of the power may move, at the end of an epoch only, which comes early
        where that was decided; of a total of three or less, one vote may. Source: rules 2.11.
        """
        now, after = self._voters_at[header.height], self._voters_after[header.state_root]
        self._voters_at[Height(header.height + 1)] = after
        if (header.validators_hash, header.next_validators_hash) != (now.digest(), after.digest()):
            _breach("validator_set", f"height {header.height}: its header names other validators")
        if now.digest() == after.digest():
            return False
        if header.height % self._epoch_blocks and not is_decided_end:
            _breach("validator_set", f"height {header.height}: a change within an epoch")
        old, new = _powers(now), _powers(after)
        moved = sum(abs(new.get(who, 0) - old.get(who, 0)) for who in old.keys() | new.keys())
        if moved > max(1, (sum(old.values()) - 1) // 3):
            what = f"{moved} of power {sum(old.values())} move at once"
            _breach("validator_set", f"height {header.height}: {what}")
        return True

    def _check_once(self, event: Committed, height: Height) -> None:
        for receipt in event.receipts:
            known = self._height_of.setdefault(receipt.id, height)
            if known != height:
                what = f"{receipt.id.hex()[:12]} is in the blocks {known} and {height}"
                _breach("tx_once", what)

    def _check_proof(
        self, certificate: Certificate, block_id: BlockId, voters: ValidatorSet
    ) -> None:
        """Check that more than two thirds have signed exactly this block. Source: feature E4."""
        data = encode(certificate)
        if data in self._proven:
            return
        self._proven.add(data)
        signers: set[int] = set()
        for row in certificate.votes:
            if row.validator >= len(voters.members):
                continue  # nobody of this height
            member = voters.members[row.validator]
            vote = Vote(
                PRECOMMIT,
                certificate.height,
                certificate.round,
                block_id,
                row.time_ms,
                row.validator,
                row.signature,
            )
            if fake_verify(member.key, vote.sign_bytes(CHAIN_ID), row.signature):
                signers.add(row.validator)
        power = sum(voters.members[index].power for index in signers)
        total = sum(member.power for member in voters.members)
        if 3 * power <= 2 * total:  # counted here, not with the node's own sum
            what = f"height {certificate.height}: only {power} of power {total} signed"
            _breach("certificate", what)

    def sent(self, key: PublicKey, messages: Sequence[Proposal | Vote]) -> None:
        """Judge what a node sends that its own key has signed."""
        for message in messages:
            kind = message.kind if isinstance(message, Vote) else 0
            if not fake_verify(key, message.sign_bytes(CHAIN_ID), message.signature):
                continue  # another's vote, passed on
            place = (key, message.height, message.round, kind)
            first = self._signed.setdefault(place, message.block_id)
            if first != message.block_id:
                _breach(
                    "no_double_sign",
                    f"{key.hex()[:8]} signed {first.hex()[:12]} and {message.block_id.hex()[:12]} "
                    f"at height {message.height}, round {message.round}, kind {kind}",
                )

    def restarted(self, index: int, height: Height, *, least: Height) -> None:
        """Judge the height that a node comes back with."""
        if height < least:
            _breach("height_monotone", f"node {index} came back at {height}, had {least}")
        self._tip_of[index] = height

    def replayed(self, index: int, height: Height, root: Hash | None, *, expected: Hash) -> None:
        """Judge the state that a replay from genesis comes to. Source: feature M12."""
        if root != expected:
            _breach("replay", f"node {index}: another root at height {height} from its own log")


def _endings(state: State) -> Iterator[str]:
    """Name the open proposals to end an epoch at once."""
    for kind, name in state.contents:
        if kind == objects.PROPOSAL:
            proposal = state.proposal(name)
            assert proposal is not None, "named by the state"
            if isinstance(motion_of(proposal), EndEpoch):
                yield name.hex()


def _powers(voters: ValidatorSet) -> dict[Address, int]:
    return {member.operator: int(member.power) for member in voters.members}


def _breach(checker: str, message: str) -> NoReturn:
    raise Violation(checker, message)
