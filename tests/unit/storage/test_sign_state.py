"""The sign state file: what a validator can never forget."""

import msgspec
import pytest

from aitbc_node.blocks import NO_BLOCK
from aitbc_node.errors import DiskError
from aitbc_node.events import SignState
from aitbc_node.limits import VALIDATORS_MAX
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.sign_state import FILE_NAME, NOTHING_SIGNED, SLOT_BYTES, SignStateFile
from aitbc_node.types import BlockId, Height, Round, Signature


def a_state(height: int) -> SignState:
    """Build a full state of a height."""
    return SignState(
        height=Height(height),
        round=Round(2),
        step=3,
        sign_bytes=b"s" * 130,
        signature=Signature(b"g" * 64),
        locked_round=Round(1),
        locked_id=BlockId(b"l" * 32),
        valid_round=Round(-1),
        valid_id=NO_BLOCK,
    )


def a_file(*heights: int) -> tuple[MemoryDisk, SignStateFile]:
    """Make a file and save one state after the other."""
    disk = MemoryDisk()
    file = SignStateFile(disk)
    file.create()
    for height in heights:
        file.save(a_state(height))
    return disk, file


def test_the_newest_state_is_read_back_with_its_lock() -> None:
    """After any number of writes the last one counts, all fields of it."""
    for count in range(1, 6):
        disk, _ = a_file(*range(1, count + 1))

        assert SignStateFile(disk).load() == a_state(count)


def test_a_new_file_has_signed_nothing() -> None:
    """The first state is below every height."""
    disk, _ = a_file()
    file = SignStateFile(disk)

    assert (file.load(), file.is_torn) == (NOTHING_SIGNED, False)


def test_the_file_never_changes_its_length() -> None:
    """Writing in place needs no room on the disk."""
    disk, file = a_file()
    size = disk.size(FILE_NAME)

    file.save(a_state(1))

    assert disk.size(FILE_NAME) == size == 2 * SLOT_BYTES


class HeedfulDisk(MemoryDisk):
    """Note what is made durable."""

    def __init__(self) -> None:
        super().__init__()
        self.synced: list[str] = []

    def sync(self, name: str) -> None:
        self.synced.append(name)

    def sync_folder(self) -> None:
        self.synced.append("the folder")


def test_a_file_that_was_put_there_has_its_name_made_durable_before_the_first_vote() -> None:
    """The state is durable at each save; the folder once, since nothing in it changes later."""
    disk = HeedfulDisk()
    disk.files = a_file(1)[0].files
    file = SignStateFile(disk)
    file.load()

    for height, synced in ((2, [FILE_NAME, "the folder"]), (3, [FILE_NAME]), (4, [FILE_NAME])):
        disk.synced.clear()
        file.save(a_state(height))
        assert disk.synced == synced, f"at height {height}"


def test_a_write_torn_at_any_byte_leaves_the_state_before() -> None:
    """The slot being written is never the one that is relied upon."""
    disk, file = a_file(1, 2)
    before = bytes(disk.files[FILE_NAME])
    file.save(a_state(3))
    after = bytes(disk.files[FILE_NAME])
    changed = [at for at in range(len(after)) if before[at] != after[at]]
    first = changed[0] // SLOT_BYTES * SLOT_BYTES

    for torn in range(first, changed[-1] + 1):
        disk.files[FILE_NAME] = bytearray(after[:torn] + before[torn:])
        state = SignStateFile(disk).load()
        assert state in (a_state(2), a_state(3)), f"torn at byte {torn}"
    assert disk.files[FILE_NAME][first:] != before[first:]


def test_writing_goes_on_after_a_torn_write() -> None:
    """The slot whose write was cut short is the next to be written."""
    disk, file = a_file(1, 2)
    before = bytes(disk.files[FILE_NAME])
    file.save(a_state(3))  # into slot 1
    disk.files[FILE_NAME][SLOT_BYTES + 20 :] = before[SLOT_BYTES + 20 :]

    file = SignStateFile(disk)
    assert file.load() == a_state(2)
    assert file.is_torn
    file.save(a_state(3))

    again = SignStateFile(disk)
    assert (again.load(), again.is_torn) == (a_state(3), False)


