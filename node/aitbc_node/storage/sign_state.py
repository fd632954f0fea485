"""How a validator never forgets what it signed: one small file of two slots, written in turn.

A crash in the middle of a write can only hurt the slot being written, and that one had not been
relied upon: nothing is sent before the write has returned. So the newest good slot is what counts.
A slot holds its state twice, so that a write that was cut short can be told from bytes that decayed
later: the former leaves one copy whole, new or old; where neither is, what was signed is unknown.
The file is born with the key (`aitbc-node init`) and never made again by itself: a key whose file
is missing may have signed anything. Each key has a file of its own, of the same number as the
key's. Do not add rules about voting here.

Shape: two slots of 8192 bytes. A state is `magic(4) sequence(u64) length(u32) payload checksum(32)`
and zeros; it fills half of its slot and is there twice, unless it is too long for that (prevotes of
more than some fifty validators). Sequence n lives in slot n % 2.
"""

import hashlib
import struct
from typing import TypeAlias

import msgspec

from aitbc_node.blocks import NO_BLOCK
from aitbc_node.canonical import NotCanonicalError, decode, encode
from aitbc_node.errors import DiskError
from aitbc_node.events import SignState
from aitbc_node.limits import ROUND_MAX
from aitbc_node.storage.disk import Disk
from aitbc_node.types import Height, Round, Signature

FILE_NAME = "sign_state"
SLOT_BYTES = 8192
MAGIC = b"AISS"
CHECKSUM_BYTES = 32

_HEAD = struct.Struct(">4sQI")
_HALF = SLOT_BYTES // 2
_PAYLOAD_BYTES_MAX = SLOT_BYTES - _HEAD.size - CHECKSUM_BYTES

Copy: TypeAlias = tuple[int, SignState]
"""A sequence and the state that was written with it."""

NOTHING_SIGNED = SignState(
    height=Height(0),
    round=Round(-1),
    step=0,
    sign_bytes=b"",
    signature=Signature(b""),
    locked_round=Round(-1),
    locked_id=NO_BLOCK,
    valid_round=Round(-1),
    valid_id=NO_BLOCK,
)


def file_name(number: int) -> str:
    """Name the file of a validator's first, second, third key."""
    return FILE_NAME if number == 1 else f"{FILE_NAME}.{number}"


def nothing_below(height: Height) -> SignState:
    """Build the state of a key that may sign from a height on, and may have signed anything below.

    It stands behind the last step of the last round of the height before.
    """
    return msgspec.structs.replace(
        NOTHING_SIGNED, height=Height(height - 1), round=Round(ROUND_MAX), step=3
    )


class SignStateFile:
    """Keep the newest sign state of one key."""

    def __init__(self, disk: Disk, number: int = 1) -> None:
        self._disk = disk
        self._name = file_name(number)
        self._sequence = 0
        self._is_name_durable = False
        self.is_torn = False
        """Whether the newest write was found cut short."""
        self.is_healed = False
        """Whether one copy of the newest state has decayed, and the other one counts."""

    def exists(self) -> bool:
        """Tell whether this key has a sign state at all."""
        return self._disk.exists(self._name)

    def create(self, state: SignState = NOTHING_SIGNED) -> None:
        """Write a first file; only where none is."""
        assert not self.exists(), "a sign state is never made anew over an old one"
        self._sequence = 0
        self._disk.replace(self._name, _slot(0, state).ljust(2 * SLOT_BYTES, b"\0"))
        self._is_name_durable = True

    def load(self) -> SignState:
        """Return the newest good state and go on from it.

        Raises: DiskError when neither slot is good, or when one has decayed that may be newer.
        """
        data = self._disk.read(self._name)
        slots = [data[index * SLOT_BYTES : (index + 1) * SLOT_BYTES] for index in (0, 1)]
        copies = [_copies(slot, index) for index, slot in enumerate(slots)]
        found = [copy for pair in copies for copy in pair if copy is not None]
        if not found:
            raise _unknown(self._name, "both slots are damaged")
        self._sequence, state = max(found, key=lambda copy: copy[0])
        newest, other = self._sequence % 2, 1 - self._sequence % 2
        first, second = copies[other]
        if first is None and second is None and _has_second(slots[other]):
            # A write that was cut short has one copy of what was there before, or none was there.
            raise _unknown(self._name, "one slot is damaged, and may hold the newest state")
        self.is_torn = first is None and any(slots[other])
        self.is_healed = copies[newest][0] is None
        return state

    def save(self, state: SignState) -> None:
        """Return once `state` is durable; the state before it stays in the other slot."""
        sequence = self._sequence + 1
        self._disk.write_at(self._name, sequence % 2 * SLOT_BYTES, _slot(sequence, state))
        self._disk.sync(self._name)
        if not self._is_name_durable:
            # Whoever put the file here may have left its name in the kernel's cache. Afterwards
            # nothing in the folder changes: once more for each vote was 65 us of processor time.
            self._disk.sync_folder()
            self._is_name_durable = True
        self._sequence = sequence


