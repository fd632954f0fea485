"""Where an agent answers, told by a real ledger behind four servers."""

import json
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit import endpoints
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.endpoints import AgentAddress
from aitbc_toolkit.errors import Exit, UsageError

AGENT = "aitd1agent"
NETWORK = "0123456789abcdef"


def network_of(mesh: Any) -> str:
    """Return the digits by which addresses name a mesh."""
    digits: str = mesh.ledger.genesis.hash().hex()
    return digits[:16]


def an_agent(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Make a key with coins in its account; return its file."""
    file = str(folder / "agent.key")
    assert run(["account", "new", file]) == Exit.OK
    address = capsys.readouterr().out.strip()
    assert run(["tx", "send", "--to", address, "--amount", "20"]) == Exit.OK
    capsys.readouterr()
    return file


def publish(key: str, port: str, place: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Type `aitbc endpoint publish`; return the address that it tells."""
    assert run(["endpoint", "publish", port, place, "--key", key]) == Exit.OK
    told = capsys.readouterr().err
    return next(line for line in told.splitlines() if line.startswith("address:")).split()[1]


def resolve(address: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Type `aitbc endpoint resolve --json`; return what it tells."""
    capsys.readouterr()
    assert run(["endpoint", "resolve", address, "--json"]) == Exit.OK
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_an_address_stays_while_its_agent_moves(
    fake_mesh: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The address names the mesh, the account and the port; what it leads to is the newest."""
    key = an_agent(tmp_path, capsys)
    address = publish(key, "80", "198.51.100.7:8080", capsys)
    assert address.startswith(f"aitbc://{network_of(fake_mesh)}/aitd1")
    assert resolve(address, capsys)["endpoint"] == "198.51.100.7:8080"

    assert publish(key, "80", "[2001:db8::7]:9", capsys) == address
    other = publish(key, "81", "agent.example:1", capsys)

    assert resolve(address, capsys)["endpoint"] == "[2001:db8::7]:9"
    assert resolve(other, capsys)["endpoint"] == "agent.example:1"


def test_what_was_taken_back_is_nowhere(
    fake_mesh: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who resolves it then is told so, by an exit status of its own and a hint."""
    assert fake_mesh
    key = an_agent(tmp_path, capsys)
    address = publish(key, "80", "198.51.100.7:8080", capsys)
    assert run(["endpoint", "withdraw", "80", "--key", key]) == Exit.OK
    capsys.readouterr()

    assert run(["endpoint", "resolve", address]) == Exit.FAILED

    assert "aitbc endpoint publish 80" in capsys.readouterr().err


def test_an_address_of_another_mesh_is_refused(
    fake_mesh: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same account on another mesh is somebody else."""
    key = an_agent(tmp_path, capsys)
    address = publish(key, "80", "198.51.100.7:8080", capsys)
    network = network_of(fake_mesh)

    assert run(["endpoint", "resolve", address.replace(network, NETWORK)]) == Exit.USAGE

    assert f"is of another mesh: this one is {network}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"http://{NETWORK}/{AGENT}/80", "is not aitbc://NETWORK/AGENT/PORT"),
        (f"aitbc://{NETWORK}/{AGENT}", "is not aitbc://NETWORK/AGENT/PORT"),
        (f"aitbc://{NETWORK}/{AGENT}/80/x", "is not aitbc://NETWORK/AGENT/PORT"),
        (f"aitbc://{NETWORK}/{AGENT}/80?a=b", "is not aitbc://NETWORK/AGENT/PORT"),
        (f"aitbc://{NETWORK[1:]}/{AGENT}/80", "is no network"),
        (f"aitbc://{NETWORK.upper()}/{AGENT}/80", "is no network"),
        (f"aitbc://{NETWORK}/{AGENT}/65536", "is no port"),
        (f"aitbc://{NETWORK}/{AGENT}/-1", "is no port"),
        ("aitbc://[/x/1", "is no network"),
        (f"aitbc://{NETWORK}/{AGENT}/\u0664", "is no port"),
    ],
)
def test_what_is_no_address_is_refused_by_the_part_that_is_wrong(text: str, message: str) -> None:
    """Nothing is asked of any node for it."""
    with pytest.raises(UsageError, match=message):
        AgentAddress.parse(text)


def test_an_address_reads_as_it_is_written() -> None:
    """Both ways give the same."""
    text = f"aitbc://{NETWORK}/{AGENT}/80"
    assert str(AgentAddress.parse(text)) == text


@pytest.mark.parametrize("place", ["198.51.100.7", "::1:80", "host:0", ":80", "host:70000"])
def test_a_place_nobody_can_connect_to_is_refused(place: str) -> None:
    """It never gets onto the ledger."""
    with pytest.raises(UsageError):
        endpoints.published(80, place)


def test_an_agent_that_does_not_exist_is_no_address(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip in the account is told by its checksum."""
    address = f"aitbc://{network_of(fake_mesh)}/aitd1qqqq/80"

    assert run(["endpoint", "resolve", address]) == Exit.USAGE

    assert "is no address" in capsys.readouterr().err