@pytest.mark.parametrize("damage", ["flip", "zeros", "short", "empty"])
def test_two_bad_slots_are_refused(damage: str) -> None:
    """Without a good slot nobody knows what the key has signed."""
    disk, _ = a_file(1, 2)
    data = disk.files[FILE_NAME]
    match damage:
        case "flip":
            for at in range(30, len(data), SLOT_BYTES // 2):
                data[at] ^= 1
        case "zeros":
            data[:] = bytes(len(data))
        case "short":
            del data[SLOT_BYTES // 2 - 1 :]
        case _:
            data.clear()

    with pytest.raises(DiskError, match="both slots"):
        SignStateFile(disk).load()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_state_that_decayed_in_one_place_is_there_all_the_same(count: int) -> None:
    """Any bit of the newest slot may flip: its other copy has what was signed."""
    disk, _ = a_file(*range(1, count + 1))
    start = count % 2 * SLOT_BYTES
    for at in range(start, start + SLOT_BYTES, 7):
        disk.files[FILE_NAME][at] ^= 4
        file = SignStateFile(disk)
        assert file.load() == a_state(count), at
        assert not file.is_torn
        disk.files[FILE_NAME][at] ^= 4


def test_the_operator_hears_of_a_disk_that_decays() -> None:
    """Of the copy that is read first; a slot that is whole says nothing."""
    disk, _ = a_file(1, 2)
    file = SignStateFile(disk)
    file.load()
    assert not file.is_healed

    disk.files[FILE_NAME][30] ^= 1
    file = SignStateFile(disk)
    assert file.load() == a_state(2)
    assert file.is_healed


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_newest_slot_that_decayed_is_not_taken_for_a_torn_write(count: int) -> None:
    """The state before it would let the key sign twice: it does not start, and says what helps."""
    disk, _ = a_file(*range(1, count + 1))
    start = count % 2 * SLOT_BYTES
    for at in (start + 30, start + SLOT_BYTES // 2 + 30):
        disk.files[FILE_NAME][at] ^= 1

    with pytest.raises(DiskError, match="may hold the newest state") as caught:
        SignStateFile(disk).load()
    assert "--not-before-height" in caught.value.hint


def a_long_state(height: int) -> SignState:
    """Build a state with the prevotes of a hundred validators, too long to be there twice."""
    prevotes = tuple((index, Signature(b"p" * 64)) for index in range(VALIDATORS_MAX))
    return msgspec.structs.replace(a_state(height), prevotes=prevotes)


@pytest.mark.parametrize("lengths", ["short long", "long short", "long long"])
def test_a_torn_write_of_a_long_state_leaves_the_state_before(lengths: str) -> None:
    """Whichever of the two was in that slot before, and wherever the write ended."""
    kinds = {"short": a_state, "long": a_long_state}
    first, second = (kinds[word] for word in lengths.split())
    disk, file = a_file()
    file.save(first(1))
    file.save(first(2))
    before = bytes(disk.files[FILE_NAME])
    file.save(second(3))
    after = bytes(disk.files[FILE_NAME])

    for torn in range(SLOT_BYTES, 2 * SLOT_BYTES, 61):
        disk.files[FILE_NAME] = bytearray(after[:torn] + before[torn:])
        assert SignStateFile(disk).load() in (first(2), second(3)), torn


def test_swapped_slots_are_not_taken() -> None:
    """A slot counts only in its own place, so a misplaced write cannot bring back an old state."""
    disk, _ = a_file(1, 2)
    data = disk.files[FILE_NAME]
    data[:SLOT_BYTES], data[SLOT_BYTES:] = data[SLOT_BYTES:], data[:SLOT_BYTES]

    with pytest.raises(DiskError):
        SignStateFile(disk).load()


def test_the_largest_state_fits_its_slot() -> None:
    """Every field at its longest still fits."""
    disk, file = a_file()
    largest = msgspec.structs.replace(
        a_state(2**63 - 1),
        round=Round(2**31),
        sign_bytes=b"s" * 512,
        valid_round=Round(2**31),
        valid_id=BlockId(b"v" * 32),
        prevotes=tuple((index, Signature(b"p" * 64)) for index in range(VALIDATORS_MAX)),
    )

    file.save(largest)

    assert SignStateFile(disk).load() == largest
