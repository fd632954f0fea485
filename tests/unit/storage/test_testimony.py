"""What others were seen to sign twice is on the disk until a block shows it."""

import pytest

from aitbc_node.events import SaveEvidence
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.store import Store
from aitbc_node.storage.testimony import FILE_NAME, read_evidence, write_evidence


def test_what_was_kept_comes_back_after_a_restart() -> None:
    """In the place of what was kept before."""
    disk = MemoryDisk()
    store = Store(disk, None)
    store.recover()
    for raws in ((b"one",), (b"one", b"two")):
        store.run(SaveEvidence(raws))

    assert Store(disk, None).recover().evidence == (b"one", b"two")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda _data: b"",
    ],
)
def test_a_damaged_file_stops_nobody(damage: object) -> None:
    """Others have seen the same; a node must not stay down for it."""
    disk = MemoryDisk()
    write_evidence(disk, (b"one",))
    disk.replace(FILE_NAME, damage(disk.read(FILE_NAME)))  # type: ignore[operator]

    assert read_evidence(disk) == ()


def test_a_folder_without_the_file_has_none() -> None:
    """Folders of older releases have none."""
    assert read_evidence(MemoryDisk()) == ()
