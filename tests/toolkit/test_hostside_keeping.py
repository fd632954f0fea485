"""What an archive of data holds, and which archives a host refuses."""

import hashlib
import io
import json
import os
import shutil
import tarfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.deploys.hostside import keeping, leasing, services
from aitbc_toolkit.deploys.hostside.trouble import Trouble

pytestmark = pytest.mark.integration

GENESIS = b"{}"


def an_instance(folder: Path) -> dict[str, Any]:
    """Lay out a node's folders with data of every kind."""
    data, config = folder / "data", folder / "etc"
    (data / "run").mkdir(parents=True)
    config.mkdir()
    (config / "genesis.json").write_bytes(GENESIS)
    for name in ("blocks.log", "data_version", "index.db", "lock", "x.new", "sign_state", "a.key"):
        (data / name).write_text(name)
    return {"name": "v1", "data": str(data), "config": str(config), "current": str(folder / "cur")}


def an_archive(path: Path, *, member: str, manifest: dict[str, Any] | None = None) -> Path:
    """Write an archive with one member and a manifest."""
    about = {"format": 1, "node": "v1", "genesis_sha256": hashlib.sha256(GENESIS).hexdigest()}
    parts = {member: b"x", "manifest.json": json.dumps({**about, **(manifest or {})}).encode()}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_only_what_cannot_be_made_again_is_kept_and_never_a_secret(tmp_path: Path) -> None:
    """The index follows from the log; a key in the wrong folder and a planted link stay there."""
    data = Path(an_instance(tmp_path)["data"])
    (data / "link").symlink_to("/etc/passwd")

    kept = [path.name for path in keeping._lasting(data)]

    assert kept == ["blocks.log", "data_version"]


def test_what_is_appended_meanwhile_is_left_out(tmp_path: Path) -> None:
    """A file is copied up to the length that it has when its turn comes."""
    instance = an_instance(tmp_path)
    log = Path(instance["data"]) / "blocks.log"

    class Growing(tarfile.TarFile):
        def addfile(self, tarinfo: tarfile.TarInfo, fileobj: Any = None) -> None:
            with log.open("ab") as file:
                file.write(b"appended")
            super().addfile(tarinfo, fileobj)

    with Growing.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        size = keeping._add(archive, log)

    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        source = archive.extractfile("blocks.log")
        assert source is not None
        assert source.read() == b"blocks.log"
    assert size == len("blocks.log")


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    """The folder is the node's own: what it puts there must not hold root's step."""
    os.mkfifo(tmp_path / "blocks.log")

    with (
        tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive,
        pytest.raises(Trouble, match="is no file any more"),
    ):
        keeping._add(archive, tmp_path / "blocks.log")


@pytest.mark.parametrize("member", ["sign_state", "consensus.key", "../up", "/etc/passwd", "a/b"])
def test_an_archive_with_what_no_backup_has_is_refused(tmp_path: Path, member: str) -> None:
    """Neither sign state nor keys nor a way out of the folder."""
    path = an_archive(tmp_path / "a.tar.gz", member=member)
    (tmp_path / "to").mkdir()

    with pytest.raises(Trouble, match="which no backup of data has"):
        keeping._unpack(path, tmp_path / "to")


def test_a_backup_of_another_chain_is_refused(tmp_path: Path) -> None:
    """Data go on from the genesis that the node has, or not at all."""
    instance = an_instance(tmp_path)
    good = an_archive(tmp_path / "a.tar.gz", member="blocks.log")
    other = an_archive(
        tmp_path / "b.tar.gz", member="blocks.log", manifest={"genesis_sha256": "other"}
    )
    (tmp_path / "to").mkdir()

    keeping._refuse_other_chain(instance, keeping._unpack(good, tmp_path / "to"))
    with pytest.raises(Trouble, match="of a chain with another genesis"):
        keeping._refuse_other_chain(instance, keeping._unpack(other, tmp_path / "to"))


