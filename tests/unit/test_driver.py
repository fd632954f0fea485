"""The driver: effects in order, the disk as a barrier, signatures in slices."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import pytest

from aitbc_node import barrier as barrier_module
from aitbc_node import examples, judging
from aitbc_node.announcing import Announcer
from aitbc_node.blocks import NO_COMMIT, Block, Certificate, FinalBlock, Header, block_id
from aitbc_node.codes import Code, Refusal
from aitbc_node.driver import Clock, Driver
from aitbc_node.errors import DiskError, Exit, UpgradeNeededError
from aitbc_node.events import (
    AppendBlock,
    AppendCertificate,
    AppendTransactions,
    BlocksRead,
    Committed,
    Dial,
    Disconnect,
    DiskFailed,
    DiskHealed,
    Effect,
    Event,
    Halt,
    Lane,
    Note,
    ReadBlocks,
    Reply,
    SaveSignState,
    SaveSnapshot,
    Send,
    SetTimer,
    SignatureCheck,
    SnapshotAsked,
    Snapshotted,
    Submitted,
    Timer,
    TimerFired,
    TxOutcome,
    TxReceipt,
    Verified,
    Verify,
)
from aitbc_node.lineage import Link
from aitbc_node.metrics import Counters
from aitbc_node.rpc.post import Post
from aitbc_node.rpc.streams import Hub
from aitbc_node.storage.disk import DiskUnavailableError
from aitbc_node.storage.index import TxIndex
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.sign_state import NOTHING_SIGNED
from aitbc_node.storage.snapshots import Snapshots
from aitbc_node.storage.store import Store
from aitbc_node.types import (
    BlockId,
    Hash,
    Height,
    PeerId,
    PublicKey,
    Round,
    Signature,
    TxId,
)
from aitbc_node.validators import ValidatorSet

PEER = PeerId(b"p" * 20)
EMPTY = Hash(bytes(32))
SIGN = SaveSignState(NOTHING_SIGNED)


class Disk(MemoryDisk):
    """Be a disk that can be slow, full or broken."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.is_full = False
        self.is_broken = False

    def write_at(self, name: str, offset: int, data: bytes) -> None:
        if self.is_full:
            raise DiskUnavailableError("no space left")
        super().write_at(name, offset, data)

    def replace(self, name: str, data: bytes, more: Iterable[bytes] = ()) -> None:
        if self.is_full:
            raise DiskUnavailableError("no space left")
        self.sync(name)
        super().replace(name, data, more)

    def sync(self, name: str) -> None:
        if self.is_broken:
            raise DiskError(f"{name}: sync failed")
        assert self.gate.wait(10), "the test opens the gate"


