"""What the node keeps across restarts, and in which order it may become durable.

Blocks and certificates go to one log, accepted transactions to a journal, the sign state to the
key folder. The sign state is never newer on disk than the log: a node that signed for a block still
has that block after any crash. Blocks are read back from the disk; only their places are in memory.
Do not judge blocks here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import assert_never

import msgspec

from aitbc_node.blocks import Block, Certificate, FinalBlock
from aitbc_node.canonical import encode
from aitbc_node.events import (
    AppendBase,
    AppendBlock,
    AppendCertificate,
    AppendTransactions,
    OwnKey,
    SaveBans,
    SaveDataVersion,
    SaveEvidence,
    SavePeers,
    SaveSignState,
    SignState,
    Storable,
)
from aitbc_node.limits import FRAME_BYTES_MAX, MIB
from aitbc_node.storage.disk import Disk
from aitbc_node.storage.entries import (
    BLOCK,
    CERTIFICATE,
    TRANSACTION,
    block_in,
    certificate_in,
    parts_of,
    place_of,
    unreadable,
)
from aitbc_node.storage.keepsakes import ACQUAINTANCES, BANS, EVIDENCE, Keepsake
from aitbc_node.storage.log import SALT_BYTES, Entry, Log
from aitbc_node.storage.offsets import Offsets
from aitbc_node.storage.sign_state import NOTHING_SIGNED, SignStates, nothing_below
from aitbc_node.storage.versions import DATA_VERSIONS, DataVersions, read_version, write_version
from aitbc_node.types import BlockId, Hash, Height

LOG_NAME = "blocks.log"

JOURNAL_BYTES_MIN = 4 * MIB
READ_BYTES_MAX = FRAME_BYTES_MAX // 2

_UNCHAINED = Hash(bytes(32))


class Recovered(msgspec.Struct, frozen=True):
    """Be what was found on disk at the start.

    Shape: `finals` in ascending order from `first_height`, read while iterated, once; `pending` are
    logged blocks above the last final one, oldest first; `sign_state` is None where no file is.
    """

    finals: Iterable[FinalBlock]
    pending: tuple[tuple[BlockId, Block], ...]
    sign_state: SignState | None
    journal: tuple[bytes, ...]
    last_height: Height = Height(0)
    bytes_cut: int = 0
    data_version: int = DATA_VERSIONS.oldest
    data_version_max: int = DATA_VERSIONS.newest
    later_keys: tuple[OwnKey, ...] = ()
    evidence: tuple[bytes, ...] = ()
    peers: tuple[bytes, ...] = ()
    is_peers_file_damaged: bool = False
    bans: tuple[bytes, ...] = ()
    is_bans_file_damaged: bool = False


class Store:
    """Carry out the effects that write; `recover` comes first.

    `keys` is None on a node that signs nothing. `chain` is the genesis hash; `salt` is 16 random
    bytes for the files that this store creates. `on_progress` is called again and again while a
    long log is read.
    """

    def __init__(
        self,
        data: Disk,
        keys: Disk | None,
        *,
        chain: Hash = _UNCHAINED,
        salt: bytes = bytes(SALT_BYTES),
        versions: DataVersions = DATA_VERSIONS,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._data = data
        self._chain = chain
        self._salt = salt
        self._versions = versions
        self._on_progress = on_progress
        self._log = Log(data, LOG_NAME)
        self._journal = Log(data, "journal.log")
        self._journal_bytes_max = JOURNAL_BYTES_MIN
        self.sign_states = SignStates(keys)
        # Places in the log: of final blocks with their certificates by height, and of blocks that
        # are not final yet by id. So many heights from the genesis on are not in it.
        self._finals = Offsets()
        self._below = Height(0)
        self._waiting: dict[BlockId, tuple[Height, int]] = {}

    @property
    def last_height(self) -> Height:
        """Return the height of the newest final block; 0 for none."""
        return Height(self._below + len(self._finals))

    @property
    def first_height(self) -> Height:
        """Return where the log begins: at 1, unless the state there came from peers."""
        return Height(self._below + 1)

    def recover(self, *, is_key_retired: bool = False) -> Recovered:
        """Read everything, repair torn tails and return what there is.

        Where the first key `is_key_retired`, a later one having replaced it, it may be damaged.
        Raises: DiskError for damage, ConfigError for data of another chain or an unknown version.
        """
        data_version = self.recover_blocks()
        entries = self._journal.open(chain=self._chain, salt=self._salt)
        journal = tuple(entry.payload for entry in entries)
        self._journal_may_double()
        peers, bans = ACQUAINTANCES.read(self._data), BANS.read(self._data)
        return Recovered(
            finals=self.finals_above(Height(0)),
            pending=tuple(self._read_waiting()),
            sign_state=self.sign_states.load(is_retired=is_key_retired and self.last_height > 0),
            journal=journal,
            last_height=self.last_height,
            bytes_cut=self._log.bytes_cut,
            data_version=data_version,
            data_version_max=self._versions.newest,
            evidence=EVIDENCE.read(self._data) or (),
            peers=peers or (),
            is_peers_file_damaged=peers is None,
            bans=bans or (),
            is_bans_file_damaged=bans is None,
        )

    def recover_blocks(self) -> int:
        """Read the log alone, for who only wants blocks; return the data version.

        Raises: DiskError for damage, ConfigError for data of another chain or an unknown version.
        """
        assert not self._finals, "a store recovers once"
        is_new = not self._data.exists(LOG_NAME)
        data_version = read_version(self._data, self._versions, is_new=is_new)
        for entry in self._log.open(chain=self._chain, salt=self._salt):
            self._index(entry)
            self._on_progress()
        return data_version

    def run(self, effect: Storable) -> None:
        """Carry out one effect; on return a `Persist` is durable, the others are written.

        Raises: DiskUnavailableError when nothing was done and the same call may be repeated.
        """
        match effect:
            case SaveSignState(state=state, number=number):
                self._sync_log()
                self.sign_states.save(state, number)
            case SaveDataVersion(data_version=data_version):
                self._sync_log()
                write_version(self._data, data_version)
            case SaveEvidence(raws=raws):
                self._keep(EVIDENCE, raws)
            case SavePeers(raws=raws):
                self._keep(ACQUAINTANCES, raws)
            case SaveBans(raws=raws):
                self._keep(BANS, raws)
            case AppendBlock(id=id_, block=block):
                self._append_block(id_, block)
                self._sync_log()
            case AppendCertificate(certificate=certificate):
                self._append_certificate(certificate)
            case AppendBase(final=final):
                self._begin_at(final)
            case AppendTransactions(raws=raws):
                self._journal.append_all(TRANSACTION, raws)
            case _:
                assert_never(effect)

    def flush(self) -> None:
        """Make durable what no `Persist` has made so yet; for the end of a process."""
        self._sync_log()

    def finals_above(self, height: Height) -> Iterator[FinalBlock]:
        """Read the final blocks above a height, in ascending order."""
        for block_at, certificate_at in self._finals.between(max(0, height - self._below)):
            self._on_progress()
            yield self._final_at(block_at, certificate_at)

    def block(self, height: Height) -> FinalBlock | None:
        """Return the final block of a height, or None where none is."""
        if not self._below < height <= self.last_height:
            return None
        return self._final_at(*self._finals[height - self._below - 1])

    def read_blocks(
        self, first: Height, last: Height, *, bytes_max: int = READ_BYTES_MAX
    ) -> tuple[FinalBlock, ...]:
        """Return final blocks `first..last`, fewer where they end or would outgrow one frame.

        None at all where the first of them is not here: who asks goes on height by height.
        """
        found: list[FinalBlock] = []
        size = 0
        start = max(first, 1) - self._below - 1
        wanted = self._finals.between(start, max(last - self._below, 0)) if start >= 0 else ()
        for block_at, certificate_at in wanted:
            size += self._log.size_of(block_at) + self._log.size_of(certificate_at)
            if found and size > bytes_max:
                break
            found.append(self._final_at(block_at, certificate_at))
        return tuple(found)

    @property
    def is_journal_long(self) -> bool:
        """Tell whether it is time for `rewrite_journal`."""
        return self._journal.end > self._journal_bytes_max

    def rewrite_journal(self, raws: Sequence[bytes]) -> None:
        """Keep only these transactions, the ones still waiting, in the journal.

        Raises: DiskUnavailableError when there is no room; the old journal stays, and stays usable.
        """
        try:
            self._journal.rewrite([(TRANSACTION, raw) for raw in raws])
        finally:
            self._journal_may_double()

    def _journal_may_double(self) -> None:
        # Twice what is there, so that rewriting costs the same per transaction however long it is.
        self._journal_bytes_max = max(JOURNAL_BYTES_MIN, 2 * self._journal.end)

    def create_sign_state(self, not_before: Height | None = None) -> SignState:
        """Begin a sign state: an empty one, or one that signs nothing below `not_before`."""
        state = NOTHING_SIGNED if not_before is None else nothing_below(not_before)
        return self.sign_states.create(state)

    def _append_block(self, id_: BlockId, block: Block) -> None:
        if id_ in self._waiting:
            return
        height = block.header.height
        offset = self._log.append(BLOCK, *parts_of(id_, block))
        self._waiting[id_] = (height, offset)

    def _append_certificate(self, certificate: Certificate) -> None:
        assert certificate.height == self.last_height + 1, "certificates come height by height"
        assert certificate.block_id in self._waiting, "the block comes before its certificate"
        self._make_final(certificate, self._log.append(CERTIFICATE, encode(certificate)))

    def _begin_at(self, final: FinalBlock) -> None:
        height = final.certificate.height
        block = b"".join(parts_of(final.certificate.block_id, final.block))
        rows = ((BLOCK, block), (CERTIFICATE, encode(final.certificate)))
        block_at, certificate_at = self._log.rewrite(rows)
        self._below = Height(height - 1)
        self._finals.restart((block_at, certificate_at))
        self._waiting.clear()

    def _make_final(self, certificate: Certificate, certificate_at: int) -> None:
        _, block_at = self._waiting[certificate.block_id]
        self._finals.append((block_at, certificate_at))
        self._waiting = {
            id_: place for id_, place in self._waiting.items() if place[0] > certificate.height
        }

    def _keep(self, keepsake: Keepsake, raws: Sequence[bytes]) -> None:
        self._sync_log()  # a certificate in front of any `Persist` is durable behind it
        keepsake.write(self._data, raws)

    def _sync_log(self) -> None:
        if self._log.is_dirty:
            self._log.sync()

    def _index(self, entry: Entry) -> None:
        match entry.kind:
            case 1:  # entries.BLOCK
                id_, height = place_of(entry)
                self._waiting[id_] = (height, entry.offset)
            case 2:  # entries.CERTIFICATE
                certificate = certificate_in(entry)
                if certificate.height < 1:
                    raise unreadable(entry, "a certificate of the genesis")
                if not self._finals:
                    self._below = Height(certificate.height - 1)
                if certificate.height != self.last_height + 1:
                    raise unreadable(entry, "its certificates skip a height")
                if certificate.block_id not in self._waiting:
                    raise unreadable(entry, "a certificate without its block")
                self._make_final(certificate, entry.offset)
            case _:
                raise unreadable(entry, f"a record of unknown kind {entry.kind}")

    def _read_waiting(self) -> Iterator[tuple[BlockId, Block]]:
        for id_, (_, offset) in self._waiting.items():
            yield id_, self._block_at(offset)

    def _final_at(self, block_at: int, certificate_at: int) -> FinalBlock:
        return FinalBlock(self._block_at(block_at), certificate_in(self._log.read(certificate_at)))

    def _block_at(self, offset: int) -> Block:
        return block_in(self._log.read(offset))
