"""An agent of a live mesh moves, and is reached by the address that it had."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from driven_mesh import environment_of
from local_mesh import Mesh, local_mesh

from aitbc_toolkit import endpoints
from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.endpoints import AgentAddress
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment

pytestmark = pytest.mark.mesh

PATIENCE_S = 60


@contextmanager
def agent(name: bytes) -> Iterator[str]:
    """Answer whoever connects with a name, at a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    caller, _ = listening.accept()
                except OSError:
                    return  # the agent is gone
                with caller:
                    caller.sendall(name)

        thread = Thread(target=answer)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def called(environment: Environment, address: AgentAddress, node: str) -> bytes:
    """Connect to where a node says that the address is."""
    with open_mesh(environment, node=node) as mesh:
        there = endpoints.resolve(mesh, address, hrp=environment.chain.hrp)
    with socket.create_connection((there.host, there.port), PATIENCE_S) as caller:
        return caller.recv(64)


def publish(place: str, capsys: pytest.CaptureFixture[str]) -> AgentAddress:
    """Type `aitbc endpoint publish` as the faucet; return the address that it tells."""
    assert run(["endpoint", "publish", "80", place, "-e", "dev"]) == Exit.OK
    lines = capsys.readouterr().err.splitlines()
    told = next(line for line in lines if line.startswith("address:"))
    return AgentAddress.parse(told.split()[1])


@pytest.mark.proves("C20")
def test_the_same_address_leads_to_an_agent_that_moved(
    tmp_path: Path,
    eventually: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every node that has the block of the move leads to the new place, none to the old one."""
    with (
        local_mesh(tmp_path, eventually) as mesh,
        agent(b"before") as before,
        agent(b"after") as after,
    ):
        mesh.until_heights(mesh.nodes, 2)
        found = environment_of(mesh, tmp_path / "state")
        monkeypatch.setattr("aitbc_toolkit.cli.reaching.load", lambda _named: found)

        address = publish(before, capsys)
        caught_up(mesh)
        assert {called(found, address, node) for node in names(found)} == {b"before"}

        assert publish(after, capsys) == address
        caught_up(mesh)
        assert {called(found, address, node) for node in names(found)} == {b"after"}


def names(environment: Environment) -> list[str]:
    """Name the nodes."""
    return [each.name for each in environment.instances]


def caught_up(mesh: Mesh) -> None:
    """Wait until every node has all that was final anywhere when this began."""
    mesh.until_heights(mesh.nodes, max(node.height() for node in mesh.nodes))