class Script:
    """Be a machine that answers events as the test says, and the wire, in one record."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.done: list[object] = []
        self.pending: list[bytes] = []
        self.answers: Callable[[Event], Sequence[Effect]] = lambda _: ()

    def step(self, event: Event, *, now_ms: int) -> Sequence[Effect]:
        assert now_ms >= 0
        self.events.append(event)
        return self.answers(event)

    def pending_raws(self) -> Sequence[bytes]:
        return self.pending

    def send(self, peers: Iterable[PeerId], payload: bytes, lane: Lane) -> None:
        assert (list(peers), lane) == ([PEER], Lane.NEXT_BLOCK)
        self.done.append(payload)

    def dial(self, peer: PeerId, address: str) -> None:
        self.done.append(("dial", peer, address))

    def disconnect(self, peer: PeerId, reason: str) -> None:
        self.done.append(("disconnect", peer, reason))

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


class Stage:
    """Be a driver with everything around it."""

    def __init__(self) -> None:
        self.script = Script()
        self.data, self.keys = Disk(), Disk()
        self.store = Store(self.data, self.keys)
        self.store.recover()
        self.store.create_sign_state()
        self.index = TxIndex(None)
        self.verdict = True
        self.post = Post(boot="t", hrp="aitd")
        self.announcer = Announcer(self.index, Hub(boot="t"), Counters(), post=self.post)
        self.driver = Driver(
            self.script,  # type: ignore[arg-type]  # a script in a machine's place
            self.store,
            self.announcer,
            snapshots=Snapshots(self.data, chain=EMPTY),
            verify=lambda *_: self.verdict,
            clock=Clock(),
        )
        self.driver.wire = self.script

    def sent(self, *payloads: bytes) -> bool:
        return [item for item in self.script.done if isinstance(item, bytes)] == list(payloads)


def send(payload: bytes) -> Send:
    """Build an effect that can be seen on the wire."""
    return Send((PEER,), payload)


def a_block(height: int) -> Block:
    """Build a block that only the store takes for one."""
    header = Header(
        version=1,
        chain_id="c",
        height=Height(height),
        parent_id=BlockId(b""),
        time_ms=0,
        proposer=PublicKey(bytes(32)),
        tx_root=EMPTY,
        tx_count=1,
        state_root=EMPTY,
        receipts_root=EMPTY,
        last_commit_hash=EMPTY,
        validators_hash=EMPTY,
        next_validators_hash=EMPTY,
        params_hash=EMPTY,
        app_version=1,
        evidence_root=EMPTY,
    )
    return Block(header, (b"raw",), NO_COMMIT, ())


def commit_effects(height: int) -> tuple[Effect, ...]:
    """Return what the machine emits around one final block."""
    block = a_block(height)
    id_ = block_id(block.header)
    certificate = Certificate(Height(height), Round(0), id_, ())
    receipt = TxReceipt(TxId(height.to_bytes(32, "big")), Code.OK, 1, 1, ())
    return (
        AppendBlock(id_, block),
        AppendCertificate(certificate),
        Committed(id_, FinalBlock(block, certificate), (receipt,)),
    )


Test = Callable[[Stage], Coroutine[Any, Any, None]]


def on_stage(test: Test) -> None:
    """Run a test inside a loop with a fresh stage."""

    async def main() -> None:
        stage = Stage()
        async with asyncio.timeout(20):
            await test(stage)
        stage.data.gate.set()
        stage.keys.gate.set()
        await stage.driver.stop()

    asyncio.run(main())


def test_effects_without_a_barrier_are_carried_out_at_once_and_in_order() -> None:
    """Nothing waits when nothing has to be durable."""

    async def test(stage: Stage) -> None:
        stage.driver.begin(
            (send(b"1"), Dial(PEER, "a:1"), Disconnect(PEER, "x"), Note("n"), send(b"2"))
        )

        assert stage.script.done == [b"1", ("dial", PEER, "a:1"), ("disconnect", PEER, "x"), b"2"]

    on_stage(test)


def test_nothing_behind_a_persist_begins_before_it_is_durable(
    eventually_async: Callable[..., Coroutine[Any, Any, None]],
) -> None:
    """The vote leaves after its sign state is on disk, while events are still taken."""

    async def test(stage: Stage) -> None:
        stage.keys.gate.clear()
        stage.driver.begin((send(b"before"), SIGN, send(b"vote"), SIGN, send(b"last")))
        for number in range(5):
            stage.driver.feed(Submitted(wall_ms=0, request=number, raws=()))
        await eventually_async("five events", lambda: len(stage.script.events) == 5)

        assert stage.sent(b"before")

        stage.keys.gate.set()
        await eventually_async("all", lambda: stage.sent(b"before", b"vote", b"last"))

    on_stage(test)


def test_a_full_disk_is_told_retried_and_told_again(
    eventually_async: Callable[..., Coroutine[Any, Any, None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The node lives on: the machine hears once of the failure and once of its end."""
    monkeypatch.setattr(barrier_module, "RETRY_S", 0.01)

    async def test(stage: Stage) -> None:
        stage.data.is_full = True
        stage.driver.begin((*commit_effects(1), send(b"after")))
        await eventually_async("the failure", lambda: stage.script.of(DiskFailed))
        refused = await stage.driver.submit((b"raw",))
        assert [outcome.code for outcome in refused] == [Code.E_UNAVAILABLE]
        assert stage.sent()

        stage.data.is_full = False

        await eventually_async("the cure", lambda: stage.script.of(DiskHealed))
        assert stage.sent(b"after")
        assert len(stage.script.of(DiskFailed)) == 1
        assert stage.store.last_height == 1

    on_stage(test)


