"""A firewall on trial, on a host whose nft and systemd are scripts that write down what they do."""

import subprocess
from pathlib import Path

import pytest

from aitbc_toolkit.deploys.hostside import bootstrapping
from aitbc_toolkit.deploys.hostside.trouble import Trouble

pytestmark = pytest.mark.integration


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that is the host; `refuses` in it lets nft refuse every rule."""
    programs = tmp_path / "bin"
    programs.mkdir()
    scripts = {
        "nft": f'echo "$*" >> {tmp_path}/nft; [ "$1" != --check ] || [ ! -e {tmp_path}/refuses ]',
        "systemd-run": f'for last; do :; done; echo "$last" > {tmp_path}/undo',
        "systemctl": "true",
    }
    for name, text in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(bootstrapping, "_ETC", tmp_path)
    monkeypatch.setattr(bootstrapping, "_FIREWALL", tmp_path / "firewall.nft")
    monkeypatch.setattr(bootstrapping, "_PENDING", tmp_path / "firewall.nft.new")
    return tmp_path


def asked_for(ports: str) -> list[str]:
    """Ask for a firewall with these ports; return what was changed."""
    texts = {"firewall": "rules", "ports_name": "staging.nft", "ports": ports}
    return list(bootstrapping._firewall(texts))


def ports_of(host: Path) -> Path:
    """Find the ports that the rules include."""
    return host / "firewall.d" / "staging.nft"


def with_firewall(host: Path) -> None:
    """Bring a host to a confirmed firewall."""
    assert asked_for("old") == ["firewall"]
    bootstrapping._settle(ports_of(host))
    (host / "nft").unlink()


def test_a_confirmed_firewall_is_no_change(host: Path) -> None:
    """The second run loads nothing, and other ports are a change again."""
    with_firewall(host)

    assert asked_for("old") == []
    assert asked_for("new") == ["firewall"]


def test_rules_that_nft_refuses_leave_the_ports_as_they_were(host: Path) -> None:
    """The next run does not take them for loaded, and a reboot does not load them."""
    with_firewall(host)
    (host / "refuses").touch()

    with pytest.raises(Trouble, match="nft --check"):
        asked_for("new")

    assert ports_of(host).read_text() == "old"
    assert not bootstrapping._PENDING.exists()
    (host / "refuses").unlink()
    assert asked_for("new") == ["firewall"]


def test_a_trial_that_nobody_confirms_takes_the_ports_back_too(host: Path) -> None:
    """The rules of before include the ports of before, not those on trial."""
    with_firewall(host)
    asked_for("new")
    assert ports_of(host).read_text() == "new"

    subprocess.run(["sh", "-c", (host / "undo").read_text()], check=True)

    assert ports_of(host).read_text() == "old"
    assert (host / "nft").read_text().splitlines()[-1] == f"-f {host}/firewall.nft"
    assert asked_for("new") == ["firewall"]


def test_a_trial_that_was_repeated_goes_back_to_what_was_confirmed(host: Path) -> None:
    """Rules that are still pending are no change to skip, and never what one goes back to."""
    with_firewall(host)
    asked_for("new")

    assert asked_for("new") == ["firewall"]
    subprocess.run(["sh", "-c", (host / "undo").read_text()], check=True)

    assert ports_of(host).read_text() == "old"
