"""The operator's interface on a real socket, and beside the public one of the same node."""

import asyncio
import contextlib
import http.client
import json
from typing import Any

import pytest

from aitbc_node.codes import Code, Refusal
from aitbc_node.events import Drained, Finalized, Snapshotted
from aitbc_node.rpc import admin_app
from aitbc_node.rpc.server import admin_server
from aitbc_node.types import Height

TOKEN = "0123456789abcdef" * 3
RIGHT = {"Authorization": f"Bearer {TOKEN}"}

Answer = tuple[int, dict[str, Any]]


class FakePort:
    """Be a node that does what its operator says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.is_deaf = False

    async def drain(self, deadline_ms: int) -> Drained | Refusal:
        self.asked.append(("drain", deadline_ms))
        if self.is_deaf:
            await asyncio.Event().wait()
        return Drained(Height(7), 3, in_time=True)

    async def finalize(self, data_version: int) -> Finalized | Refusal:
        self.asked.append(("finalize", data_version))
        return Refusal(Code.E_CONFLICT, "data_version", "no way back")

    async def snapshot(self) -> Snapshotted | Refusal:
        self.asked.append(("snapshot", 0))
        return Snapshotted(Height(9), 1234)


def posted(port: FakePort, path: str, body: object, headers: dict[str, str]) -> Answer:
    """Serve a port, post to it once and return status and body."""

    def ask(url: str) -> Answer:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    async def whole() -> Answer:
        server = admin_server(port, name="n1", listen="127.0.0.1:0", token=TOKEN)
        await server.start()
        try:
            async with asyncio.timeout(20):
                return await asyncio.to_thread(ask, server.url)
        finally:
            await server.stop()

    return asyncio.run(whole())


def test_the_operator_drains() -> None:
    """The order reaches the node, its answer the operator."""
    port = FakePort()

    status, body = posted(port, "/admin/drain", {"deadline_ms": 500}, RIGHT)

    assert (status, body) == (200, {"height": 7, "next_turn_in": 3, "in_time": True})
    assert port.asked == [("drain", 500)]


def test_the_operator_has_the_state_kept() -> None:
    """The answer says of which block, and how large it is."""
    status, body = posted(FakePort(), "/admin/snapshot", {}, RIGHT)

    assert (status, body) == (200, {"height": 9, "bytes_written": 1234})


def test_a_refusal_of_the_node_is_told() -> None:
    """A conflict comes with the code and the field, in the shape of all errors."""
    status, body = posted(FakePort(), "/admin/finalize", {"data_version": 1}, RIGHT)

    assert status == 409
    assert (body["error"]["code"], body["error"]["field"]) == ("conflict", "data_version")
    assert body["error"]["request_id"] == "n1-1"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_a_stranger_reaches_nothing(headers: dict[str, str]) -> None:
    """Without the token no order reaches the node, and no route is even named."""
    port = FakePort()

    status, body = posted(port, "/admin/drain", {"deadline_ms": 500}, headers)

    assert (status, body["error"]["code"]) == (401, "operators-only")
    assert port.asked == []


def test_a_node_that_does_not_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's request ends soon after the deadline, whatever the node does."""
    monkeypatch.setattr(admin_app, "ANSWER_S", 0.05)
    port = FakePort()
    port.is_deaf = True

    status, body = posted(port, "/admin/drain", {"deadline_ms": 10}, RIGHT)

    assert (status, body["error"]["code"]) == (503, "unavailable")


def test_a_large_body_is_not_read() -> None:
    """Nobody fills the node's memory through this door either."""
    status, body = posted(FakePort(), "/admin/drain", {"deadline_ms": "9" * 70_000}, RIGHT)

    assert (status, body["error"]["code"]) == (413, "size")