def test_a_failed_sync_ends_the_node(
    eventually_async: Callable[..., Coroutine[Any, Any, None]],
) -> None:
    """It is never tried again, and nothing behind it happens."""

    async def test(stage: Stage) -> None:
        stage.keys.is_broken = True
        stage.driver.begin((*commit_effects(1)[:2], SIGN, send(b"vote")))
        await eventually_async("the end", stage.driver.failed.done)

        assert stage.sent()
        with pytest.raises(DiskError, match="sync failed"):
            await stage.driver.failed
        stage.data.is_broken = True  # the stop that follows would trip over a second sync

    on_stage(test)


def test_rules_that_this_build_does_not_know_end_the_node_cleanly(
    eventually_async: Callable[..., Coroutine[Any, Any, None]],
) -> None:
    """Status 78, with the version that is needed; every block up to there is written."""

    async def test(stage: Stage) -> None:
        stage.driver.begin((*commit_effects(1), Halt(7, Height(2))))
        await eventually_async("the end", stage.driver.failed.done)

        assert stage.store.last_height == 1
        with pytest.raises(UpgradeNeededError, match="upgrade-needed 7: ") as caught:
            await stage.driver.failed
        assert caught.value.exit_status == Exit.CONFIG

    on_stage(test)


def test_nothing_is_told_as_final_before_it_is_written(
    eventually_async: Callable[..., Coroutine[Any, Any, None]],
) -> None:
    """Meanwhile its transactions are pending, never unknown, and who can wait gets the block."""

    async def test(stage: Stage) -> None:
        tx_id = TxId((1).to_bytes(32, "big"))
        await stage.driver.settled()
        stage.data.gate.clear()
        stage.script.answers = lambda _: commit_effects(1)
        stage.driver.feed(Submitted(wall_ms=0, request=1, raws=()))
        await eventually_async("the step", lambda: stage.script.events)

        waiting = asyncio.ensure_future(stage.driver.settled())
        fate = stage.announcer.fate(tx_id)
        assert fate is not None
        assert (fate[0], stage.driver.block(Height(1)), waiting.done()) == ("pending", None, False)

        stage.data.gate.set()
        await waiting
        fate = stage.announcer.fate(tx_id)
        assert fate is not None
        assert fate[:2] == ("committed", 1)
        assert stage.driver.block(Height(1)) is not None

    on_stage(test)


def test_readers_do_not_wait_for_a_disk_that_takes_nothing(
    eventually_async: Callable[..., Coroutine[Any, Any, None]],
) -> None:
    """A full disk must not stop reads."""

    async def test(stage: Stage) -> None:
        stage.data.is_full = True
        stage.script.answers = lambda event: (
            commit_effects(1) if isinstance(event, Submitted) else ()
        )
        stage.driver.feed(Submitted(wall_ms=0, request=1, raws=()))
        await eventually_async("the failure", lambda: stage.script.of(DiskFailed))

        async with asyncio.timeout(0.5):
            await stage.driver.settled()
        stage.data.is_full = False

    on_stage(test)


def test_a_later_timer_of_the_same_name_replaces_the_earlier(
    eventually_async: Callable[..., Coroutine[Any, Any, None]],
) -> None:
    """Only the newest of a name fires; other names are not touched."""

    async def test(stage: Stage) -> None:
        def timer(name: str, height: int) -> Timer:
            return Timer(name, Height(height), Round(0))

        stage.driver.begin(
            (
                SetTimer(timer("a", 1), 10),
                SetTimer(timer("b", 2), 20),
                SetTimer(timer("a", 3), 30),
            )
        )
        await eventually_async("two timers", lambda: len(stage.script.of(TimerFired)) == 2)

        fired = [event.timer for event in stage.script.events if isinstance(event, TimerFired)]
        assert fired == [timer("b", 2), timer("a", 3)]

    on_stage(test)


