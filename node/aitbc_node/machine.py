"""What does one node do about one event?

Composes ledger, consensus, gossip and mempool as one pure `step()`: an event and the time go in,
effects come out in the order in which they must be carried out. The driver runs it on real clocks,
sockets and files, the simulator on virtual ones. Each part does its own work; only what concerns
several of them is here. Do not add rules of any part.
"""

from collections.abc import Callable, Iterator

import msgspec

from aitbc_node import limits
from aitbc_node.arriving import Arriving
from aitbc_node.blocks import Certificate, FinalBlock, tx_id
from aitbc_node.chain import Candidate, Chain
from aitbc_node.codes import Code, Refusal
from aitbc_node.consensus.inputs import Decided, PeerLinked, Tick
from aitbc_node.consensus.replica import Consensus
from aitbc_node.consensus.timeouts import Timeouts
from aitbc_node.conversation import Conversation
from aitbc_node.crypto import Signer, Verifier
from aitbc_node.draining import Draining
from aitbc_node.events import (
    AppendCertificate,
    BlocksRead,
    Committed,
    DiskFailed,
    DiskHealed,
    Effect,
    Event,
    FrameReceived,
    OfferRead,
    OrderGiven,
    PeerDown,
    PeerUp,
    PieceRead,
    Send,
    SetTimer,
    SnapshotJudged,
    Submitted,
    Timer,
    TimerFired,
    Verified,
    WireFull,
)
from aitbc_node.following import Following
from aitbc_node.gossip.records import OwnRecord
from aitbc_node.gossip.relay import FLUSH_MS
from aitbc_node.gossip.subnets import Subnets
from aitbc_node.incidents import Incidents
from aitbc_node.intake import Intake
from aitbc_node.introductions import Introductions
from aitbc_node.ledger.genesis import Genesis
from aitbc_node.ledger.transactions import Parsed
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.mempool import Mempool, PoolLimits
from aitbc_node.mesh import Meeting, Mesh, mesh_of
from aitbc_node.operating import Operating
from aitbc_node.outbox import Outbox
from aitbc_node.posting import Published
from aitbc_node.resuming import Base
from aitbc_node.skewing import Skew
from aitbc_node.storage.store import Recovered
from aitbc_node.trusting import NOTHING_TRUSTED, Trusted
from aitbc_node.types import BlockId, Height, PeerId, Round
from aitbc_node.view import View
from aitbc_node.voting import TIMEOUT_PREFIX, Voting
from aitbc_node.witness import Witness
from aitbc_node.workshop import Workshop

TICK_MS = limits.PING_MS // 2
HISTORY_MIN = 8
"""So many blocks at once were made before a start; a few may be news where blocks come fast."""

_TICK = Timer("tick", Height(0), Round(0))
_RELAY = Timer("relay", Height(0), Round(0))


class MachineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what one node may choose for itself; nothing here changes the result of a block."""

    role: str = "validator"
    block_interval_ms: int = limits.BLOCK_INTERVAL_MS
    timeouts: Timeouts = Timeouts()
    bootstrap: tuple[tuple[PeerId, str], ...] = ()
    own_record: OwnRecord | None = None
    subnets: Subnets = Subnets()
    peers_max: int = limits.PEERS_MAX
    admission: str = "open"
    mempool: PoolLimits = PoolLimits()
    snapshot_blocks: int = 0
    snapshot_distance: int = 0
    """So many blocks behind, a state is fetched from peers instead of blocks; 0 for never."""
    trusted: Trusted = NOTHING_TRUSTED
    app_version_max: int = APP_VERSION
    """The newest rules that this build knows; it stops before a block that has newer ones."""


class Machine:
    """Be one node, without clock, sockets and files."""

    def __init__(
        self,
        config: MachineConfig,
        genesis: Genesis,
        *,
        own_id: PeerId,
        signer: Signer | None,
        verify: Verifier,
    ) -> None:
        assert (config.role == "validator") == (signer is not None), "only a validator has a key"
        self._config = config
        self._signer = signer
        self._verify = verify
        self._out = Outbox()
        self._skew = Skew(self._out)
        self._pool = Mempool[Parsed](config.mempool)
        self._chain = Chain(genesis, verify, config.trusted, app_version_max=config.app_version_max)
        self._mesh = mesh = self._new_mesh(own_id)
        out, chain, _ = parts = self._out, self._chain, mesh
        self._intake = intake = Intake(out, chain, self._pool, mesh.relay, bounds=config.mempool)
        self._workshop = workshop = self._new_workshop()
        self._following = Following(*parts, workshop=workshop, on_final=self._catch_up_with)
        distance = config.snapshot_distance
        self._arriving = Arriving(
            out, chain, mesh, workshop=workshop, intake=intake, distance=distance, verify=verify
        )
        self._witness = Witness(out, chain, mesh, verify, proposes=signer is not None)
        self._incidents = Incidents(self._out, own_key=signer.public_key if signer else None)
        self._voting = self._new_voting()
        self._operating = self._new_operating()
        self._conversation = Conversation(
            *parts,
            intake=self._intake,
            workshop=self._workshop,
            voting=self._voting,
            following=self._following,
            arriving=self._arriving,
            witness=self._witness,
        )
        self._journal, self._due_ms, self._last_voted = tuple[bytes, ...](), 0, Height(0)
        self._decided: Decided | None = None
        self._relay_armed = self._disk_failed = False
        self._introductions = Introductions(self._chain, self._mesh, verify)

    # The verbs.

    @property
    def view(self) -> View:
        """Return what others may read, to be used before the next step only."""
        return View(
            chain=self._chain,
            mempool=self._pool,
            tips=self._intake.tips,
            mesh=self._mesh,
            voting=self._voting,
            following=self._following,
            broker=self._conversation.broker,
            own_key=self._voting.own_key,
            last_voted_height=self._last_voted,
            data_version=self._operating.data_version,
            skew_ms=self._skew.ms,
            now_ms=self._out.now_ms,
        )

    def restore(
        self,
        recovered: Recovered,
        *,
        base: Base | None = None,
        on_replayed: Callable[[Committed], None] | None = None,
    ) -> None:
        """Go back to where the disk says this node was; once, before `start`.

        With a `base` the final blocks begin behind it. `on_replayed` is told of every final block
        on the way, so that an index can catch up.
        Raises: DiskError when the log does not lead to the states that it names.
        """
        assert self._chain.height == 0, "a machine is restored once, at its start"
        self._operating.restore(recovered)
        self._witness.restore(recovered.evidence)
        self._mesh.restore(peers=recovered.peers, bans=recovered.bans)
        journal = {tx_id(raw): raw for raw in recovered.journal}
        self._voting.consensus = self._new_consensus(recovered)
        if base is not None:
            self._chain.resume(base.state, base.final, base.voters, base.lineage)
        for final in recovered.finals:
            self._note_votes(final.block.last_commit, final.certificate)
            candidate = self._chain.replay(final)
            for parsed in candidate.txs:
                journal.pop(parsed.id, None)
            if on_replayed is not None:
                on_replayed(Committed(candidate.id, final, candidate.execution.receipts))
        self._workshop.readmit(recovered.pending)
        self._journal = tuple(journal.values())

    def pending_raws(self) -> Iterator[bytes]:
        """Go through the transactions that a rewritten journal has to keep."""
        yield from self._journal
        yield from self._intake.pending_raws()

    def start(self, *, now_ms: int, wall_ms: int) -> list[Effect]:
        """Begin: dial, take the journal back, and take part in the height that comes next."""
        self._out.now_ms, self._out.wall_ms = now_ms, wall_ms
        self._out.add(SetTimer(_TICK, TICK_MS))
        self._introductions.poll(now_ms)
        self._mesh.start()
        self._intake.readmit(self._journal)
        self._journal = ()
        self._voting.listen(self._config.block_interval_ms, self._config.timeouts)
        self._following.heed_rules()
        self._enter_if_due()
        self._settle()
        return self._out.take()

    def step(self, event: Event, *, now_ms: int) -> list[Effect]:
        """Take one input; return what to do about it, in order."""
        out = self._out
        assert now_ms >= out.now_ms, "the driver's clock ran backwards"
        out.now_ms, out.wall_ms = now_ms, event.wall_ms
        if type(event) is FrameReceived:  # nearly all are: the others are told apart one by one
            if (link := self._mesh.peers.heard(event.peer, now_ms)) and not self._disk_failed:
                self._conversation.on_frame(link, event.payload)
        else:
            self._on_event(event)
        self._settle()
        effects = out.take()
        if self._disk_failed:
            # They would only pile up behind the write that does not succeed; when it does, every
            # peer is greeted anew, and summaries bring back what was lost.
            return [effect for effect in effects if not isinstance(effect, Send)]
        return effects

    # What comes in.

    def _on_event(self, event: Event) -> None:
        match event:  # the most frequent first: the kinds are tried one after the other
            case TimerFired(timer=timer):
                self._on_timer(timer)
            case Submitted() | Published():
                self._on_handed_in(event)
            case Verified():
                self._conversation.on_verified(event)
            case BlocksRead() | OfferRead() | PieceRead():
                self._conversation.on_read(event)
            case SnapshotJudged():
                self._arriving.on_judged(event)
            case PeerUp():
                self._on_peer_up(event)
            case PeerDown() | WireFull():
                self._mesh.worse(event)
            case OrderGiven():
                self._operating.take(event)
            case DiskFailed(reason=reason):
                self._disk_failed = True
                self._out.note("disk.failed", reason=reason)
            case DiskHealed():
                self._disk_failed = self._relay_armed = False
                self._out.note("disk.healed")
                for peer in self._mesh.linked():
                    self._greet(peer)
            case _:
                raise AssertionError(f"an unknown event: {event}")

    def _on_peer_up(self, event: PeerUp) -> None:
        if self._mesh.up(event) and not self._disk_failed:
            self._greet(event.peer)
            self._mesh.introduce(event.peer)

    def _greet(self, peer: PeerId) -> None:
        """Tell a peer all that it may have missed, and ask it for what was missed here."""
        self._mesh.greet(peer, self._chain.height)
        self._out.extend(self._mesh.relay.greet(peer, self._intake.own_waiting()))
        self._conversation.broker.greet(peer)
        self._witness.greet(peer)
        self._voting.feed(PeerLinked(peer))

    def _on_handed_in(self, event: Submitted | Published) -> None:
        no_quorum = self._mesh.refusal(self._chain.state.validators)
        refusal = no_quorum if isinstance(event, Submitted) else None  # messages need none
        if self._disk_failed or self._following.diverged:
            trouble = self._following.diverged or "the disk of this node cannot be written"
            refusal = Refusal(Code.E_UNAVAILABLE, "", trouble)
        if isinstance(event, Published):
            self._conversation.broker.publish(event, refusal)
        elif refusal is None:
            self._intake.submit(event.request, event.raws)
        else:
            self._intake.refuse(event.request, event.raws, refusal)

    def _on_timer(self, timer: Timer) -> None:
        if timer.name == _TICK.name:
            self._out.add(SetTimer(_TICK, TICK_MS))
            self._introductions.poll(self._out.now_ms)
            self._mesh.tick()
            self._mesh.reach.watch(self._chain.state.validators, self._out.now_ms)
            self._voting.feed(Tick())
            self._conversation.tick(speaks=not self._disk_failed)
            if not self._following.diverged:
                self._arriving.poll()
            self._following.poll()
            self._enter_if_due()
        elif timer.name == _RELAY.name:
            self._relay_armed = self._disk_failed  # what waits does so until it heals
            if not self._disk_failed:
                self._mesh.flush()
        elif timer.name.startswith(TIMEOUT_PREFIX):
            self._voting.on_timer(timer)
        else:
            self._enter_if_due()

    # What concerns several parts.

    def _settle(self) -> None:
        """Let everything that this event set in motion come to rest."""
        voting, following = self._voting, self._following
        if voting.queue:
            voting.run()
        if self._arriving.base and self._arriving.is_ready and not self._conversation.is_reading:
            self._arrive()
        if following.queue:
            following.advance()
        if following.diverged:
            voting.freeze()
        if voting.queue:
            voting.run()
        if self._operating.draining.is_under_way:
            self._operating.draining.poll()
        if not self._relay_armed and (self._mesh.relay.waiting or self._mesh.courier.waiting):
            self._relay_armed = True
            self._out.add(SetTimer(_RELAY, FLUSH_MS))

    def _build(self) -> Candidate:
        assert self._voting.own_key is not None, "a follower proposes nothing"
        ranked = self._pool.ranked(self._intake.nonce_of)
        return self._workshop.build(
            (entry.content for entry in ranked),
            proposer=self._voting.own_key,
            evidence=self._witness.offered(),
        )

    def _on_judged(self, block_id: BlockId, candidate: Candidate | None) -> None:
        decided = self._decided
        if decided is not None and decided.block_id == block_id and candidate is not None:
            self._make_final(candidate, decided.certificate)
        else:
            self._voting.on_judged(block_id, candidate)

    def _on_decided(self, decided: Decided) -> None:
        if decided.height != self._chain.next_height:
            return  # caught up with in the meantime
        self._skew.compare(decided.certificate, self._chain.state.validators)
        candidate = self._workshop.shelf.candidate(decided.block_id)
        if candidate is None:
            # It was judged good, then made room for others in a very long height: get it back.
            self._decided = decided
            self._workshop.want(decided.block_id)
        else:
            self._make_final(candidate, decided.certificate)

    def _make_final(self, candidate: Candidate, certificate: Certificate) -> None:
        """Let a block be final: log it, apply it, tell everybody, and plan the next height."""
        self._decided = None
        self._out.add(AppendCertificate(certificate))
        self._note_votes(candidate.block.last_commit, certificate)
        self._chain.apply(candidate, certificate)
        self._workshop.advance(self._chain.height, candidate)
        self._mesh.catch_up.moved()
        self._intake.advance(candidate.txs)
        final = FinalBlock(candidate.block, certificate)
        self._out.add(Committed(candidate.id, final, candidate.execution.receipts))
        self._incidents.block_is_final(self._chain.state, candidate.txs, candidate.execution)
        self._introductions.poll(self._out.now_ms)
        self._mesh.grown(self._chain.height)
        self._plan_next_height(self._config.block_interval_ms)
        self._witness.block_is_final()
        self._following.heed_rules()
        self._operating.block_is_final()

    def _catch_up_with(self, candidate: Candidate, certificate: Certificate) -> None:
        """Make a block final that others have made final some time ago.

        They begin the next height one interval after that; when it was is not known here. To come
        early is better than late, but not by more than a proposal is waited for.
        """
        is_listening = self._voting.is_listening
        self._make_final(candidate, certificate)
        behind = self._following.waiting
        if is_listening and behind > HISTORY_MIN:
            self._voting.listen_on(history=behind)
        early_ms = self._config.timeouts.propose_ms
        self._plan_next_height(max(0, self._config.block_interval_ms - early_ms))

    def _arrive(self) -> None:
        """Go on behind a block far above the newest one here, whose state has come from peers.

        A node that listens begins anew: what was signed with its key in between, nobody looked at.
        """
        is_listening = self._voting.is_listening
        self._decided = None
        base = self._arriving.arrive()
        consensus, certificate = self._voting.consensus, base.final.certificate
        self._out.extend(consensus.note_certificate(certificate, base.voters))
        self._plan_next_height(self._config.block_interval_ms)
        if is_listening:
            self._voting.listen_on(history=0)
        self._witness.block_is_final()
        self._following.heed_rules()

    def _plan_next_height(self, wait_ms: int) -> None:
        """Begin the next height some time after a commit. Source: rules 1.9."""
        self._due_ms = self._out.now_ms + wait_ms
        self._out.add(SetTimer(Timer("height", self._chain.next_height, Round(0)), wait_ms))

    def _enter_if_due(self) -> None:
        if (
            self._voting.is_frozen
            or self._chain.trusted.is_above(self._chain.height)
            or self._voting.is_listening
            or self._voting.is_at_work
            or self._out.now_ms < self._due_ms
            or self._following.is_busy
            or self._arriving.is_proved
        ):
            return
        if not self._mesh.catch_up.is_flowing(self._chain.height, self._out.now_ms):
            self._voting.enter_height()

    def _note_votes(self, last_commit: Certificate, certificate: Certificate) -> None:
        """Look at the votes of a block about to be applied.

        Remember the newest height whose commit holds the own precommit, and stop on own votes that
        the sign state does not know. Source: rules 1.15 and 2.1.
        """
        consensus, chain = self._voting.consensus, self._chain
        self._out.extend(consensus.note_certificate(last_commit, chain.tip_validators))
        self._out.extend(consensus.note_certificate(certificate, chain.state.validators))
        own = consensus.guard.index_in(chain.tip_validators)
        if own is not None and any(vote.validator == own for vote in last_commit.votes):
            self._last_voted = last_commit.height

    def _new_mesh(self, own_id: PeerId) -> Mesh:
        config = self._config
        return mesh_of(
            self._out,
            own_id=own_id,
            chain_id=self._chain.chain_id,
            meeting=Meeting(
                bootstrap=config.bootstrap,
                listed_only=config.admission == "listed",
                subnets=config.subnets,
                peers_max=config.peers_max,
                own_record=config.own_record,
            ),
            signer=self._signer,
            verify=self._verify,
            interval_ms=config.block_interval_ms,
        )

    def _new_workshop(self) -> Workshop:
        return Workshop(
            self._out,
            self._chain,
            self._intake,
            fetches=self._mesh.fetches,
            linked=self._mesh.linked,
            pinned=lambda: self._voting.pinned(),  # noqa: PLW0108 - it is made later
            on_judged=self._on_judged,
        )

    def _new_operating(self) -> Operating:
        out, chain, mesh, config = self._out, self._chain, self._mesh, self._config
        ms, every = config.block_interval_ms, config.snapshot_blocks
        draining = Draining(out, chain, mesh, voting=self._voting, interval_ms=ms)
        return Operating(out, chain, mesh, draining, voting=self._voting, snapshot_blocks=every)

    def _new_consensus(self, recovered: Recovered | None = None) -> Consensus:
        consensus = Consensus(
            chain_id=self._chain.chain_id,
            signer=self._signer,
            verify=self._verify,
            timeouts=self._config.timeouts,
            sign_state=None if recovered is None else recovered.sign_state,
        )
        for key in () if recovered is None else recovered.later_keys:
            consensus.guard.add(key)
        return consensus

    def _new_voting(self) -> Voting:
        return Voting(
            self._out,
            self._chain,
            self._mesh,
            consensus=self._new_consensus(),
            workshop=self._workshop,
            build=self._build,
            on_decided=self._on_decided,
            on_equivocation=self._witness.see,
        )
