"""What do clients send, and what must hold whatever they ask?

Every request ends in one answer that is no 5xx but 503. The node is a real machine at height 3. The
bytes on a connection are `connections.py`'s. Do not add routes.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from aitbc_node import bech32, examples
from aitbc_node.codes import Refusal
from aitbc_node.events import TxOutcome
from aitbc_node.ledger.transactions import parse
from aitbc_node.letters import read_letter
from aitbc_node.rpc import admin
from aitbc_node.rpc.dispatch import ROUTES, dispatch
from aitbc_node.rpc.post import Post
from aitbc_node.rpc.streams import Hub
from aitbc_node.rpc.submission import Submission
from aitbc_node.rpc.view import Facts, NodeView, Request, RequestFault, Response, TxFate
from aitbc_node.transport.addresses import parse_address
from aitbc_node.types import Hash, Height, TxId
from aitbc_sim.citizens import a_payment, address
from aitbc_sim.pump import Pump
from aitbc_toolkit.suites.fuzz.decoder import Decoder

_HEIGHT = 3
_SERVER_ERROR = 500


def decoders() -> tuple[Decoder, ...]:
    """List them."""
    return (
        Decoder("request", request, _requests),
        Decoder("admin", order, _orders, is_packed=False),
        Decoder("address", names, _names, is_packed=False),
    )


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """Be a request whose parts are still to be put together."""

    method: str
    path: str
    query: dict[str, list[str]]
    content_type: str
    body: bytes


class Node:
    """Be a machine with a short past, and what a server needs beside it."""

    def __init__(self) -> None:
        pump = Pump()
        pump.start()
        pump.run_to(1)
        pump.submit(0, a_payment("alice", "bob", 1, nonce=0))
        pump.run_to(_HEIGHT)
        self._store = pump.nodes[0].store
        self.view = cast("NodeView", pump.machine(0).view)
        self.reader = self
        self.hub, self.post = Hub(boot="fuzz"), Post(boot="fuzz", hrp="aitd")
        self.facts = Facts(
            node="v1",
            role="validator",
            version="0",
            commit="",
            genesis_hash=Hash(bytes(32)),
            peer_id=pump.nodes[0].id,
            validator=None,
        )

    def block(self, height: Height, /) -> Any:
        """Return a final block."""
        assert self._store is not None
        return self._store.block(height)

    def transaction(self, tx_id: TxId, /) -> TxFate | None:
        """Know the fate of one transaction in two."""
        return ("committed", 2, 0, "ok", 210, ()) if tx_id[0] % 2 else None

    def metrics(self) -> bytes:
        """Return few."""
        return b"aitbc_height 3\n"

    async def submit(self, raws: tuple[bytes, ...]) -> Sequence[TxOutcome]:
        """Refuse or take each by its form alone."""
        outcomes = []
        for raw in raws:
            read = parse(raw)
            if isinstance(read, Refusal):
                outcomes.append(TxOutcome(TxId(bytes(32)), read.code, read.field, read.message))
            else:
                outcomes.append(TxOutcome(read.id, "ok", "", ""))
        return outcomes

    async def publish(self, raw: bytes) -> Sequence[TxOutcome]:
        """Refuse or take it by its form alone."""
        read = read_letter(raw)
        if isinstance(read, Refusal):
            return [TxOutcome(TxId(bytes(32)), read.code, read.field, read.message)]
        return [TxOutcome(TxId(read.id), "ok", "", "")]

    async def settled(self) -> None:
        """Have nothing to wait for."""


@functools.cache
def the_node() -> Node:
    """Return the node, made when it is first wanted."""
    return Node()


def request(data: bytes) -> bool:
    """Answer any method, path, query, content type and body."""
    try:
        asked = msgspec.msgpack.decode(data, type=Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    node = the_node()
    whole = Request(
        method=asked.method,
        path=asked.path,
        query=asked.query,
        content_type=asked.content_type,
        body=asked.body,
        request_id="r",
        wall_ms=1,
    )
    outcome = dispatch(whole, node.facts, node.view, node)
    if isinstance(outcome, Submission):
        assert outcome.raws
    if isinstance(outcome, Response):
        assert outcome.status < _SERVER_ERROR, outcome
        if outcome.content_type == "application/json":
            json.loads(outcome.body)
        return outcome.status < 400  # noqa: PLR2004 - a good answer of HTTP
    return True


def order(data: bytes) -> bool:
    """Read what claims to be an order of the operator: path, then body."""
    path, _, body = data.partition(b"\n")
    asked = Request(method="POST", path=path.decode("latin-1"), body=body)
    try:
        admin.read(asked)
    except RequestFault:
        return False
    return True


def names(data: bytes) -> bool:
    """Read an account's address and a host's address; both round trip where they are taken."""
    text = data.decode("utf-8", "replace")
    is_good = False
    try:
        hrp, raw = bech32.decode(text)
    except ValueError:
        pass
    else:
        assert bech32.encode(hrp, raw) == text.lower()
        is_good = True
    try:
        host, port = parse_address(text)
    except ValueError:
        return is_good
    assert host
    assert 0 <= port < 2**16
    return True


# Good examples to begin with.


def paths() -> Iterator[str]:
    """Yield a path for each route, in their order, that is answered."""
    owner = bech32.address_text("aitd", address("alice"))
    for route in ROUTES:
        path = route.path.replace("{address}", owner).replace("{id}", "ab" * 32)
        path = path.replace("{height}", "2").replace("{ticker}", "AIT")
        yield path.replace("{namespace}", "name").replace("{key}", b"shop".hex())


def _requests() -> Iterator[bytes]:
    raws = [raw for _, raw in examples.transactions()][:2]
    for route, path in zip(ROUTES, paths(), strict=True):
        query = {name: ["1"] for name in route.options}
        yield _packed(route.method, path, query, "application/json", b'{"raw":"YQ=="}')
    yield _packed("POST", "/tx", {}, "application/msgpack", msgspec.msgpack.encode(raws))
    yield _packed("POST", "/tx", {}, "application/json", b'{"txs":["YQ==","YWI="]}')


def _packed(*parts: object) -> bytes:
    return msgspec.msgpack.encode(parts)


def _orders() -> Iterator[bytes]:
    yield b'/admin/drain\n{"deadline_ms":1000}'
    yield b'/admin/finalize\n{"data_version":1}'
    yield b"/admin/snapshot\n{}"


def _names() -> Iterator[bytes]:
    yield bech32.address_text("aitd", address("alice")).encode()
    yield from (b"127.0.0.1:8600", b"[::1]:8600", b"node.example:1")
