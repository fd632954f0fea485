"""How does a request of the operator reach the machine, and its answer the operator?

Raw ASGI, like `app.py`, on a port of its own. Do not add routes or answers here: `admin.py` has
them.
"""

import asyncio
from typing import Protocol

from aitbc_node import limits
from aitbc_node.codes import Code, Refusal
from aitbc_node.events import Drained, Finalized, PeersSought, Snapshotted
from aitbc_node.rpc import admin
from aitbc_node.rpc.admin import Discover, Drain, Finalize, MadeKey, NextKey, Recover, Snapshot
from aitbc_node.rpc.exchange import (
    ClientGoneError,
    Receive,
    RequestIds,
    Scope,
    Send,
    read_request,
    send_whole,
)
from aitbc_node.rpc.response import refuse, respond
from aitbc_node.rpc.view import Request, RequestFault

ANSWER_S = 10.0
"""What the machine owes an answer to is answered in so much time, on top of what was asked for."""


class AdminPort(Protocol):
    """Be what the operator's interface needs of the driver."""

    async def drain(self, deadline_ms: int) -> Drained | Refusal:
        """Wait for a good moment to stop."""

    async def finalize(self, data_version: int) -> Finalized | Refusal:
        """Write a newer data version from now on."""

    async def next_key(self) -> MadeKey | Refusal:
        """Make the key that is to vote next."""

    async def snapshot(self) -> Snapshotted | Refusal:
        """Keep the state of the newest block."""

    async def discover(self) -> PeersSought | Refusal:
        """Ask all peers which others there are."""

    async def recover(self) -> PeersSought | Refusal:
        """Dial everybody that is missing."""


class AdminApp:
    """Answer the operator of one node."""

    def __init__(self, port: AdminPort, *, name: str, token: str) -> None:
        self._port = port
        self._token = token
        self._ids = RequestIds(name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI calls it."""
        assert scope["type"] == "http", scope["type"]
        headers = dict(scope["headers"])
        request = Request(method="", path="", request_id=self._ids.of(headers))
        try:
            admin.admit(headers.get(b"authorization", b""), token=self._token)
            request = await read_request(
                scope,
                headers,
                receive,
                request_id=request.request_id,
                bytes_max=limits.ADMIN_BODY_BYTES_MAX,
            )
            answer = admin.answer(await self._done(admin.read(request)))
            await send_whole(send, respond(answer, request))
        except RequestFault as fault:
            await send_whole(send, refuse(fault, request))
        except ClientGoneError:
            return

    def close(self) -> None:
        """Have nothing to end: no answer here goes on for ever."""

    async def _done(self, command: admin.Command) -> admin.Done:
        patience_s = ANSWER_S + (command.deadline_ms / 1000 if isinstance(command, Drain) else 0)
        try:
            async with asyncio.timeout(patience_s):
                match command:
                    case Drain(deadline_ms=deadline_ms):
                        return await self._port.drain(deadline_ms)
                    case Finalize(data_version=data_version):
                        return await self._port.finalize(data_version)
                    case NextKey():
                        return await self._port.next_key()
                    case Snapshot():
                        return await self._port.snapshot()
                    case Discover():
                        return await self._port.discover()
                    case Recover():
                        return await self._port.recover()
        except TimeoutError:
            why = f"no answer within {patience_s:.0f} s; see the log of the node"
            raise RequestFault(503, Code.E_UNAVAILABLE, why) from None
