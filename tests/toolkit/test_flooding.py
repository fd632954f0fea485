"""A stranger that floods a node: it ends when it should, and where it is kept out that is told."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import own_ports
import pytest

from aitbc_toolkit import faults
from aitbc_toolkit.suites import flooding, repertoire
from aitbc_toolkit.suites.flooding import Order
from aitbc_toolkit.suites.scenario import on_mesh
from aitbc_toolkit.suites.scenario.arena import Planned
from aitbc_toolkit.suites.scenario.breaking import FLOOD
from aitbc_toolkit.suites.strangers import Victim

FLOODED = Planned(id="flood", fault=FLOOD, targets=("v1",), lease_s=600)


@pytest.fixture
def shut(fake_mesh: Any, tmp_path: Path) -> Victim:
    """Be a door behind which nobody is."""
    genesis = tmp_path / "genesis.json"
    genesis.write_text((fake_mesh.environment.folder / "genesis.json").read_text())
    (port,) = own_ports.take(1)
    return Victim(f"127.0.0.1:{port}", "", "ab" * 32, str(genesis))


def test_a_node_that_lets_nobody_in_is_not_flooded(
    fake_mesh: Any, shut: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is shown by blocks that came while nobody knocked."""
    monkeypatch.setattr(flooding, "_victim", lambda *_: shut)
    monkeypatch.setattr(flooding, "BITE_S", 0.2)

    with (
        pytest.raises(faults.NotBitten, match="nobody got in at v1"),
        flooding.flooded(fake_mesh.environment, FLOODED),
    ):
        pytest.fail("the block of a flood that does not begin is never entered")


@pytest.mark.parametrize("end", ["its time", "its input"])
def test_a_stranger_ends_without_a_word(shut: Victim, end: str) -> None:
    """When its time is over, and when whoever started it is gone; it tells what it did."""
    order = Order(shut, 5_000, 0.2 if end == "its time" else 600)
    argv = [sys.executable, "-m", flooding.__name__, msgspec.json.encode(order).decode()]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        if end == "its input":
            child.stdin.close()
        lines = child.stdout.read().splitlines()
        status = child.wait(60)

    assert status == 0
    assert not [line for line in lines if line == "up"]
    assert isinstance(json.loads(lines[-1]), dict)


def test_any_mesh_that_may_be_broken_can_be_flooded(fake_mesh: Any) -> None:
    """No host has to offer anything for it."""
    case = repertoire.case("load/flood")

    assert on_mesh.unfit(case, fake_mesh.environment) == ""
