"""Real files: the same promises as memory, plus locks, modes and errors of a real disk."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aitbc_node.errors import AitbcError, ConfigError, DiskError, Exit
from aitbc_node.storage import files as files_module
from aitbc_node.storage.disk import Disk, DiskUnavailableError
from aitbc_node.storage.files import FileDisk, ReadOnlyFiles
from aitbc_node.storage.memory import MemoryDisk

pytestmark = pytest.mark.integration


@pytest.fixture(params=["files", "memory"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    """Return an empty disk of each kind."""
    return FileDisk(tmp_path) if request.param == "files" else MemoryDisk()


@pytest.mark.proves("C6")
def test_both_kinds_keep_the_same_promises(disk: Disk) -> None:
    """Reading, writing at places, gaps, cutting and replacing mean the same on each."""
    assert (disk.exists("a"), disk.size("a"), disk.read("a")) == (False, 0, b"")

    disk.write_at("a", 0, b"hello")
    disk.write_at("a", 3, b"p!")
    disk.write_at("a", 8, b"end")
    disk.sync("a")
    disk.sync_folder()
    assert (disk.exists("a"), disk.size("a")) == (True, 11)
    assert disk.read("a") == b"help!\0\0\0end"
    assert (disk.read("a", 3, 4), disk.read("a", 8, 99), disk.read("a", 50, 5)) == (
        b"p!\0\0",
        b"end",
        b"",
    )

    disk.truncate("a", 4)
    assert disk.read("a") == b"help"
    disk.replace("a", b"new")
    disk.write_at("a", 3, b"er")
    assert disk.read("a") == b"newer"
    disk.replace("b", b"")
    assert disk.exists("b")


def test_a_folder_is_locked_against_a_second_user(tmp_path: Path) -> None:
    """The same key or data never run twice; closing, or dying, lets go."""
    first, second = FileDisk(tmp_path / "keys"), FileDisk(tmp_path / "keys")
    first.lock()

    with pytest.raises(AitbcError, match="in use") as caught:
        second.lock()
    assert caught.value.exit_status == Exit.BUSY

    first.close()
    second.lock()
    second.close()


def test_files_and_folder_are_for_their_owner_only(tmp_path: Path) -> None:
    """The sign state is not even readable by others."""
    disk = FileDisk(tmp_path / "keys")
    disk.lock()
    disk.replace("sign_state", b"x")
    disk.write_at("other", 0, b"x")

    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()}

    assert modes == {"lock": 0o600, "sign_state": 0o600, "other": 0o600}
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    disk.close()


def failing_with(number: int) -> Callable[..., int]:
    """Return a system call that fails."""

    def call(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_or_read_only_disk_may_heal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The error says that the same write may be tried again."""
    disk = FileDisk(tmp_path)
    monkeypatch.setattr(files_module.os, "pwrite", failing_with(number))

    with pytest.raises(DiskUnavailableError, match="cannot write"):
        disk.write_at("a", 0, b"x")


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_failed_sync_never_heals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Whatever its reason, after it nobody knows what is on the disk."""
    disk = FileDisk(tmp_path)
    disk.write_at("a", 0, b"x")
    monkeypatch.setattr(files_module.os, "fdatasync", failing_with(number))

    with pytest.raises(DiskError, match="sync failed") as caught:
        disk.sync("a")
    assert not isinstance(caught.value, DiskUnavailableError)


def test_any_other_trouble_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input/output error is not waited out; missing rights are the operator's to mend."""
    disk = FileDisk(tmp_path)
    disk.write_at("a", 0, b"x")
    monkeypatch.setattr(files_module.os, "pread", failing_with(errno.EIO))
    with pytest.raises(DiskError, match="cannot read"):
        disk.read("a")

    monkeypatch.setattr(files_module.os, "open", failing_with(errno.EACCES))
    with pytest.raises(ConfigError, match="Permission denied"):
        disk.write_at("b", 0, b"x")


def test_a_short_write_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may take less than it was given."""
    real = os.pwrite
    monkeypatch.setattr(files_module.os, "pwrite", lambda file, data, at: real(file, data[:3], at))
    disk = FileDisk(tmp_path)

    disk.write_at("a", 0, b"0123456789")

    assert disk.read("a") == b"0123456789"


def test_a_file_that_is_open_is_not_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is written to for every hand-in: asking for its name each time is in vain."""
    disk = FileDisk(tmp_path)
    disk.write_at("a", 0, b"x")
    asked: list[str] = []
    monkeypatch.setattr(disk, "exists", asked.append)

    disk.write_at("a", 1, b"y")

    assert asked == []
    assert (tmp_path / "a").read_bytes() == b"xy"


def test_what_syncing_costs_is_counted(tmp_path: Path) -> None:
    """Count and time are there for the metrics."""
    disk = FileDisk(tmp_path)
    disk.write_at("a", 0, b"x")
    disk.sync("a")
    disk.sync("a")

    assert disk.sync_count == 2
    assert disk.sync_ns > 0


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """An inspection neither writes nor creates, and says so when nothing is there."""
    (tmp_path / "a").write_bytes(b"abc")
    looking = ReadOnlyFiles(tmp_path)

    assert looking.read("a") == b"abc"
    looking.truncate("a", 0)
    looking.sync("a")
    with pytest.raises(DiskError, match="no such file"):
        looking.replace("b", b"x")
    with pytest.raises(AssertionError):
        looking.write_at("a", 0, b"x")

    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"abc"


def test_a_file_that_could_not_be_replaced_costs_no_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old content stays, and what was written of the new is given back to the disk."""
    disk = FileDisk(tmp_path)
    disk.replace("journal", b"old")
    pwrite = os.pwrite

    def fill_up(file: int, data: bytes, offset: int) -> int:
        if offset >= 1_000:
            raise OSError(errno.ENOSPC, "no space left")
        return pwrite(file, bytes(data)[: 1_000 - offset], offset)

    monkeypatch.setattr(os, "pwrite", fill_up)
    with pytest.raises(DiskUnavailableError):
        disk.replace("journal", bytes(5_000))

    assert disk.read("journal") == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["journal"]
    monkeypatch.undo()
    disk.replace("journal", b"new")
    assert disk.read("journal") == b"new"


def test_how_full_the_disk_is_lies_between_nothing_and_all(tmp_path: Path) -> None:
    """What is kept back for root counts as used up: a node is not root."""
    told, ratio = os.statvfs(tmp_path), FileDisk(tmp_path).used_ratio()

    assert 0 < ratio <= 1
    assert ratio >= (told.f_blocks - told.f_bfree) / told.f_blocks - 0.01
