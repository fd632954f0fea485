"""`aitbc network partition | recover`: what all nodes reach, and how they find each other again."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitbc_node.events import PeersSought
from aitbc_node.rpc import schema
from aitbc_node.rpc.server import admin_server
from aitbc_node.types import BlockId, Power
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.deploys.hostside import switching
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import redialling
from aitbc_toolkit.remote import Hosts, Row
from aitbc_toolkit.rpc_client import RefusedError, RpcClient

pytestmark = pytest.mark.integration

TOKEN = "0123456789abcdef" * 3


def cut_off(mesh: Any, name: str) -> None:
    """Let one node and all others miss each other."""
    keys = {each: port.facts.validator for each, port in mesh.ports.items()}
    for each, port in mesh.ports.items():
        others = frozenset(keys.values()) - {keys[each]}
        port.view.missing = others if each == name else frozenset({keys[name]})
        port.view.reachable_power = Power(1 if each == name else 3)


def heal(mesh: Any) -> None:
    """Let all reach all again."""
    for port in mesh.ports.values():
        port.view.missing, port.view.reachable_power = frozenset(), Power(4)


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return the one JSON document on stdout."""
    return json.loads(capsys.readouterr().out)


def test_a_whole_mesh_is_one_side_of_one_chain(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each node reaches all power, and the blocks of one height are the same."""
    assert run(["network", "partition"]) == Exit.OK
    shown = capsys.readouterr()
    assert run(["network", "partition", "--json"]) == Exit.OK

    told = document(capsys)
    assert (told["whole"], told["one_chain"], told["compared"]) == (True, True, 3)
    block = fake_mesh.ledger.finals[2].certificate.block_id.hex()
    assert {each["block"] for each in told["views"]} == {block}
    assert "one mesh: every node that answered reaches all the voting power" in shown.out
    assert "one chain: who could tell has the same block of height 3" in shown.out
    assert shown.err == ""


def test_whether_blocks_are_of_one_chain_is_unknown_where_no_node_told_one(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is null, neither true nor false."""
    assert fake_mesh

    def refuse(*_: object) -> None:
        raise RefusedError("v1", 404, schema.Fault(code="not_found", message="no block"))

    monkeypatch.setattr(RpcClient, "block", refuse)
    run(["network", "partition", "--json"])

    assert document(capsys)["one_chain"] is None


def test_each_side_of_a_split_is_told_by_its_own_word(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whom each node misses, and which side can make blocks; it is no error to have looked."""
    cut_off(fake_mesh, "v3")

    status = run(["network", "partition"])

    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert status == Exit.OK
    assert lines[3].split()[:2] == ["v3", "3"]
    assert lines[3].endswith("v1 v2 v4      cut off")
    assert "side of v1, v2, v4: power 3 of 4, can make blocks, out of reach: v3" in lines
    assert "side of v3: power 1 of 4, cannot make blocks, out of reach: v1, v2, v4" in lines
    assert "hint: once the network is back: aitbc network recover -e dev" in shown.err


def test_two_blocks_of_one_height_are_a_fork(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reaching each other does not make one chain of two."""
    view = fake_mesh.ports["v2"].view
    certificate = msgspec.structs.replace(
        view.finals[2].certificate, block_id=BlockId(bytes([7]) * 32)
    )
    last = msgspec.structs.replace(view.finals[2], certificate=certificate)
    view.finals = [*view.finals[:2], last]

    run(["network", "partition"])

    shown = capsys.readouterr()
    assert "a fork: at height 3 they have different blocks:" in shown.out
    assert "070707070707 v2" in shown.out
    assert "hint: keep the data of all nodes, it is evidence: aitbc drift dev" in shown.err


def test_a_silent_node_is_a_row_and_nobody_at_all_is_69(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who is down says nothing; the others are one side without it."""
    fake_mesh.kill("v4")
    assert run(["network", "partition", "--json"]) == Exit.OK
    told = document(capsys)
    for name in ("v1", "v2", "v3"):
        fake_mesh.kill(name)

    assert run(["network", "partition"]) == Exit.UNREACHABLE
    assert (told["views"][3]["state"], told["whole"]) == (
        "unreachable (connection refused)",
        False,
    )
    assert "dev: no node answered" in capsys.readouterr().out


class Host:
    """Be the host whose nodes are told to dial; `heals` is what comes of it."""

    def __init__(self, mesh: Any) -> None:
        self.mesh = mesh
        self.asked: list[list[str]] = []
        self.heals = True
        self.error = ""
        self.mute: set[str] = set()

    def step(self, name: str, params: Any) -> dict[str, Row]:
        """Answer one step."""
        assert name == "redial", "nothing else is done to a host, and no lease is asked for"
        rows = {}
        for host, document in params.items():
            names = [each["name"] for each in document["instances"]]
            self.asked.append(names)
            said = {"sought": 2, "linked": 1, "known": 3}
            nodes = {each: None if each in self.mute else said for each in names}
            told: dict[str, Any] = {"nodes": nodes}
            if self.error:
                told = {"kind": "unreachable", "error": self.error}
            rows[host] = Row(host, ok=not self.error, answer=told, took_ms=0)
        if self.heals:
            heal(self.mesh)
        return rows


@pytest.fixture
def host(fake_mesh: Any, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Give the host that every step asks; nobody waits for long."""
    found = Host(fake_mesh)
    monkeypatch.setattr(
        Hosts, "step", lambda _self, name, params, **_more: found.step(name, params)
    )
    monkeypatch.setattr(redialling, "LINKS_S", 0.0)
    return found


def test_recovery_tells_who_was_reached_before_and_after(
    fake_mesh: Any, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """All nodes are told, unless one is named."""
    cut_off(fake_mesh, "v3")

    status = run(["network", "recover"])
    shown = capsys.readouterr().out
    again = run(["network", "recover", "v2"])

    assert (status, again) == (Exit.OK, Exit.OK)
    assert host.asked == [["v1", "v2", "v3", "v4"], ["v2"]]
    assert "before        out of reach for some: v1 v2 v3 v4" in shown
    assert "after         every node reaches all the voting power" in shown


def test_a_mesh_that_stays_split_is_1_and_says_what_shows_more(
    fake_mesh: Any, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """The order alone mends no network."""
    cut_off(fake_mesh, "v3")
    host.heals = False

    status = run(["network", "recover"])

    shown = capsys.readouterr().err
    assert status == Exit.FAILED
    assert "error: network recover dev: out of reach for some: v1 v2 v3 v4" in shown
    assert "hint: aitbc network partition -e dev" in shown


@pytest.mark.parametrize("why", ["host", "nodes", "unknown"])
def test_an_order_that_nobody_took_is_said(
    fake_mesh: Any, host: Host, capsys: pytest.CaptureFixture[str], why: str
) -> None:
    """A host that is away, nodes that do not answer on it, and a node that there is not."""
    assert len(fake_mesh.ports) == len("1234")
    host.error = "unreachable: no route" if why == "host" else ""
    host.mute = {"v1", "v2", "v3", "v4"}

    status = run(["network", "recover", *(["v9"] if why == "unknown" else [])])

    expected = {"host": "one host cannot", "nodes": "no node took the order", "unknown": "v9"}
    assert status == (Exit.USAGE if why == "unknown" else Exit.UNREACHABLE)
    assert expected[why] in capsys.readouterr().err


def test_the_order_reaches_the_node_with_the_token_of_its_host(tmp_path: Path) -> None:
    """On the operator's port; what the node says comes back, and nothing of one without a token."""

    class Port:
        async def recover(self) -> PeersSought:
            return PeersSought(2, 1, 3)

    (tmp_path / "admin.token").write_text(f"{TOKEN}\n", encoding="ascii")

    async def ask() -> dict[str, Any]:
        server = admin_server(Port(), name="v1", listen="127.0.0.1:0", token=TOKEN)
        await server.start()
        address, _, port = server.url.removeprefix("http://").rpartition(":")
        known = {"listen": {"admin": [address, int(port)]}}
        instances = [
            {"name": "v1", "keys": str(tmp_path), **known},
            {"name": "v2", "keys": str(tmp_path / "none"), **known},
        ]
        try:
            return await asyncio.to_thread(switching.redial, {"instances": instances})
        finally:
            await server.stop()

    told = asyncio.run(ask())

    assert told == {"nodes": {"v1": {"sought": 2, "linked": 1, "known": 3}, "v2": None}}
