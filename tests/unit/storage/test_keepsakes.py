"""What helps a node after a restart is on the disk, and does no harm when it is damaged."""

from collections.abc import Callable

import pytest

from aitbc_node.events import SaveBans, SaveEvidence, SavePeers
from aitbc_node.storage.keepsakes import ACQUAINTANCES, BANS, EVIDENCE, Keepsake
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.store import Store

EACH = pytest.mark.parametrize(
    "keepsake", [EVIDENCE, ACQUAINTANCES, BANS], ids=lambda kept: kept.name
)


def test_what_was_kept_comes_back_after_a_restart() -> None:
    """In the place of what was kept before."""
    disk = MemoryDisk()
    store = Store(disk, None)
    store.recover()
    for raws in ((b"one",), (b"one", b"two")):
        store.run(SaveEvidence(raws))
        store.run(SavePeers((*raws, b"three")))
        store.run(SaveBans((*raws, b"four")))

    recovered = Store(disk, None).recover()

    assert recovered.evidence == (b"one", b"two")
    assert recovered.peers == (b"one", b"two", b"three")
    assert recovered.bans == (b"one", b"two", b"four")
    assert not recovered.is_peers_file_damaged
    assert not recovered.is_bans_file_damaged


@EACH
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda _data: b"",
    ],
)
def test_a_damaged_file_stops_nobody(keepsake: Keepsake, damage: Callable[[bytes], bytes]) -> None:
    """It can be found out again; no node stays down for it, but one says that it has forgotten."""
    disk = MemoryDisk()
    keepsake.write(disk, (b"one",))
    disk.replace(keepsake.name, damage(disk.read(keepsake.name)))

    recovered = Store(disk, None).recover()

    assert keepsake.read(disk) is None
    assert recovered.evidence == recovered.peers == recovered.bans == ()
    assert recovered.is_peers_file_damaged == (keepsake is ACQUAINTANCES)
    assert recovered.is_bans_file_damaged == (keepsake is BANS)


@EACH
def test_a_folder_without_the_file_has_none(keepsake: Keepsake) -> None:
    """Folders of older releases have none."""
    assert keepsake.read(MemoryDisk()) == ()
