"""A lab that was up and is down: its record is there still, and not one of its hosts answers."""

import json
import subprocess
from pathlib import Path

import pytest
from checkout_copy import Checkout, copy_checkout

from aitbc_toolkit.errors import Exit

NOT_THERE = "error: lab lab is not there: none of its 4 hosts answers"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Copy the checkout, with the record that `down lab` leaves of a lab."""
    copied = copy_checkout(tmp_path_factory.mktemp("checkout") / "aitbc")
    git = ["git", "-C", str(copied.root), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "inventories"], ["commit", "-q", "-m", "a commit"]):
        subprocess.run([*git, *words], check=True)
    write_record(copied.root / ".aitbc" / "labs" / "lab")
    return copied


def write_record(folder: Path) -> None:
    """Write where the hosts of a lab were: addresses of this machine at which nobody listens."""
    folder.mkdir(parents=True)
    key = folder / "root_ed25519"
    hosts = [
        {"name": f"lab{number}", "ipv4": f"127.91.0.{number}", "ipv6": "", "port": 1}
        for number in range(1, 5)
    ]
    document = {"folder": str(folder), "hosts": [{**each, "key": str(key)} for each in hosts]}
    (folder / "lab.json").write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.proves("E53")
@pytest.mark.parametrize("words", [["status"], ["deploy", "status"], ["deploy"], ["rollback"]])
def test_a_lab_that_is_down_is_named_with_how_it_comes_up(
    checkout: Checkout, words: list[str]
) -> None:
    """Whichever command meets it, and though the hosts were dialled early: 69, nothing unknown."""
    # A command dials early only where earlier ones left a folder.
    (checkout.root / ".aitbc" / "envs" / "lab").mkdir(parents=True, exist_ok=True)

    ran = checkout.aitbc(*words, "lab")

    assert NOT_THERE in ran.stderr.splitlines()
    assert ran.stderr.splitlines()[-1].removeprefix("hint: ") == "aitbc up lab"
    assert "unknown" not in ran.stderr
    assert ran.returncode == Exit.UNREACHABLE
