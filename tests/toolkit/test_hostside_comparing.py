"""A host tries two builds on each other: real builds, real blocks, no node that runs."""

import sys
from pathlib import Path
from typing import Any

import pytest
from checkout_copy import copy_code
from pretend_hosts import PretendHosts

from aitbc_node.events import AppendBlock, AppendCertificate
from aitbc_node.ledger.document import to_json
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.storage.files import FileDisk
from aitbc_node.storage.store import Store
from aitbc_node.types import Height
from aitbc_sim.pump import Pump
from aitbc_toolkit import paths

pytestmark = pytest.mark.integration

BLOCKS = 1  # the next ones have signatures inside, and those of virtual time are not real
TRIAL = {
    "old": "old",
    "new": "new",
    "key": "0" * 32,
    "blocks": 200,
    "replay_s": 20,
    "shake_s": 10,
    "data_version": 1,
    "app_version": 1,
}


class Host:
    """Be a host with an old and a new build, and a node whose data hold some blocks."""

    def __init__(self, root: Path) -> None:
        self.hosts = PretendHosts(root, ("a",))
        self.releases = Path(self.hosts.params("a")["layout"]["base"]) / "releases"
        self.data, self.config = root / "data", root / "etc"
        self.config.mkdir()
        for name in ("old", "new"):
            source = paths.project_root() / "node" / "aitbc_node"
            copy_code(source, self.releases / name / "node" / "aitbc_node")
            python = self.releases / name / "venv" / "bin" / "python"
            python.parent.mkdir(parents=True)
            # Not a link: where it lies says which packages an interpreter has.
            python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
            python.chmod(0o755)

    def keep_blocks(self) -> None:
        """Put the blocks of a mesh on virtual time into the node's data."""
        pump = Pump().start()
        pump.run_to(BLOCKS)
        made, kept = pump.nodes[0].store, FileDisk(self.data)
        kept.lock()
        store = Store(kept, None, chain=pump.genesis.hash())
        store.recover()
        assert made is not None
        for final in made.read_blocks(Height(1), Height(BLOCKS)):
            store.run(AppendBlock(final.certificate.block_id, final.block))
            store.run(AppendCertificate(final.certificate))
        kept.close()
        for name in ("old", "new"):  # its validators have no real keys
            self.edit(
                name,
                "ledger/genesis.py",
                "if not verify(entry.key,",
                "if not (lambda *_: True)(entry.key,",
            )
        (self.config / "genesis.json").write_text(to_json(pump.genesis))

    def edit(self, build: str, file: str, before: str, after: str) -> None:
        """Make a build another one."""
        path = self.releases / build / "node" / "aitbc_node" / file
        text = path.read_text()
        assert before in text, f"{file} has no {before}"
        path.write_text(text.replace(before, after))

    def compare(self, **changes: Any) -> dict[str, Any]:
        """Run the step; return what it found."""
        lease = self.hosts.lease("deploy")
        lease.acquire()
        node = {"name": "v1", "data": str(self.data), "config": str(self.config)}
        more = {**TRIAL, **changes, "instances": [node]}
        row = self.hosts.run("compare", "a", lease.words(deadline_s=120), **more)
        lease.release()
        assert row.ok, row.error
        return dict(row.answer)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Lay out one host."""
    return Host(tmp_path)


def test_what_is_sent_only_to_who_reads_it_keeps_no_build_out(host: Host) -> None:
    """The old build knows no such message and says so; the new one never sends it one."""
    host.edit("old", "gossip/messages.py", 'tag="letters"', 'tag="unknown yet"')
    host.edit("old", "gossip/messages.py", 'READS_LETTERS = "+letters"', 'READS_LETTERS = ""')
    host.edit("old", "examples.py", "    yield messages.Letters(tuple(letters()))\n", "")

    checks = host.compare()["checks"]

    assert (checks["wire"]["state"], checks["handshake"]["state"]) == ("pass", "pass")


def test_the_same_build_twice_goes_together_and_is_remembered(host: Host) -> None:
    """All four trials pass; the node's files stay as they are; the same key is not tried again."""
    host.keep_blocks()
    before = {path.name: path.stat().st_mtime_ns for path in host.data.iterdir()}

    first, second = host.compare(), host.compare()

    checks = first["checks"]
    assert {name: each["state"] for name, each in checks.items()} == dict.fromkeys(
        ("wire", "handshake", "replay", "data version"), "pass"
    )
    assert (checks["replay"]["blocks"], checks["replay"]["height"]) == (BLOCKS, BLOCKS)
    assert (first["kept"], second["kept"]) == (False, True)
    assert second["checks"] == checks
    assert not (host.data / "run" / "compare").exists()
    after = {path.name: path.stat().st_mtime_ns for path in host.data.iterdir()}
    assert before.items() <= after.items()


def test_check_20_each_way_not_to_go_together_is_named(host: Host) -> None:
    """Bytes, handshake, state root and data version: each trial fails by itself and says why."""
    host.keep_blocks()
    host.edit("new", "gossip/messages.py", 'tag="ping"', 'tag="pinged"')
    host.edit("new", "ledger/trie.py", 'b"aitbc/leaf\\0"', 'b"aitbc/leaf2\\0"')

    checks = host.compare(data_version=2)["checks"]

    assert {each["state"] for each in checks.values()} == {"fail"}
    assert "what the new build sends the old one does not read" in checks["wire"]["why"]
    assert "message.pinged" in checks["wire"]["why"]
    assert "height 1: the network has root" in checks["replay"]["why"]
    assert "the data are in version 2, it reads 1 to 1" in checks["data version"]["why"]
    assert not host.compare(data_version=2)["kept"], "only what is good is kept"


@pytest.mark.proves("E42")
def test_a_release_that_lacks_the_rules_which_are_planned_is_not_deployed(host: Host) -> None:
    """It would end before their height, so the trial fails and names their version."""
    wanted = APP_VERSION + 1

    tried = host.compare(app_version=wanted)["checks"]["data version"]

    assert tried["state"] == "fail"
    assert f"the chain has or plans rules of version {wanted}" in tried["why"]
    assert f"it knows {APP_VERSION}" in tried["why"]


def test_check_20_another_protocol_does_not_shake_hands(host: Host) -> None:
    """The link is refused; without blocks the replay is not available, which is no pass."""
    host.edit("new", "blocks.py", "PROTOCOL_VERSION = 1", "PROTOCOL_VERSION = 2")

    checks = host.compare()["checks"]

    assert checks["handshake"]["state"] == "fail"
    assert "the new build dials the old one" in checks["handshake"]["why"]
    assert checks["replay"] == {"state": "n.a.", "why": "v1 keeps no blocks on its disk"}


def test_a_release_from_before_cannot_be_asked(host: Host) -> None:
    """What the old build lacks is not available; the new one is still asked what it can tell."""
    host.edit("old", "__main__.py", '"wire", help', '"wired", help')

    checks = host.compare()["checks"]

    assert checks["wire"] == {"state": "n.a.", "why": "the old build cannot be asked"}
    assert checks["handshake"]["state"] == "n.a."
    assert checks["data version"]["state"] == "pass"
