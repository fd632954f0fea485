"""Who answers on a node's port is asked whose it is, before it is believed or given anything."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitbc_node.types import Hash
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.identity import genesis_path
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.suites import live

ALL = ("v1", "v2", "v3", "v4")


def possess(fake_mesh: Any, *names: str) -> None:
    """Let nodes of another checkout's mesh, of the same chain id, answer in the place of ours."""
    for name in names:
        port = fake_mesh.ports[name]
        port.facts = msgspec.structs.replace(port.facts, genesis_hash=Hash(b"z" * 32))


def test_a_stranger_is_a_row_that_says_so_and_never_counts(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its height, root and vote are nobody's, however well it answers."""
    possess(fake_mesh, "v4")

    status = run(["network", "status", "--json"])

    told = json.loads(capsys.readouterr().out)
    row = told["nodes"][3]
    assert (status, told["verdict"], told["voting_power"]) == (Exit.OK, "degraded", 3)
    assert row["state"].startswith("a stranger's node: genesis 7a7a7a7a7a7a, ours is ")
    assert row["height"] is row["state_root"] is row["last_voted_height"] is None


def test_a_mesh_of_strangers_is_down(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Another checkout's mesh on the same ports is not taken for our own."""
    possess(fake_mesh, *ALL)

    assert run(["network", "status"]) == Exit.UNREACHABLE
    assert run(["network", "health"]) == Exit.UNREACHABLE

    shown = capsys.readouterr().out
    assert "dev is DOWN: 0 of 4 power votes" in shown
    assert shown.count("a stranger's node: genesis") == 8


@pytest.mark.parametrize("node", [[], ["--node", "v2"]])
def test_a_payment_is_never_handed_to_strangers(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str], node: list[str]
) -> None:
    """It ends with 69, one line and a hint, and nothing was sent."""
    possess(fake_mesh, *ALL)

    status = run(["tx", "send", "--to", "faucet", "--amount", "1", *node])

    error, *hints = capsys.readouterr().err.splitlines()
    assert status == Exit.UNREACHABLE
    assert "a stranger's node" in error
    assert hints[0].startswith("hint: ")
    assert not any(port.submitted for port in fake_mesh.ports.values())


def test_raw_bytes_are_never_handed_to_a_stranger(fake_mesh: Any, tmp_path: Path) -> None:
    """The next node takes them."""
    possess(fake_mesh, "v1", "v2", "v3")
    file = tmp_path / "raw.tx"
    file.write_bytes(b"\x01")

    run(["tx", "submit", str(file)])

    taken = {name: len(port.submitted) for name, port in fake_mesh.ports.items()}
    assert taken == {"v1": 0, "v2": 0, "v3": 0, "v4": 1}


def test_smoke_refuses_a_mesh_of_strangers(fake_mesh: Any) -> None:
    """The quick suite of a deploy names the silent nodes and moves no money."""
    possess(fake_mesh, *ALL)

    told = live.smoke(fake_mesh.environment)

    assert told.problem.startswith("smoke/quick INFRA: no answer from v1, v2, v3, v4")
    assert not any(port.submitted for port in fake_mesh.ports.values())


def test_a_deploy_counts_no_stranger(fake_mesh: Any) -> None:
    """Gates and `status` read through the same question; nothing else is asked of a stranger."""
    possess(fake_mesh, "v1")

    with Mesh(fake_mesh.environment) as mesh:
        statuses = mesh.statuses()
        roots = mesh.roots(3)

        assert statuses["v1"] is None
        assert statuses["v2"] is not None
        assert mesh.strangers["v1"].startswith("a stranger's node: genesis 7a7a")
        assert sorted(roots) == ["v2", "v3", "v4"]


def test_without_a_genesis_of_its_own_dev_has_no_nodes(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first `up` of a checkout, who answers on its ports is somebody else's."""
    genesis_path(fake_mesh.environment).unlink()

    assert run(["network", "status"]) == Exit.UNREACHABLE

    assert "ours is not made yet" in capsys.readouterr().out


def test_a_node_that_answers_for_another_one_is_not_it(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two ports that lead to the same node would count its vote twice."""
    port = fake_mesh.ports["v3"]
    port.facts = msgspec.structs.replace(port.facts, node="v1")

    assert run(["node", "list"]) == Exit.OK

    assert "another node: it is v1" in capsys.readouterr().out


def test_a_damaged_genesis_is_one_line(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The file that says which nodes are ours is named when it cannot be read."""
    genesis_path(fake_mesh.environment).write_text("{", encoding="utf-8")

    assert run(["network", "status"]) == Exit.CONFIG

    error, hint = capsys.readouterr().err.splitlines()
    assert "genesis.json is no genesis" in error
    assert hint.startswith("hint: ")
