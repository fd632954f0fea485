"""The data of a live mesh are copied while it runs; a node that lost its own goes on from them."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from own_mesh import OwnMesh, bring_up

from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.release import backup, ceremony, configuring, services, state
from aitbc_toolkit.release.deploy import deploy
from aitbc_toolkit.release.reading import Mesh, tip
from aitbc_toolkit.release.request import Lost

pytestmark = pytest.mark.mesh


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnMesh]:
    """Deploy the committed state of this checkout to four nodes on ports of their own."""
    with bring_up(tmp_path_factory.mktemp("backup")) as found:
        yield found


def replayed(folder: Path, genesis: Path) -> dict[str, object]:
    """Execute a copy of data from its genesis, as a fresh process."""
    argv = [sys.executable, "-m", "aitbc_node", "replay", "--json"]
    argv += ["--data-copy", str(folder), "--genesis", str(genesis)]
    told = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    found: dict[str, object] = json.loads(told)
    return found


@pytest.mark.proves("E52")
def test_a_backup_of_running_nodes_leads_to_the_same_state_root(
    mesh: OwnMesh, tmp_path: Path
) -> None:
    """On a scratch folder every archive replays to the root that the mesh has; no key is in it."""
    environment = mesh.environment

    done = backup.backup(environment, mesh.tell, to=tmp_path / "kept")

    assert done.exit is Exit.OK, done.error
    genesis = environment.folder / "genesis.json"
    for each in environment.instances:
        scratch = tmp_path / each.name
        with tarfile.open(tmp_path / "kept" / f"{each.name}.tar.gz") as archive:
            names = archive.getnames()
            archive.extractall(scratch, filter="data")
        told = replayed(scratch, genesis)
        with Mesh(environment) as live:
            roots = live.roots(int(str(told["height"])))
        assert {"blocks.log", "manifest.json"} <= set(names)
        assert not any("sign_state" in name or name.endswith((".key", ".token")) for name in names)
        assert told["ok"]
        assert set(roots.values()) == {told["state_root"]}
    assert not list(Path(environment.hosts[0].layout.state).glob("*.tar.gz"))


@pytest.mark.proves("E52")
def test_a_node_that_lost_its_data_goes_on_from_the_backup(
    mesh: OwnMesh, eventually: Callable[..., None]
) -> None:
    """Its data are gone, its keys and sign state stay: it votes again, with an equal state root."""
    environment = mesh.environment
    backup.backup(environment, mesh.tell, only="v2")
    paths = environment.instance("v2").paths
    keys = {each.name: each.read_bytes() for each in Path(paths.keys).glob("*.key")}
    mesh.stop("v2")
    signed = (Path(paths.keys) / "sign_state").read_bytes()
    shutil.rmtree(paths.data)

    done = backup.restore(environment, "v2", mesh.tell)

    assert done.exit is Exit.OK, done.error
    assert len(str(done.facts["state_root"])) == 64
    eventually("v2 to vote", lambda: state.look(environment).votes == 4, deadline_s=60)
    assert {each.name: each.read_bytes() for each in Path(paths.keys).glob("*.key")} == keys
    assert (Path(paths.keys) / "sign_state").read_bytes() != signed, "it signed on from there"


def test_a_tired_operator_stops_neither_by_a_restart_nor_by_a_restore(
    mesh: OwnMesh, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """With v4 down the mesh needs v1: both are refused with its own sum, and blocks go on."""
    environment = mesh.environment
    backup.backup(environment, mesh.tell, only="v1", to=tmp_path)
    mesh.stop("v4")
    height = max(row.height or 0 for row in state.look(environment).nodes)

    with pytest.raises(AitbcError) as restart:
        services.control(environment, "restart", "v1", mesh.tell)
    with pytest.raises(AitbcError) as restore:
        backup.restore(environment, "v1", mesh.tell, source=tmp_path)

    for refused in (restart.value, restore.value):
        assert refused.exit_status is Exit.REFUSED
        assert re.search(r"total \d+, .*\(told by v\d and 2 others\)", refused.message)
        assert re.search(r"without v1 .*v2 v3 vote: 3\*(\d+) = \d+ <= 2\*\d+", refused.message)
    eventually("blocks", lambda: state.look(environment).nodes[0].height > height + 2)
    services.control(environment, "start", "v4", mesh.tell)


# Seals by encoding: what age makes of a key is shown where hosts have it, in tests/lab.
PRETEND_AGE = """#!/bin/sh
case "$1" in
--armor) exec base64 ;;
--decrypt) exec base64 --decode "$4" ;;
esac
"""


def lose(mesh: OwnMesh, name: str) -> int:
    """Stop a node and remove everything of it; return the tip of the mesh just after."""
    mesh.stop(name)
    with Mesh(mesh.environment) as live:
        height = tip(live.statuses())
    places = mesh.environment.instance(name).paths
    Path(places.config).unlink()
    for folder in (places.data, places.keys, places.home):
        shutil.rmtree(folder)
    layout = mesh.environment.hosts[0].layout
    (Path(layout.state) / f"keys-{name}.json").unlink()
    return height


def signed_by(mesh: OwnMesh, name: str, first: int) -> list[int]:
    """List the heights from one on whose commit carries a node's signature."""
    key = (configuring.known_keys(mesh.environment) or {})[name]["consensus_key"]
    with Mesh(mesh.environment) as live:
        blocks = live.blocks(first + 1, tip(live.statuses()))
    return [each.height - 1 for each in blocks if key in each.last_commit.signers]


def test_a_node_that_lost_everything_comes_back_from_its_peers_and_its_sealed_keys(
    mesh: OwnMesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same keys, blocks from the others, and no signature below the height it was told."""
    environment, identity = mesh.environment, tmp_path / "id"
    (tmp_path / "age").write_text(PRETEND_AGE)
    (tmp_path / "age").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", identity], check=True)
    ceremony.backup(environment, mesh.tell, recipient=identity.with_suffix(".pub"))
    keys = Path(environment.instance("v2").paths.keys)
    before = {each.name: each.read_bytes() for each in keys.glob("*.key")}
    lost_at = lose(mesh, "v2")
    lost = Lost("localhost", identity, "its disk is destroyed")

    done = deploy(environment, replace(mesh.request, lost=lost), mesh.tell)

    assert done.exit is Exit.OK, done.error
    assert done.changed == ["v2"]
    assert {each.name: each.read_bytes() for each in keys.glob("*.key")} == before
    assert state.look(environment).votes == 4
    (told,) = [str(each["text"]) for each in mesh.records if "sign from height" in str(each)][-1:]
    not_before = int(told.partition("height ")[2].partition(" ")[0].replace(",", ""))
    signed = signed_by(mesh, "v2", lost_at + 3)
    assert not_before >= lost_at + 2 + 3
    assert signed
    assert min(signed) >= not_before
    nothing = deploy(environment, replace(mesh.request, lost=lost), mesh.tell)
    assert not nothing.changed


def test_a_damaged_backup_stops_nothing(mesh: OwnMesh, tmp_path: Path) -> None:
    """A byte that changed on the way is found before the node is touched."""
    environment = mesh.environment
    backup.backup(environment, mesh.tell, only="v1", to=tmp_path)
    archive = tmp_path / "v1.tar.gz"
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(bytes(content))

    with pytest.raises(AitbcError, match="is not what the backup wrote"):
        backup.restore(environment, "v1", mesh.tell, source=tmp_path)
    with pytest.raises(UsageError, match="there is no backup of v3"):
        backup.restore(environment, "v3", mesh.tell, source=tmp_path)

    assert state.look(environment).votes == 4
