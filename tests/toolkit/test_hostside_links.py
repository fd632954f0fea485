"""Root writes on hosts: links that a node's user planted lead nowhere, a kill tears nothing."""

import getpass
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aitbc_toolkit.deploys.hostside import files, keeping, staging

pytestmark = pytest.mark.integration

# The bytes are in the file by then, and nothing says yet that they are on the disk.
_KILLED_AT_ITS_FSYNC = """
import os, signal, sys
from pathlib import Path
from aitbc_toolkit.deploys.hostside import files
os.fsync = lambda _descriptor: os.kill(os.getpid(), signal.SIGKILL)
files.write(Path(sys.argv[1]), "half of the new one")
"""


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Give a file that no node may change."""
    path = tmp_path / "victim"
    path.write_text("as it was")
    return path


def test_a_planted_link_is_not_written_through(tmp_path: Path, victim: Path) -> None:
    """The name under which a token is made first can be guessed; whoever links it gains nothing."""
    token = tmp_path / "keys" / "admin.token"
    token.parent.mkdir()
    token.with_name(f".admin.token.{os.getpid()}.new").symlink_to(victim)
    token.symlink_to(tmp_path / "elsewhere")

    staging._admin_token(token, user=getpass.getuser())

    assert victim.read_text() == "as it was"
    assert not (tmp_path / "elsewhere").exists()
    assert stat.S_IMODE(token.lstat().st_mode) == 0o600
    assert token.is_file()
    assert not token.is_symlink()


def test_a_link_that_is_put_there_in_between_ends_the_write(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between clearing the name and making the file, the link wins the name and nothing else."""
    path, real = tmp_path / "token", Path.unlink

    def too_late(self: Path, *, missing_ok: bool = False) -> None:
        real(self, missing_ok=missing_ok)
        self.symlink_to(victim)

    monkeypatch.setattr(Path, "unlink", too_late)
    with pytest.raises(FileExistsError):
        files.write(path, "secret")

    assert victim.read_text() == "as it was"


def test_owners_are_changed_of_links_and_not_of_what_they_lead_to(tmp_path: Path) -> None:
    """A link to nowhere shows it: whoever followed it would not arrive."""
    folder = tmp_path / "restored"
    folder.mkdir()
    (folder / "blocks.log").symlink_to(tmp_path / "nowhere")

    keeping._own(folder, getpass.getuser())

    assert (folder / "blocks.log").is_symlink()


def test_check_19_a_kill_while_a_file_is_written_leaves_the_old_one(tmp_path: Path) -> None:
    """A writer that ends before its bytes are safe has changed nothing; the next one is whole."""
    path = tmp_path / "node.toml"
    files.write(path, "as it was")

    argv = [sys.executable, "-c", _KILLED_AT_ITS_FSYNC, str(path)]
    killed = subprocess.run(argv, check=False, capture_output=True)

    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert path.read_text() == "as it was"
    assert files.write(path, "as it shall be")
    assert path.read_text() == "as it shall be"
