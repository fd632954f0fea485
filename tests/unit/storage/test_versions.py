"""The data folder names its version, and a build that does not know it stays out."""

import pytest

from aitbc_node.codes import Code, Refusal
from aitbc_node.errors import ConfigError, DiskError, Exit
from aitbc_node.events import FinalizeAsked, Finalized, SaveDataVersion
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.store import Recovered, Store
from aitbc_node.storage.versions import FILE_NAME, DataVersions
from aitbc_sim.pump import Pump

OLD, NEW, NEWEST = DataVersions(1, 1), DataVersions(1, 2), DataVersions(2, 3)


def recovered(disk: MemoryDisk, known: DataVersions) -> Recovered:
    """Start a build that knows these versions on a folder."""
    return Store(disk, None, versions=known).recover()


def finalized(disk: MemoryDisk, known: DataVersions, version: int) -> None:
    """Have a build write a version from now on."""
    store = Store(disk, None, versions=known)
    store.recover()
    store.run(SaveDataVersion(version))


def test_a_newer_build_writes_the_old_version_until_told() -> None:
    """A folder made by the old build stays one that the old build can read."""
    disk = MemoryDisk()
    recovered(disk, OLD)

    found = recovered(disk, NEW)

    assert (found.data_version, found.data_version_max) == (1, 2)
    assert recovered(disk, OLD).data_version == 1


@pytest.mark.parametrize("known", [OLD, NEW, NEWEST])
def test_a_new_folder_begins_with_the_oldest_version(known: DataVersions) -> None:
    """What a fresh node writes can be read by as many builds as possible."""
    disk = MemoryDisk()

    assert recovered(disk, known).data_version == known.oldest
    assert recovered(disk, known).data_version == known.oldest


def test_check_06_the_old_build_never_starts_on_newer_data() -> None:
    """After `finalize` the old build refuses with status 78, naming both versions and a way out."""
    disk = MemoryDisk()
    recovered(disk, OLD)
    finalized(disk, NEW, 2)
    before = {name: bytes(data) for name, data in disk.files.items()}

    with pytest.raises(ConfigError) as caught:
        recovered(disk, OLD)

    assert caught.value.exit_status == Exit.CONFIG
    assert caught.value.message == "the data folder is in data version 2, this build reads 1"
    assert "release that knows it" in caught.value.hint
    assert {name: bytes(data) for name, data in disk.files.items()} == before
    assert recovered(disk, NEW).data_version == 2
    assert recovered(disk, NEWEST).data_version == 2


def test_a_build_that_dropped_the_old_reader_refuses_old_data() -> None:
    """Skipping a release is noticed before anything is read."""
    disk = MemoryDisk()
    recovered(disk, OLD)

    with pytest.raises(ConfigError, match="data version 1, this build reads 2 to 3") as caught:
        recovered(disk, NEWEST)

    assert "release before this one" in caught.value.hint


@pytest.mark.parametrize("text", [b"", b"two\n", b"-1\n", b"1.5\n"])
def test_a_damaged_version_is_not_guessed(text: bytes) -> None:
    """Nobody knows which build may read such a folder."""
    disk = MemoryDisk()
    recovered(disk, OLD)
    disk.replace(FILE_NAME, text)

    with pytest.raises(DiskError, match="not a data version"):
        recovered(disk, NEW)


def a_mesh(newest: int) -> Pump:
    """Run a sole validator whose build writes up to this version."""
    pump = Pump(powers=(1,), versions=DataVersions(1, newest)).start()
    pump.run_to(2)
    return pump


def told(pump: Pump, version: int) -> object:
    """Order a version and return the answer."""
    return pump.answer(0, pump.order(0, FinalizeAsked, data_version=version))


def test_finalize_is_written_and_survives_a_restart() -> None:
    """The answer comes behind the write; after a restart the node still writes the new version."""
    pump = a_mesh(newest=2)
    assert pump.machine(0).view.data_version == 1

    answer = told(pump, 2)
    pump.restart(0)

    assert answer == Finalized(2)
    assert pump.machine(0).view.data_version == 2
    assert told(pump, 2) == Finalized(2)
    written = [effect for effect in pump.nodes[0].persisted if isinstance(effect, SaveDataVersion)]
    assert written == [SaveDataVersion(2)], "it was written once"


def test_finalize_goes_neither_back_nor_beyond() -> None:
    """A version that is lower than the present, or unknown to this build, is a conflict."""
    pump = a_mesh(newest=2)
    told(pump, 2)

    for wrong in (1, 3):
        answer = told(pump, wrong)
        assert isinstance(answer, Refusal)
        assert (answer.code, answer.field) == (Code.E_CONFLICT, "data_version")
    assert pump.machine(0).view.data_version == 2
