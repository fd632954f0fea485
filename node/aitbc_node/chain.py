"""Which block may come next, and what is the state after it?

Holds the newest final block and the ledger's state after it; builds, judges and applies the block
of the next height. A judged block keeps its execution, so that a block is executed once per node,
and one that loses is simply dropped. Do not add votes, peers or waiting transactions here.
"""

from collections.abc import Iterable, Sequence

import msgspec

from aitbc_node import certificates, limits
from aitbc_node.blocks import (
    NO_BLOCK,
    NO_COMMIT,
    PROTOCOL_VERSION,
    Block,
    Certificate,
    FinalBlock,
    Header,
    Proposed,
    as_proposed,
    block_id,
    bodies_root,
    certificate_hash,
    ids_root,
)
from aitbc_node.crypto import Verifier
from aitbc_node.errors import DiskError
from aitbc_node.ledger import apply
from aitbc_node.ledger.apply import BlockContext, Execution, InvalidBlock
from aitbc_node.ledger.genesis import Genesis, initial_state
from aitbc_node.ledger.state import State
from aitbc_node.ledger.transactions import Parsed, parse
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.lineage import Link, grown
from aitbc_node.trusting import NOTHING_TRUSTED, Trusted
from aitbc_node.types import BlockId, Hash, Height, PublicKey
from aitbc_node.validators import ValidatorSet


class Candidate(msgspec.Struct, frozen=True):
    """Be a valid block of the next height with everything that is needed to make it final."""

    id: BlockId
    block: Block
    txs: tuple[Parsed, ...]
    execution: Execution

    def proposed(self) -> Proposed:
        """Return the block as a proposal carries it."""
        ids = tuple(parsed.id for parsed in self.txs)
        return Proposed(self.block.header, ids, self.block.last_commit, self.block.evidence)