def test_signatures_are_judged_in_slices_between_events(
    eventually_async: Callable[..., Coroutine[Any, Any, None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A long batch keeps no event waiting, and its verdicts come whole and in order."""
    monkeypatch.setattr(judging, "SLICE_NS", 100_000)

    async def test(stage: Stage) -> None:
        checks = tuple(
            SignatureCheck(PublicKey(b""), bytes([n % 256]), Signature(b"")) for n in range(20_000)
        )
        stage.driver.judge._verify = lambda _key, message, _sig: message[0] % 2 == 0
        stage.driver.begin((Verify(7, checks), Verify(8, ())))
        stage.driver.feed(Submitted(wall_ms=0, request=1, raws=()))
        await eventually_async("both verdicts", lambda: len(stage.script.of(Verified)) == 2)

        kinds = [type(event) for event in stage.script.events]
        assert kinds == [Submitted, Verified, Verified]
        first, second = stage.script.of(Verified)
        assert isinstance(first, Verified)
        assert isinstance(second, Verified)
        assert (first.batch, first.good) == (7, tuple(n % 256 % 2 == 0 for n in range(20_000)))
        assert (second.batch, second.good) == (8, ())

    on_stage(test)


def a_state(request: int) -> SaveSnapshot:
    """Return what the machine emits to have a state kept."""
    block = dict(examples.values())["block"]
    assert isinstance(block, Block)
    voters = ValidatorSet(())
    link = Link(block.header, NO_COMMIT, voters)
    return SaveSnapshot(request, block, (link,), {("pool", b""): voters})


def test_a_snapshot_holds_nothing_up() -> None:
    """What is behind it goes on at once; a second one is refused until the first is written."""

    async def test(stage: Stage) -> None:
        stage.script.answers = lambda event: (a_state(event.request), send(b"behind"))  # type: ignore[attr-defined]  # it is asked for
        stage.data.gate.clear()

        both = {asyncio.create_task(stage.driver.ask(snapshot_asked)) for _ in range(2)}
        (refused,), (waits,) = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)

        assert stage.sent(b"behind", b"behind")
        assert isinstance(refused.result(), Refusal)
        assert refused.result().code == Code.E_CONFLICT
        stage.data.gate.set()
        kept = await waits
        assert isinstance(kept, Snapshotted)
        assert (kept.height, kept.bytes_written) == (7, len(stage.data.files["snapshot.0"]))

    on_stage(test)


def snapshot_asked(request: int, wall_ms: int) -> SnapshotAsked:
    """Ask as the operator's interface does."""
    return SnapshotAsked(wall_ms=wall_ms, request=request)


@pytest.mark.parametrize("trouble", ["is_full", "is_broken"])
def test_a_snapshot_that_cannot_be_written_ends_nothing(trouble: str) -> None:
    """The log has everything; the operator is told, and the node goes on."""

    async def test(stage: Stage) -> None:
        stage.script.answers = lambda event: (a_state(event.request),)  # type: ignore[attr-defined]  # it is asked for
        setattr(stage.data, trouble, True)

        refused = await stage.driver.ask(snapshot_asked)

        assert isinstance(refused, Refusal)
        assert refused.code == Code.E_UNAVAILABLE
        assert not stage.driver.failed.done()

    on_stage(test)


def test_a_submission_gets_its_own_reply() -> None:
    """Replies find their requests, in whatever order they come; a lost client is no matter."""

    async def test(stage: Stage) -> None:
        waiting: list[Reply] = []

        def answers(event: Event) -> Sequence[Effect]:
            assert isinstance(event, Submitted)
            outcome = TxOutcome(TxId(event.raws[0]), Code.OK)
            waiting.insert(0, Reply(event.request, (outcome,)))
            return tuple(waiting) if len(waiting) == 3 else ()

        stage.script.answers = answers
        calls = [asyncio.ensure_future(stage.driver.submit((bytes([n]),))) for n in range(3)]
        await asyncio.sleep(0)
        calls[1].cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

        assert [outcomes[0][0].id, outcomes[2][0].id] == [b"\0", b"\2"]  # type: ignore[index]
        assert isinstance(outcomes[1], asyncio.CancelledError)

    on_stage(test)


def test_blocks_are_read_for_peers_in_order_of_effects(
    eventually_async: Callable[..., Coroutine[Any, Any, None]],
) -> None:
    """A block that was made final just before is in the answer."""

    async def test(stage: Stage) -> None:
        stage.driver.begin((*commit_effects(1), ReadBlocks(PEER, Height(1), Height(9))))
        await eventually_async("the blocks", lambda: stage.script.of(BlocksRead))

        (answer,) = stage.script.of(BlocksRead)
        assert isinstance(answer, BlocksRead)
        assert [final.block.header.height for final in answer.blocks] == [1]

    on_stage(test)


def test_what_is_written_is_durable_after_a_stop(
    eventually_async: Callable[..., Coroutine[Any, Any, None]],
) -> None:
    """The last certificate is synced although no vote followed it."""

    async def main() -> None:
        stage = Stage()
        synced: list[str] = []
        stage.data.sync = synced.append  # type: ignore[method-assign]
        stage.driver.begin(commit_effects(1)[:1])
        await eventually_async("the block", lambda: not stage.driver.barrier._is_waiting)
        stage.driver.begin(commit_effects(1)[1:])
        before = len(synced)

        await stage.driver.stop()

        assert synced[before:] == ["blocks.log"]
        stage.driver.feed(Submitted(wall_ms=0, request=1, raws=()))
        await asyncio.sleep(0)
        assert stage.script.events == [], "a stopped driver takes nothing"

    asyncio.run(main())


def a_long_journal(stage: Stage) -> None:
    """Fill the journal beyond its limit, with an effect behind."""
    stage.driver.begin((AppendTransactions((b"x" * 1_000_000,) * 5), send(b"after")))


def test_a_long_journal_is_rewritten_when_nothing_waits_behind_it(
    eventually_async: Callable[..., Coroutine[Any, Any, None]],
) -> None:
    """The journal shrinks to what is pending, and effects go on afterwards."""

    async def test(stage: Stage) -> None:
        stage.script.pending = [b"still waiting"]
        a_long_journal(stage)
        await eventually_async("the rest", lambda: stage.sent(b"after"))
        await eventually_async("the rewrite", lambda: stage.data.size("journal.log") < 1000)

        stage.driver.begin((SIGN, send(b"more")))
        await eventually_async("more", lambda: stage.sent(b"after", b"more"))

    on_stage(test)


def test_a_journal_that_cannot_be_rewritten_is_no_failure(
    eventually_async: Callable[..., Coroutine[Any, Any, None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The old one is as good; the machine is not told that the disk failed."""

    async def test(stage: Stage) -> None:
        tried: list[str] = []

        def no_room(name: str, _data: bytes) -> None:
            tried.append(name)
            raise DiskUnavailableError("no space left")

        monkeypatch.setattr(stage.data, "replace", no_room)
        a_long_journal(stage)
        await eventually_async("the attempt", lambda: tried)
        stage.driver.begin((SIGN, send(b"more")))
        await eventually_async("more", lambda: stage.sent(b"after", b"more"))

        assert stage.script.of(DiskFailed) == []
        assert stage.driver.barrier.disk_failure == ""
        assert tried == ["journal.log"], "it is tried again only when it has doubled"

    on_stage(test)


def test_urgent_signatures_go_first(
    eventually_async: Callable[..., Coroutine[Any, Any, None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A block does not wait behind somebody's thousand transactions."""
    monkeypatch.setattr(judging, "SLICE_NS", 100_000)

    async def test(stage: Stage) -> None:
        check = SignatureCheck(PublicKey(b""), b"", Signature(b""))
        stage.driver.begin((Verify(1, (check,) * 20_000), Verify(2, (check,) * 20_000)))
        stage.driver.begin((Verify(3, (check,), urgent=True),))
        await eventually_async("all verdicts", lambda: len(stage.script.of(Verified)) == 3)

        batches = [event.batch for event in stage.script.events if isinstance(event, Verified)]
        assert batches == [3, 1, 2]

    on_stage(test)
