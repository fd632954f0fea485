"""Messages of accounts on a live mesh: a hundred listeners at all nodes, and an answer."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Thread

import pytest
from driven_mesh import environment_of
from local_mesh import FAUCET, Mesh, local_mesh

from aitbc_node.canonical import decode, encode
from aitbc_node.ledger.transactions import Envelope, Sig
from aitbc_node.rpc.mailing import MessageView
from aitbc_node.types import Signature
from aitbc_toolkit import messaging
from aitbc_toolkit.asking import MeshClient, open_mesh
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.messaging import Draft
from aitbc_toolkit.rpc_client import RefusedError
from aitbc_toolkit.wallet import Wallet

pytestmark = pytest.mark.mesh

PATIENCE_S = 60
LISTENERS = 100
MESSAGES = 12
TOPIC = "news"
_ID = re.compile(rb'"id":"([0-9a-f]{64})"')


class Listener:
    """Be one subscriber to the topic, at one node, over one connection."""

    def __init__(self, place: str, news: asyncio.Event) -> None:
        self.heard: Counter[str] = Counter()
        self._news = news
        self._host, self._port = place.rsplit(":", 1)

    async def open(self) -> None:
        """Ask for the stream; it is open once the node has said so."""
        reader, self._writer = await asyncio.open_connection(self._host, self._port)
        request = f"GET /messages?topic={TOPIC} HTTP/1.1\r\nHost: x\r\n\r\n"
        self._writer.write(request.encode())
        await reader.readuntil(b": hello")
        self._reading = asyncio.ensure_future(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        rest = b""
        while piece := await reader.read(65_536):
            whole, found, rest = (rest + piece).rpartition(b"\n\n")
            self.heard.update(name.decode() for name in _ID.findall(whole + found))
            self._news.set()

    async def close(self) -> None:
        """End it from this side."""
        self._reading.cancel()
        self._writer.close()


def forged(raw: bytes) -> bytes:
    """Return a message with the right key and a signature that is none."""
    envelope = decode(raw, Envelope)
    return encode(Envelope(envelope.body, (Sig(envelope.sigs[0].key, Signature(bytes(64))),)))


@pytest.mark.proves("D15")
def test_a_hundred_listeners_at_all_nodes_hear_each_message_once(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Whichever node it was given to; what is forged is refused and heard by nobody."""
    with local_mesh(tmp_path, eventually) as mesh:
        mesh.until_heights(mesh.nodes, 2)
        found = environment_of(mesh, tmp_path / "state")
        with open_mesh(found) as client:
            asyncio.run(_crowd(mesh, found, client))
            _question(found, client)


async def _crowd(mesh: Mesh, found: Environment, client: MeshClient) -> None:
    signer = Wallet(FAUCET)
    nodes = mesh.nodes
    news = asyncio.Event()
    listeners = [Listener(nodes[place % len(nodes)].rpc, news) for place in range(LISTENERS)]
    await asyncio.gather(*(each.open() for each in listeners))

    def publish() -> list[str]:
        raw = messaging.written(found, client, signer, Draft(b"forged", topic=TOPIC))
        with pytest.raises(RefusedError) as refused:
            client.nodes[0].publish(forged(raw))
        assert (refused.value.code, refused.value.field) == ("signature", "sigs")
        drafts = [Draft(b"message %d" % number, topic=TOPIC) for number in range(MESSAGES)]
        return [
            messaging.send(found, client, signer, draft, node=nodes[number % len(nodes)].name)
            for number, draft in enumerate(drafts)
        ]

    names = await asyncio.to_thread(publish)
    async with asyncio.timeout(PATIENCE_S):
        while not _all_heard(listeners, names):
            await news.wait()
            news.clear()
    await asyncio.gather(*(each.close() for each in listeners))
    assert all(each.heard == Counter(names) for each in listeners)


def _all_heard(listeners: Iterable[Listener], names: list[str]) -> bool:
    return all(set(names) <= set(each.heard) for each in listeners)


def _question(found: Environment, client: MeshClient) -> None:
    """Let an account ask, through any node, and get the answer to that very question."""
    signer, told = Wallet(FAUCET), list[MessageView]()
    own = signer.address(found.chain.hrp)

    def ask() -> None:
        asked = Draft(b"how much?", to=own)
        told.append(messaging.ask(found, client, signer, asked, deadline_s=PATIENCE_S))

    thread = Thread(target=ask)
    with messaging.stream(found, client, to=own, topic="") as inbox:
        thread.start()
        question = inbox.next(PATIENCE_S)
        assert question is not None
        correlation = bytes.fromhex(question.correlation)
        messaging.send(found, client, signer, Draft(b"42", to=own, correlation=correlation))
        thread.join()
    assert [each.content for each in told] == [b"42"]
