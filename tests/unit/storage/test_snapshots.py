"""Two files take turns; what is not whole, or of another chain or format, is as good as none."""

import hashlib
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from aitbc_node import examples
from aitbc_node.blocks import Block, Certificate, block_id
from aitbc_node.canonical import NotCanonicalError, encode
from aitbc_node.crypto import SigningKey, sha256
from aitbc_node.events import SaveSnapshot
from aitbc_node.ledger import objects
from aitbc_node.limits import PIECE_BYTES
from aitbc_node.lineage import Contents, Link, Offer
from aitbc_node.storage.disk import DiskUnavailableError
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.snapshots import MAGIC, ROW_BYTES_MAX, SLOTS, VERSION, Row, Snapshots
from aitbc_node.types import Address, Amount, BlockId, Hash, Height, Power, Round
from aitbc_node.validators import Validator, validator_set

EXAMPLE = dict(examples.values())["block"]
assert isinstance(EXAMPLE, Block)
CHAIN = Hash(b"c" * 32)
VOTERS = validator_set([Validator(Address(b"o" * 20), SigningKey(b"k" * 32).public_key, Power(1))])
ACCOUNT = objects.Account(3, None, (("AIT", Amount(7)),))


def a_block(height: int) -> Block:
    """Build a block of a height, as far as a file is concerned."""
    assert isinstance(EXAMPLE, Block)
    return replace(EXAMPLE, header=replace(EXAMPLE.header, height=Height(height)))


def a_state(height: int) -> SaveSnapshot:
    """Build what the machine wants kept."""
    contents = {(objects.ACCOUNT, bytes([n]) * 20): ACCOUNT for n in range(5)}
    block = a_block(height)
    certificate = Certificate(Height(height), Round(0), block_id(block.header), ())
    return SaveSnapshot(0, block, (Link(block.header, certificate, VOTERS),), contents)


LINKS = a_state(4).links


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

    assert (found.height, found.block_id) == (4, block_id(a_block(4).header))
    assert (found.block, found.voters, found.lineage) == (a_block(4), VOTERS, a_state(4).links)
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
    """Each row and piece: whoever waits for a beat would end a start that is only long."""
    disk, beats = kept(4), list[int]()

    (found,) = Snapshots(disk, chain=CHAIN, on_progress=lambda: beats.append(1)).load(
        height_max=Height(4)
    )
    rows = list(found.rows)

    assert len(rows) == 5
    assert len(beats) == len(rows) + 2, "its one piece is hashed, then cut"


def forged(title: bytes) -> MemoryDisk:
    """Write a file whose checksum holds, whatever is in its title."""
    disk = MemoryDisk()
    head = MAGIC + VERSION.to_bytes(4, "big") + hashlib.sha256(title).digest()
    disk.replace(SLOTS[0], head + len(title).to_bytes(4, "big") + title)
    return disk


NOTHING = Offer(Contents(CHAIN, Height(4), BlockId(bytes(32)), 0, ()), ())


@pytest.mark.parametrize("title", [b"", b"\0", b"\xc1", bytes(300), encode(NOTHING)])
def test_a_forged_file_is_passed_over(title: bytes) -> None:
    """Who can write a checksum can still not end a node with it."""
    assert heights(forged(title)) == []


def offer_of(body: bytes, links: tuple[Link, ...]) -> Offer:
    """Offer bytes as they are."""
    pieces = [body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES)]
    link = links[-1]
    names = tuple(map(sha256, pieces))
    contents = Contents(CHAIN, link.height, link.certificate.block_id, len(body), names)
    return Offer(contents, links)


def body_of(disk: MemoryDisk) -> bytes:
    """Return everything behind the title."""
    data = bytes(disk.files[SLOTS[0]])
    return data[48 + int.from_bytes(data[44:48], "big") :]


def test_a_forged_row_is_told() -> None:
    """The rows behind a good title are judged one by one."""
    whole = body_of(kept(4))

    for tail in (b"\0\0\0\1\xc1", b"\0\0\1\0", b"\0"):
        snapshots, offer = Snapshots(MemoryDisk(), chain=CHAIN), offer_of(whole + tail, LINKS)
        snapshots.gather(0, whole + tail)
        found = snapshots.gathered(offer)
        assert found is not None
        with pytest.raises(NotCanonicalError):
            list(found.rows)


def test_all_nodes_keep_the_same_bytes() -> None:
    """Whatever the order in which objects came to be; what proves the block may differ."""
    one, other = MemoryDisk(), MemoryDisk()
    state = a_state(4)
    contents = dict(reversed(list(state.contents.items())))
    Snapshots(one, chain=CHAIN).save(state)
    Snapshots(other, chain=CHAIN).save(replace(state, contents=contents, links=LINKS * 2))

    assert body_of(one) == body_of(other)
    offers = [Snapshots(disk, chain=CHAIN).offered(Height(0)) for disk in (one, other)]
    names = {offer.contents.name() for offer in offers if offer is not None}
    assert len(names) == 1


