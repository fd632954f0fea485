"""The store under loss of power at any moment: nothing durable is lost, nothing is refused."""

import random

import msgspec
import pytest

from aitbc_node.blocks import (
    NO_COMMIT,
    Block,
    Certificate,
    Header,
    block_id,
)
from aitbc_node.events import AppendBlock, AppendCertificate, AppendTransactions, SaveSignState
from aitbc_node.storage.sign_state import NOTHING_SIGNED
from aitbc_node.storage.store import Recovered, Store
from aitbc_node.types import BlockId, Hash, Height, PublicKey, Round
from aitbc_sim.disk import PowerCutError, SimDisk

EMPTY = Hash(bytes(32))
LIVES = 12


def a_block(height: int, variant: int) -> Block:
    """Build one of several blocks of a height that only the store takes for one."""
    header = Header(
        version=1,
        chain_id="c",
        height=Height(height),
        parent_id=BlockId(b""),
        time_ms=variant,
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
    return Block(header, (bytes(variant * 50),), NO_COMMIT, ())


class Writer:
    """Use a store as a node does, and remember what the store has promised."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.data, self.keys = SimDisk(dice), SimDisk(dice)
        self.signed = 0  # the newest sign state that `run` returned from
        self.finals: list[BlockId] = []
        self.durable = 0  # how many of the finals were in the log at the last sync
        store = Store(self.data, self.keys)
        store.recover()
        store.create_sign_state()

    def live(self, kind: type[Store] = Store) -> Recovered:
        """Start, check what was recovered, work until the power goes; return what was found."""
        store = kind(self.data, self.keys)
        found = store.recover()
        self.check(found)
        for disk in (self.data, self.keys):
            disk.fuse = self.dice.randrange(40)
        try:
            while True:
                self.one_height(store)
        except PowerCutError:
            for disk in (self.data, self.keys):
                disk.lose_power()
                disk.fuse = None
        return found

    def one_height(self, store: Store) -> None:
        height = len(self.finals) + 1
        blocks = [a_block(height, self.dice.randrange(8)) for _ in range(self.dice.randrange(1, 4))]
        for block in blocks:
            store.run(AppendBlock(block_id(block.header), block))
            self.durable = len(self.finals)
            state = msgspec.structs.replace(
                NOTHING_SIGNED, height=Height(self.signed + 1), step=self.dice.randrange(4)
            )
            store.run(SaveSignState(state))
            self.signed += 1
        chosen = block_id(self.dice.choice(blocks).header)
        # Before it is written, because it may be found although the write did not return.
        self.finals.append(chosen)
        store.run(AppendCertificate(Certificate(Height(height), Round(0), chosen, ())))
        store.run(AppendTransactions((b"tx" * self.dice.randrange(1, 50),)))
        if self.dice.random() < 0.2:
            store.rewrite_journal((b"kept",))

    def check(self, found: Recovered) -> None:
        finals = [final.certificate.block_id for final in found.finals]
        assert finals == self.finals[: len(finals)], "recovered blocks are those that were final"
        assert len(finals) >= self.durable, "what was synced is still there"
        assert found.sign_state is not None
        # The state that was being written when the power went may be there or not.
        assert found.sign_state.height in (self.signed, self.signed + 1), "never an older one"
        self.signed = found.sign_state.height
        for id_, block in found.pending:
            assert id_ == block_id(block.header)
            assert block.header.height == len(finals) + 1
        self.finals = finals
        self.durable = len(finals)


@pytest.mark.proves("A17", "E5")
@pytest.mark.parametrize("seed", range(150))
def test_loss_of_power_at_any_moment_loses_nothing_durable(seed: int) -> None:
    """Unsynced writes come back whole, in part or not at all; the store always starts."""
    writer = Writer(random.Random(seed))  # noqa: S311 - repeatable is the point

    for _ in range(LIVES):
        writer.live()
    final = Store(writer.data, writer.keys).recover()

    assert isinstance(final, Recovered)


def test_the_crashes_are_not_harmless() -> None:
    """Over the seeds, tails are cut, pending blocks come back, and progress is made."""
    cut = pending = heights = 0
    for seed in range(40):
        writer = Writer(random.Random(seed))  # noqa: S311 - repeatable is the point
        for _ in range(LIVES):
            found = writer.live()
            cut += found.bytes_cut > 0
            pending += bool(found.pending)
        heights += len(writer.finals)

    assert cut > 20
    assert pending > 20
    assert heights > 200


def test_without_the_order_a_final_block_would_be_lost() -> None:
    """A store that signs before it syncs the log is caught by the same checks."""

    class Hasty(Store):
        def _sync_log(self) -> None:
            pass

    caught = 0
    for seed in range(40):
        writer = Writer(random.Random(seed))  # noqa: S311 - repeatable is the point
        try:
            for _ in range(LIVES):
                writer.live(Hasty)
        except AssertionError:
            caught += 1

    assert caught > 10
