"""The append log: what a crash may do to it and what damage looks like."""

import pytest

from aitbc_node.errors import ConfigError, DiskError
from aitbc_node.storage.log import Log
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.types import Hash

CHAIN = Hash(b"\x01" * 32)
SALT = b"\x02" * 16


def a_log(disk: MemoryDisk, *, salt: bytes = SALT, chain: Hash = CHAIN) -> tuple[Log, list[bytes]]:
    """Open a log and return it with its payloads."""
    log = Log(disk, "log")
    return log, [entry.payload for entry in log.open(chain=chain, salt=salt)]


def a_log_with(disk: MemoryDisk, *payloads: bytes, synced: bool) -> Log:
    """Open a log and append to it."""
    log, _ = a_log(disk)
    for payload in payloads:
        log.append(1, payload)
        if synced:
            log.sync()
    return log


def test_what_was_appended_is_read_back_in_order() -> None:
    """Records survive a restart with their order, bytes and kinds."""
    disk = MemoryDisk()
    log, _ = a_log(disk)
    offsets = [log.append(kind, b"part", bytes([kind])) for kind in (1, 2, 3)]

    reopened = Log(disk, "log")
    entries = list(reopened.open(chain=CHAIN, salt=b"\x09" * 16))

    assert [(entry.kind, entry.payload) for entry in entries] == [
        (1, b"part\x01"),
        (2, b"part\x02"),
        (3, b"part\x03"),
    ]
    assert [reopened.read(offset) for offset in offsets] == entries
    assert reopened.bytes_cut == 0


@pytest.mark.parametrize("size", [10, 4_095, 4_096, 4_097, 70_000])
def test_a_record_of_parts_is_that_of_the_whole(size: int) -> None:
    """However long its last part is, which decides how it is hashed, the bytes are the same."""
    parts = b"id", b"height", b"\x5a" * size
    disk, other = MemoryDisk(), MemoryDisk()
    a_log(disk)[0].append(1, *parts)
    a_log(other)[0].append_all(1, (b"".join(parts),))

    assert disk.files == other.files
    assert a_log(disk)[1] == [b"".join(parts)]


def test_a_tail_torn_at_any_byte_is_cut_and_nothing_else() -> None:
    """Whatever prefix of the last record reached the disk, the records before it stay."""
    disk = MemoryDisk()
    log = a_log_with(disk, b"one", b"two", synced=True)
    whole, before = bytes(disk.files["log"]), log.end
    log.append(1, b"the third record")

    for size in range(before, len(disk.files["log"])):
        torn = MemoryDisk()
        torn.files["log"] = bytearray(disk.files["log"][:size])
        reopened, payloads = a_log(torn)

        assert payloads == [b"one", b"two"], f"torn at byte {size}"
        assert bytes(torn.files["log"]) == whole
        assert reopened.bytes_cut == size - before


def test_unsynced_records_may_come_back_in_any_part() -> None:
    """A hole in front of a good record is a torn tail when no sync had covered the hole."""
    disk = MemoryDisk()
    log = a_log_with(disk, b"synced", synced=True)
    hole_from = log.append(1, b"lost with the power")
    hole_to = log.append(1, b"kept by chance")
    disk.files["log"][hole_from:hole_to] = bytes(hole_to - hole_from)

    _, payloads = a_log(disk)

    assert payloads == [b"synced"]


@pytest.mark.parametrize("part", ["head", "payload"])
def test_damage_under_later_synced_records_is_refused(part: str) -> None:
    """A record written after a sync proves that the damaged place was good once."""
    disk = MemoryDisk()
    log, _ = a_log(disk)
    damaged = log.append(1, b"precious")
    log.sync()
    log.append(1, b"later")
    disk.files["log"][damaged + (6 if part == "head" else 34)] ^= 1
    before = bytes(disk.files["log"])

    with pytest.raises(DiskError, match="good records behind it"):
        a_log(disk)

    assert bytes(disk.files["log"]) == before, "a refused log is left as evidence"


def test_a_record_hidden_in_a_payload_is_not_taken_for_one() -> None:
    """A client cannot plant bytes in a transaction that make a torn log look damaged."""
    elsewhere = MemoryDisk()
    other, _ = a_log(elsewhere, salt=b"\x07" * 16)
    other.append(1, b"x" * 100)
    other.sync()
    planted_at = other.append(1, b"planted")
    planted = bytes(elsewhere.files["log"][planted_at:])
    disk = MemoryDisk()
    log = a_log_with(disk, b"one", synced=True)
    torn_at = log.append(1, b"y" * (planted_at - log.end - 32) + planted)
    disk.files["log"][torn_at] ^= 1

    _, payloads = a_log(disk)

    assert payloads == [b"one"]


def test_a_log_can_be_appended_to_after_a_repair() -> None:
    """The new record stands where the torn one stood."""
    disk = MemoryDisk()
    a_log_with(disk, b"one", b"two", synced=True)
    del disk.files["log"][-1:]

    log, _ = a_log(disk)
    log.append(1, b"three")
    _, payloads = a_log(disk)

    assert payloads == [b"one", b"three"]


def test_a_failed_write_leaves_no_trace() -> None:
    """A write that the disk cut short is overwritten by its repetition."""

    class FullDisk(MemoryDisk):
        is_full = False

        def write_at(self, name: str, offset: int, data: bytes) -> None:
            if self.is_full:
                super().write_at(name, offset, data[: len(data) // 2])
                raise DiskError("no space left")
            super().write_at(name, offset, data)

    disk = FullDisk()
    log = a_log_with(disk, b"one", synced=True)
    disk.is_full = True
    with pytest.raises(DiskError):
        log.append(1, b"a long second record")
    disk.is_full = False
    log.append(1, b"two")

    _, payloads = a_log(disk)

    assert payloads == [b"one", b"two"]


def test_many_records_are_one_write() -> None:
    """What is handed over together costs the disk one call, and is read back record by record."""
    calls = []

    class CountingDisk(MemoryDisk):
        def write_at(self, name: str, offset: int, data: bytes) -> None:
            calls.append(len(data))
            super().write_at(name, offset, data)

    disk = CountingDisk()
    log = a_log_with(disk, b"before", synced=True)
    calls.clear()

    first = log.append_all(2, [b"one", b"", b"three"])

    assert len(calls) == 1
    assert log.read(first).payload == b"one"
    log.append(1, b"behind")
    _, payloads = a_log(disk)
    assert payloads == [b"before", b"one", b"", b"three", b"behind"]


def test_another_chain_and_a_newer_version_are_refused() -> None:
    """Data of another genesis or of a later build are named as such, not read."""
    disk = MemoryDisk()
    a_log(disk)

    with pytest.raises(ConfigError, match="genesis 0101"):
        a_log(disk, chain=Hash(b"\x03" * 32))
    disk.files["log"][11] = 2
    with pytest.raises(ConfigError, match="log format 2"):
        a_log(disk)


def test_a_damaged_head_is_refused() -> None:
    """Without its salt no record of a log can be judged."""
    disk = MemoryDisk()
    a_log(disk)
    disk.files["log"][20] ^= 1

    with pytest.raises(DiskError, match="head is damaged"):
        a_log(disk)


def test_damage_after_the_start_is_seen_when_reading() -> None:
    """Every read checks its record again."""
    disk = MemoryDisk()
    log, _ = a_log(disk)
    offset = log.append(1, b"payload")
    disk.files["log"][-1] ^= 1

    with pytest.raises(DiskError, match="damaged"):
        log.read(offset)