def a_large_state() -> SaveSnapshot:
    """Build a state of several pieces."""
    record = objects.StoredRecord("n", b"k", b"x" * 40_000, Address(b"o" * 20), Height(9))
    contents = {(objects.RECORD, bytes([n]) * 20): record for n in range(40)}
    return replace(a_state(4), contents=contents)


def test_what_is_offered_can_be_fetched_piece_by_piece() -> None:
    """The pieces, gathered in any order, are the same snapshot in another folder."""
    source, copy = (Snapshots(MemoryDisk(), chain=CHAIN) for _ in range(2))
    source.save(a_large_state())
    offer = source.offered(Height(3))
    assert offer is not None
    name, count = offer.contents.name(), len(offer.contents.pieces)
    assert count > 2

    for index in reversed(range(count)):
        copy.gather(index, source.piece(name, index))
    found = copy.gathered(offer)
    assert found is not None
    gathered = list(found.rows)
    copy.adopt(offer)

    (true,), (adopted,) = (each.load(height_max=Height(4)) for each in (source, copy))
    assert gathered == list(true.rows) == list(adopted.rows)
    assert source.offered(Height(4)) is None, "it is not above that"
    assert source.piece(name, count) == b""
    assert source.piece(Hash(bytes(32)), 0) == b"", "nobody offered that"


def test_a_decayed_piece_is_not_given_away() -> None:
    """Who sent it would be banned for a lie."""
    disk = MemoryDisk()
    snapshots = Snapshots(disk, chain=CHAIN)
    snapshots.save(a_large_state())
    offer = snapshots.offered(Height(0))
    assert offer is not None
    disk.files[SLOTS[0]][-1] ^= 1

    last = len(offer.contents.pieces) - 1
    assert snapshots.piece(offer.contents.name(), last) == b""
    assert snapshots.piece(offer.contents.name(), 0) != b""


class MeteredDisk(MemoryDisk):
    """Remember the largest part that was ever asked for, or written, at once."""

    largest = 0

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = super().read(name, offset, length)
        self.largest = max(self.largest, len(data))
        return data

    def replace(self, name: str, data: bytes, more: Iterable[bytes] = ()) -> None:
        parts = [data, *more]
        self.largest = max(self.largest, *map(len, parts))
        super().replace(name, parts[0], parts[1:])


def test_no_state_is_held_in_memory_as_a_whole() -> None:
    """Its size is what a stranger says: two gigabytes, and nobody has proved them yet."""
    source, disk = Snapshots(MemoryDisk(), chain=CHAIN), MeteredDisk()
    source.save(a_large_state())
    offer = source.offered(Height(3))
    assert offer is not None
    copy, name = Snapshots(disk, chain=CHAIN), offer.contents.name()
    for index in range(len(offer.contents.pieces)):
        copy.gather(index, source.piece(name, index))

    found = copy.gathered(offer)
    assert found is not None
    assert list(found.rows)
    copy.adopt(offer)
    (kept,) = copy.load(height_max=Height(4))
    assert list(kept.rows)

    assert offer.contents.size > 2 * PIECE_BYTES
    assert disk.largest == PIECE_BYTES


@pytest.mark.parametrize("length", [1, ROW_BYTES_MAX + 1, 2**32 - 1])
def test_a_row_longer_than_any_is_not_waited_for(length: int) -> None:
    """Nor one that says it is longer than what is left of the body."""
    body = length.to_bytes(4, "big")
    snapshots, offer = Snapshots(MemoryDisk(), chain=CHAIN), offer_of(body, LINKS)
    snapshots.gather(0, body)

    assert snapshots.gathered(offer) is None


def test_pieces_that_are_missing_are_the_own_disk_s_fault() -> None:
    """What came was judged when it came, so nobody is called a liar for a hole."""
    snapshots = Snapshots(MemoryDisk(), chain=CHAIN)
    snapshots.gather(1, b"x")

    with pytest.raises(DiskUnavailableError):
        snapshots.gathered(offer_of(b"something else", LINKS))
    snapshots.forget_gathered()
    with pytest.raises(DiskUnavailableError):
        snapshots.gathered(offer_of(b"something else", LINKS))


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
    disk.files[SLOTS[0]][11] = VERSION + 1

    assert heights(disk) == []


class FullDisk(MemoryDisk):
    def replace(self, name: str, data: bytes, more: Iterable[bytes] = ()) -> None:
        size = len(data) + sum(map(len, more))
        raise DiskUnavailableError(f"no space left for {size} bytes of {name}")


def test_no_room_leaves_what_is_there() -> None:
    """The older ones are still offered."""
    disk = FullDisk()
    disk.files = kept(4, 6).files

    with pytest.raises(DiskUnavailableError):
        Snapshots(disk, chain=CHAIN).save(a_state(9))

    assert heights(disk) == [6, 4]