class Chain:
    """Follow one chain from its genesis, block by block."""

    def __init__(
        self,
        genesis: Genesis,
        verify: Verifier,
        trusted: Trusted = NOTHING_TRUSTED,
        *,
        app_version_max: int = APP_VERSION,
    ) -> None:
        self.trusted = trusted
        self._app_version_max = app_version_max
        self._verify = verify
        self._genesis_time_ms = genesis.genesis_time_ms
        self.chain_id = genesis.chain_id
        self.genesis_hash = genesis.hash()
        self.state = initial_state(genesis)
        self.height = Height(0)
        self.tip_id: BlockId = NO_BLOCK
        self.tip: Header | None = None
        self.tip_certificate = NO_COMMIT
        self.tip_validators = ValidatorSet(())
        """The set that made the newest block final."""
        self.tip_block: Block | None = None
        self.lineage: tuple[Link, ...] = ()
        """Where the voters changed, as far as is remembered."""

    @property
    def next_height(self) -> Height:
        """Return the height of the block that comes next."""
        return Height(self.height + 1)

    @property
    def upgrade_needed(self) -> int:
        """Return the version whose rules the next block has and nobody here knows; else 0."""
        wanted = self.state.chain.app_version
        return 0 if self.knows_rules(wanted) else wanted

    def knows_rules(self, app_version: int) -> bool:
        """Tell whether this build can execute blocks of a version."""
        return app_version <= self._app_version_max

    @property
    def tip_time_ms(self) -> int:
        """Return the time of the newest block, or of the genesis."""
        return self._genesis_time_ms if self.tip is None else self.tip.time_ms

    def resume(
        self, state: State, final: FinalBlock, voters: ValidatorSet, lineage: tuple[Link, ...]
    ) -> None:
        """Go on behind a final block whose state is proved, without those in between."""
        header = final.block.header
        assert header.height > self.height, "a chain goes forward"
        assert state.root == header.state_root, "a state that nobody compared with its header"
        self.state = state
        self.height = header.height
        self.tip = header
        self.tip_id = final.certificate.block_id
        self.tip_certificate = final.certificate
        self.tip_validators = voters
        self.tip_block = final.block
        self.lineage = lineage

    def build(
        self, candidates: Iterable[Parsed], *, proposer: PublicKey, evidence: Sequence[bytes] = ()
    ) -> Candidate:
        """Make a block of what fits and is valid now."""
        last_commit = self.tip_certificate
        offered = tuple(evidence[: limits.EVIDENCE_COUNT_MAX])
        context = self._context(proposer, last_commit, offered)
        built = apply.build(self.state, context, candidates)
        context = msgspec.structs.replace(context, evidence=built.evidence)
        header = self._header(context, built.txs, last_commit, built.execution)
        block = Block(header, tuple([tx.raw for tx in built.txs]), last_commit, built.evidence)
        return Candidate(block_id(header), block, built.txs, built.execution)

    def fault_of_header(self, proposed: Proposed) -> str:
        """Say why no block with this header can come next; empty when bodies may decide."""
        header = proposed.header
        if self.upgrade_needed:
            return f"upgrade-needed {self.upgrade_needed}"
        if len(proposed.evidence) > limits.EVIDENCE_COUNT_MAX:
            return "more evidence than a block may show"
        if header.height != self.next_height or header.parent_id != self.tip_id:
            return "it does not follow the newest block"
        if len(set(proposed.tx_ids)) != len(proposed.tx_ids):
            return "a transaction is in it twice"
        if len(proposed.tx_ids) > self.state.params.max_block_txs:
            return "more transactions than a block may hold"
        if self.state.validators.index_of(header.proposer) is None:
            return "its proposer is no validator"
        fault = self._fault_of_last_commit(proposed.last_commit)
        if fault:
            return f"last commit: {fault}"
        return self._fault_of_fields(header, proposed.last_commit)

    def judge(self, proposed: Proposed, txs: Sequence[Parsed]) -> Candidate | str:
        """Execute a block whose header is sound and whose signatures are verified.

        The answer is the candidate, or why the block is invalid.
        """
        header = proposed.header
        context = self._context(header.proposer, proposed.last_commit, proposed.evidence)
        done = apply.execute(self.state, context, txs)
        if isinstance(done, InvalidBlock):
            return f"{done.kind} {done.index}: {done.refusal.code}: {done.refusal.message}"
        own = self._header(context, txs, proposed.last_commit, done)
        if header != own:
            here, there = own.state_root.hex(), header.state_root.hex()
            roots = f"state root {here} here, {there} in its header"
            return f"its roots are not those of its execution: {roots}"
        raws = tuple([parsed.raw for parsed in txs])
        block = Block(header, raws, proposed.last_commit, proposed.evidence)
        return Candidate(block_id(header), block, tuple(txs), done)

    def fault_of_final(self, final: FinalBlock) -> str:
        """Say why a certificate does not make this block the next final one; empty when it does."""
        return certificates.fault_of(
            final.certificate,
            chain_id=self.chain_id,
            height=self.next_height,
            block_id=block_id(final.block.header),
            validators=self.state.validators,
            verify=self._verify,
        )

    def apply(self, candidate: Candidate, certificate: Certificate) -> None:
        """Make a candidate final."""
        header = candidate.block.header
        assert header.height == self.next_height, "blocks become final height by height"
        assert header.parent_id == self.tip_id, "a final block follows the final one before it"
        assert certificate.block_id == candidate.id, "the certificate is of this block"
        self.tip_validators = self.state.validators
        self.adopt(candidate.execution)
        assert self.state.root == header.state_root, "the state is what the header says"
        self.height = header.height
        self.tip = header
        self.tip_id = candidate.id
        self.tip_certificate = certificate
        self.tip_block = candidate.block
        self.lineage = grown(self.lineage, Link(header, certificate, self.tip_validators))

    def adopt(self, execution: Execution) -> None:
        """Let the state be what an executed block leads to."""
        apply.commit(self.state, execution)

    def add_late_votes(self, certificate: Certificate) -> None:
        """Take a fuller certificate of the newest block, so that the next one can carry it."""
        same = (certificate.height, certificate.block_id) == (self.height, self.tip_id)
        if same and len(certificate.votes) > len(self.tip_certificate.votes):
            self.tip_certificate = certificate

    def replay(self, final: FinalBlock) -> Candidate:
        """Apply a block of the own log again; its signatures were verified before it was logged.

        Raises: DiskError when the block does not lead to the state that it names.
        """
        txs, proposed = _parsed(final.block), as_proposed(final.block)
        candidate: Candidate | str
        if txs is None:
            candidate = "a transaction in it cannot be read"
        else:
            candidate = self.fault_of_header(proposed) or self.judge(proposed, txs)
        if isinstance(candidate, str):
            raise DiskError(
                f"the logged block of height {final.block.header.height} is wrong: {candidate}",
                hint="start the release that wrote it, or remove the data folder (never the keys)",
            )
        self.apply(candidate, final.certificate)
        return candidate

    def root_after(self, block: Block) -> Hash | None:
        """Return the state root that a block of the next height leads to here, whatever it names.

        None when it cannot be executed.
        """
        txs = _parsed(block)
        if txs is None:
            return None
        context = self._context(block.header.proposer, block.last_commit, block.evidence)
        done = apply.execute(self.state, context, txs)
        return None if isinstance(done, InvalidBlock) else done.state_root

    def _context(
        self, proposer: PublicKey, last_commit: Certificate, evidence: tuple[bytes, ...]
    ) -> BlockContext:
        members = self.tip_validators.members
        return BlockContext(
            height=self.next_height,
            time_ms=self._time_ms(last_commit),
            proposer=proposer,
            signers=frozenset(members[vote.validator].key for vote in last_commit.votes),
            voters=tuple(member.key for member in members),
            evidence=evidence,
            verify=self._verify,
        )

    def _header(
        self,
        context: BlockContext,
        txs: Sequence[Parsed],
        last_commit: Certificate,
        execution: Execution,
    ) -> Header:
        return Header(
            version=PROTOCOL_VERSION,
            chain_id=self.chain_id,
            height=context.height,
            parent_id=self.tip_id,
            time_ms=context.time_ms,
            proposer=context.proposer,
            tx_root=ids_root([parsed.id for parsed in txs]),
            tx_count=len(txs),
            state_root=execution.state_root,
            receipts_root=execution.receipts_root,
            last_commit_hash=certificate_hash(last_commit),
            validators_hash=self.state.validators.digest(),
            next_validators_hash=execution.next_validators.digest(),
            params_hash=self.state.params.digest(),
            app_version=self.state.chain.app_version,
            evidence_root=bodies_root(context.evidence),
        )

    def _time_ms(self, last_commit: Certificate) -> int:
        """Return the one time that the next block may carry. Source: rules 2.4."""
        if self.tip is None:
            return self._genesis_time_ms
        median = certificates.median_time_ms(last_commit, self.tip_validators)
        return max(median, self.tip.time_ms + 1)

    def _fault_of_last_commit(self, last_commit: Certificate) -> str:
        if self.tip is None:
            return "" if last_commit == NO_COMMIT else "nothing comes before the first block"
        return certificates.fault_of(
            last_commit,
            chain_id=self.chain_id,
            height=self.height,
            block_id=self.tip_id,
            validators=self.tip_validators,
            verify=self._verify,
            proven=self.tip_certificate,
        )

    def _fault_of_fields(self, header: Header, last_commit: Certificate) -> str:
        """Judge early what `judge` compares anyway, so that no body is fetched in vain."""
        if (header.version, header.chain_id) != (PROTOCOL_VERSION, self.chain_id):
            return "another version or chain"
        if header.time_ms != self._time_ms(last_commit):
            return "its time is not the median of the last commit"
        if header.validators_hash != self.state.validators.digest():
            return "it names other validators"
        if header.params_hash != self.state.params.digest():
            return "it names other parameters"
        return self.trusted.fault_of(header)


def _parsed(block: Block) -> list[Parsed] | None:
    parsed = [parse(raw) for raw in block.txs]
    txs = [entry for entry in parsed if isinstance(entry, Parsed)]
    return txs if len(txs) == len(parsed) else None
