"""What an archive of data holds, and which archives a host refuses."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.deploys.hostside import keeping
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
    """The index follows from the log; a key that lies in the wrong folder stays there."""
    kept = [path.name for path in keeping._lasting(Path(an_instance(tmp_path)["data"]))]

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