class StandInManager:
    """Keep what a manager was told; `trouble` is what its next stop ends with."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.trouble = ""

    def stop(self, _instance: dict[str, Any]) -> None:
        """Stop, or fail once."""
        said, self.trouble = self.trouble, ""
        if said:
            raise Trouble(said)
        self.told.append("stop")

    def start(self, _instance: dict[str, Any]) -> None:
        """Start."""
        self.told.append("start")


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> StandInManager:
    """Let restores work without a lease, on a node that a stand-in manages."""
    made = StandInManager()
    monkeypatch.setattr(leasing, "guarded", lambda _params: nullcontext())
    monkeypatch.setattr(services, "manager", lambda _params: made)
    return made


def a_restore(folder: Path, instance: dict[str, Any]) -> dict[str, Any]:
    """Write the parameters of a restore, with the archive that the operator sends each time."""
    archive = an_archive(folder / "sent.tar.gz", member="blocks.log")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return {"instances": [instance], "archive": str(archive), "sha256": digest, "run_as": ""}


class Killed(BaseException):
    """Say that the process was killed here: it does nothing any more."""


def killed_at(rename: int, patch: pytest.MonkeyPatch) -> None:
    """Let a process die just before one of its renames."""
    left, real_rename, real_rmtree = [rename], os.rename, shutil.rmtree

    def dying(source: Any, target: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        real_rename(source, target)

    def removing(path: Any, **more: Any) -> None:
        if left[0] < 0:
            raise Killed
        real_rmtree(path, **more)

    patch.setattr(os, "rename", dying)
    patch.setattr(shutil, "rmtree", removing)


@pytest.mark.parametrize("rename", [0, 1, 2])
def test_a_restore_that_was_killed_is_repeated_and_loses_no_data(
    tmp_path: Path, manager: StandInManager, monkeypatch: pytest.MonkeyPatch, rename: int
) -> None:
    """Killed before each of its renames: the next one ends well and keeps what was there."""
    instance = an_instance(tmp_path)
    data = Path(instance["data"])
    with monkeypatch.context() as patch:
        killed_at(rename, patch)
        with pytest.raises(Killed):
            keeping.restore(a_restore(tmp_path, instance))

    answer = keeping.restore(a_restore(tmp_path, instance))

    assert (data / "blocks.log").read_text() == "x"
    assert (Path(answer["kept"]) / "blocks.log").read_text() == "blocks.log"
    assert manager.told[-1] == "start"


def test_a_second_restore_keeps_what_the_first_has_kept(
    tmp_path: Path, manager: StandInManager
) -> None:
    """Each restore puts the data that were there into a folder of its own, and removes none."""
    instance = an_instance(tmp_path)
    data = Path(instance["data"])
    kept = []
    for mark in ("first", "second", "third"):
        (data / "blocks.log").write_text(mark)
        kept.append(Path(keeping.restore(a_restore(tmp_path, instance))["kept"]))
    shutil.rmtree(kept[1])
    kept.append(Path(keeping.restore(a_restore(tmp_path, instance))["kept"]))

    names = [path.name for path in kept]
    assert names == [f"data.before-restore{more}" for more in ("", "-2", "-3", "-4")]
    assert (kept[0] / "blocks.log").read_text() == "first"
    assert (kept[2] / "blocks.log").read_text() == "third"
    assert manager.told == ["stop", "start"] * 4


def test_a_restore_that_fails_leaves_the_node_running_on_its_data(
    tmp_path: Path, manager: StandInManager
) -> None:
    """A node that does not stop in time goes on as it was; a later restore is not in its way."""
    instance = an_instance(tmp_path)
    data = Path(instance["data"])
    manager.trouble = "it did not end within 60 s"
    with pytest.raises(Trouble, match="did not end"):
        keeping.restore(a_restore(tmp_path, instance))
    after = (data / "blocks.log").read_text(), list(manager.told)

    keeping.restore(a_restore(tmp_path, instance))

    assert after == ("blocks.log", ["start"])
    assert (data / "blocks.log").read_text() == "x"
