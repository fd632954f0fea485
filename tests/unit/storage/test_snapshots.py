"""Two files take turns; what is not whole, or of another chain or format, is as good as none."""

import hashlib

import pytest

from aitbc_node.canonical import NotCanonicalError, encode
from aitbc_node.crypto import SigningKey
from aitbc_node.events import SaveSnapshot
from aitbc_node.ledger import objects
from aitbc_node.storage.disk import DiskUnavailableError
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.snapshots import MAGIC, SLOTS, VERSION, Row, Snapshots
from aitbc_node.types import Address, Amount, BlockId, Hash, Height, Power
from aitbc_node.validators import Validator, validator_set

CHAIN = Hash(b"c" * 32)
VOTERS = validator_set([Validator(Address(b"o" * 20), SigningKey(b"k" * 32).public_key, Power(1))])
ACCOUNT = objects.Account(3, None, (("AIT", Amount(7)),))


def a_state(height: int) -> SaveSnapshot:
    """Build what the machine wants kept."""
    contents = {(objects.ACCOUNT, bytes([n]) * 20): ACCOUNT for n in range(5)}
    return SaveSnapshot(0, Height(height), BlockId(bytes([height]) * 32), VOTERS, contents)


def heights(disk: MemoryDisk, *, height_max: int = 99, chain: Hash = CHAIN) -> list[int]:
    """Return of which blocks there are whole snapshots, in the order in which they are offered."""
    return [
        found.height for found in Snapshots(disk, chain=chain).load(height_max=Height(height_max))
    ]


def kept(*of: int) -> MemoryDisk:
    """Keep states of these heights."""
    disk = MemoryDisk()
    for height in of:
        Snapshots(disk, chain=CHAIN).save(a_state(height))
    return disk


def test_what_is_kept_comes_back() -> None:
    """Height, block, voters and every object, byte for byte."""
    disk = kept(4)

    (found,) = Snapshots(disk, chain=CHAIN).load(height_max=Height(4))

    assert (found.height, found.block_id, found.voters) == (4, bytes([4]) * 32, VOTERS)
    assert list(found.rows) == [
        Row(objects.ACCOUNT, bytes([n]) * 20, encode(ACCOUNT)) for n in range(5)
    ]


def test_the_two_newest_stay_and_the_newest_comes_first() -> None:
    """A third takes the place of the oldest, never of the newest."""
    assert heights(kept(4)) == [4]
    assert heights(kept(4, 6)) == [6, 4]
    assert heights(kept(4, 6, 9)) == [9, 6]
    assert heights(kept(4, 6, 9, 11)) == [11, 9]


def test_reading_says_that_it_gets_on() -> None:
    """Each row is told, because whoever waits for a beat would end a start that is only long."""
    disk, beats = kept(4), list[int]()

    (found,) = Snapshots(disk, chain=CHAIN, on_progress=lambda: beats.append(1)).load(
        height_max=Height(4)
    )
    rows = list(found.rows)

    assert len(beats) == len(rows) == 5


def forged(body: bytes) -> MemoryDisk:
    """Write a file whose checksum holds, whatever is in it."""
    disk = MemoryDisk()
    head = MAGIC + VERSION.to_bytes(4, "big") + hashlib.sha256(body).digest()
    disk.replace(SLOTS[0], head + body)
    return disk


@pytest.mark.parametrize(
    "body", [b"", b"\0", b"\0\0\0\5abc", b"\0\0\0\1\xc1", b"\xff\xff\xff\xff", bytes(8)]
)
def test_a_forged_file_is_passed_over(body: bytes) -> None:
    """Who can write a checksum can still not end a node with it."""
    assert heights(forged(body)) == []


def test_a_forged_row_is_told() -> None:
    """The rows behind a good title are judged one by one."""
    disk = kept(4)
    whole = bytes(disk.files[SLOTS[0]])[44:]

    for tail in (b"\0\0\0\1\xc1", b"\0\0\1\0", b"\0"):
        (found,) = Snapshots(forged(whole + tail), chain=CHAIN).load(height_max=Height(4))
        with pytest.raises(NotCanonicalError):
            list(found.rows)


def test_those_above_a_height_are_not_offered() -> None:
    """A log that lost its end, or an index that is behind, begins lower."""
    disk = kept(4, 6)

    assert heights(disk, height_max=6) == [6, 4]
    assert heights(disk, height_max=5) == [4]
    assert heights(disk, height_max=3) == []


def test_another_chain_has_none() -> None:
    """Files of another genesis are not even looked into."""
    assert heights(kept(4), chain=Hash(b"d" * 32)) == []


def test_a_file_that_is_torn_anywhere_is_passed_over() -> None:
    """Cut at any byte, the newer one is as good as none, and the older one is there."""
    whole = kept(4, 6)
    slot = next(name for name in SLOTS if heights_of(whole, name) == [6])
    size = len(whole.files[slot])

    for cut in range(size):
        disk = kept(4, 6)
        disk.truncate(slot, cut)
        assert heights(disk) == [4], cut


def heights_of(disk: MemoryDisk, slot: str) -> list[int]:
    """Return what one file alone holds."""
    only = MemoryDisk()
    only.replace(slot, bytes(disk.files[slot]))
    return heights(only)


def test_a_flipped_bit_anywhere_is_noticed() -> None:
    """Damage in head, title or an object: the checksum covers them all."""
    size = len(kept(4).files[SLOTS[0]])

    for place in range(size):
        disk = kept(4)
        disk.files[SLOTS[0]][place] ^= 0x10
        assert heights(disk) == [], place


def test_a_later_format_is_passed_over() -> None:
    """A release that was rolled back leaves files that the older one does not know."""
    disk = kept(4)
    disk.files[SLOTS[0]][11] = 2

    assert heights(disk) == []


class FullDisk(MemoryDisk):
    def replace(self, name: str, data: bytes) -> None:
        raise DiskUnavailableError(f"no space left for {len(data)} bytes of {name}")


def test_no_room_leaves_what_is_there() -> None:
    """The older ones are still offered."""
    disk = FullDisk()
    disk.files = kept(4, 6).files

    with pytest.raises(DiskUnavailableError):
        Snapshots(disk, chain=CHAIN).save(a_state(9))

    assert heights(disk) == [6, 4]