class SignStates:
    """Keep the newest sign state of each key, by the number of its files; no `disk`, no keys."""

    def __init__(self, disk: Disk | None) -> None:
        self._disk = disk
        self._files: dict[int, SignStateFile] = {}
        self.is_torn = False
        """Whether the newest write of some file was found cut short."""
        self.is_healed = False
        """Whether the newest state of some file had a copy that has decayed."""
        self.unknown: dict[int, str] = {}
        """Which retired keys have signed something that nobody knows any more, and why."""

    def exists(self, number: int) -> bool:
        """Tell whether a key has a file, whatever is in it."""
        return self._disk is not None and self._file(self._disk, number).exists()

    def load(self, number: int = 1, *, is_retired: bool = False) -> SignState | None:
        """Return what a key has signed last; None where it has no file.

        Raises: DiskError when that cannot be known. It is None then for a key that `is_retired`,
        which a later one has replaced: it signs nothing, and the node goes on.
        """
        if self._disk is None or not (file := self._file(self._disk, number)).exists():
            return None
        try:
            state = file.load()
        except DiskError as error:
            if not is_retired:
                raise
            self.unknown[number] = error.message
            return None
        self.is_torn |= file.is_torn
        self.is_healed |= file.is_healed
        return state

    def create(self, state: SignState, number: int = 1) -> SignState:
        """Write a key's first file, and return what is in it."""
        assert self._disk is not None, "a node without keys has no sign state"
        self._file(self._disk, number).create(state)
        return state

    def save(self, state: SignState, number: int) -> None:
        """Return once a key's state is durable."""
        if number not in self._files:  # made while this node runs
            found = self.load(number)
            assert found is not None, "a key without its sign state signed something"
        self._files[number].save(state)

    def _file(self, disk: Disk, number: int) -> SignStateFile:
        return self._files.setdefault(number, SignStateFile(disk, number))


def _unknown(name: str, what: str) -> DiskError:
    return DiskError(
        f"{name}: {what}; what this key has signed is unknown",
        hint="move the file away, make sure no other host runs this key, then start once "
        "with --not-before-height H, at least 3 above the tip of the chain",
    )


def _slot(sequence: int, state: SignState) -> bytes:
    payload = encode(state)
    assert len(payload) <= _PAYLOAD_BYTES_MAX, "a sign state that outgrew its slot"
    body = _HEAD.pack(MAGIC, sequence, len(payload)) + payload
    record = body + hashlib.sha256(body).digest()
    double = 2 * record.ljust(_HALF, b"\0")
    return double if len(record) <= _HALF else record.ljust(SLOT_BYTES, b"\0")


def _copies(slot: bytes, index: int) -> tuple[Copy | None, Copy | None]:
    return _read_copy(slot, index), _read_copy(slot[_HALF:], index)


def _has_second(slot: bytes) -> bool:
    """Tell whether a second copy was ever begun here, whatever has become of it."""
    return slot[_HALF : _HALF + len(MAGIC)] == MAGIC


def _read_copy(data: bytes, index: int) -> Copy | None:
    if len(data) < _HALF or data[: len(MAGIC)] != MAGIC:
        return None
    _, sequence, length = _HEAD.unpack_from(data)
    end = _HEAD.size + length
    if length > _PAYLOAD_BYTES_MAX or sequence % 2 != index:
        return None
    if data[end : end + CHECKSUM_BYTES] != hashlib.sha256(data[:end]).digest():
        return None
    try:
        return sequence, decode(data[_HEAD.size : end], SignState)
    except NotCanonicalError:
        return None
