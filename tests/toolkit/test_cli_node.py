"""`aitbc node`, against four servers that show one ledger."""

import json
from typing import Any

import pytest

from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit


def test_the_list_has_a_row_for_the_dead(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every node of the inventory is a row; one that is down has a reason and no values."""
    fake_mesh.kill("v2")

    assert run(["node", "list"]) == Exit.OK

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NODE", "HOST", "ROLE", "RELEASE", "HEIGHT", "STATE"]
    assert lines[1].split() == ["v1", "localhost", "validator", "8b1f3c2", "3", "voting"]
    assert lines[2].split()[:5] == ["v2", "localhost", "validator", "-", "-"]
    assert lines[2].endswith("unreachable (connection refused)")


def test_the_list_for_programs(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON list holds the same rows."""
    assert fake_mesh.faucet is not None

    run(["node", "list", "--json"])

    rows = json.loads(capsys.readouterr().out)["nodes"]
    assert [(row["name"], row["state"]) for row in rows] == [
        (f"v{place}", "voting") for place in (1, 2, 3, 4)
    ]


def test_one_node_in_detail(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The status of one node names its chain, release, height, root and peers."""
    assert run(["node", "status", "v3"]) == Exit.OK

    shown = capsys.readouterr().out
    assert "node            v3, validator, power 1 of 4" in shown
    assert f"state root      {fake_mesh.ledger.state.root.hex()} at 3" in shown
    assert "state           up to date" in shown


def test_a_dead_node_is_69(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Asking one node that is down ends with the reason and the exit status of unreachable."""
    fake_mesh.kill("v3")

    assert run(["node", "status", "v3"]) == Exit.UNREACHABLE

    assert "connection refused" in capsys.readouterr().err


def test_an_unknown_node_is_named_with_the_nearest(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A node that does not exist is a usage error with the names that do."""
    assert fake_mesh.faucet is not None

    assert run(["node", "status", "w1"]) == Exit.USAGE

    shown = capsys.readouterr().err
    assert "dev has no node 'w1'" in shown
    assert "v1, v2, v3, v4" in shown


def test_metrics_as_table_and_raw(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Metrics are a table for people and the node's own text for programs."""
    assert fake_mesh.faucet is not None
    run(["node", "metrics", "v1"])
    shown = capsys.readouterr().out
    run(["node", "metrics", "v1", "--raw"])

    assert shown.splitlines()[1].split() == ["aitbc_height", "3"]
    assert capsys.readouterr().out == "aitbc_height 3\n"
