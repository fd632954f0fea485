"""Messages of accounts on a live mesh: a hundred listeners, an answer, and one who is too slow."""

import asyncio
import base64
import json
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Thread

import pytest
from driven_mesh import environment_of
from local_mesh import CHAIN_ID, FAUCET, Mesh, NodeProcess, local_mesh

from aitbc_node import limits
from aitbc_node.canonical import decode, encode
from aitbc_node.crypto import SigningKey, sha256
from aitbc_node.ledger.policy import Policy, address_of
from aitbc_node.ledger.transactions import Envelope, Sig
from aitbc_node.letters import Letter, sign_letter
from aitbc_node.rpc.mailing import MessageView
from aitbc_node.types import Height, Signature
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
HEARERS = 6
LOUD = 16
"""Accounts that say nearly as much as one may at once, each on a topic of its own."""
EACH = limits.LETTER_ACCOUNT_RATE * limits.LETTERS_BURST_S - 5
TURNS = 3
WINDOW_BYTES = 96 * limits.KIB
"""More than the largest segment on loopback."""
SIP_BYTES = 224 * limits.KIB
"""So much the slow one reads each turn, more than its node has written ahead."""
CONTENT = bytes(2_000)
END = b"\r\n0\r\n\r\n"
"""What is written behind the last piece of a stream."""
_ID = re.compile(rb'"id":"([0-9a-f]{64})"')


class Listener:
    """Be one subscriber to topics, at one node, over one connection."""

    def __init__(self, place: str, news: asyncio.Event, *, topics: str = TOPIC) -> None:
        self.heard: Counter[str] = Counter()
        self._news = news
        self._request = asked_for(topics)
        self._host, self._port = place.rsplit(":", 1)

    async def open(self) -> None:
        """Ask for the stream; it is open once the node has said so."""
        reader, self._writer = await asyncio.open_connection(self._host, self._port)
        self._writer.write(self._request)
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


class SlowReader:
    """Be a subscriber whose program reads when it is told to."""

    def __init__(self, place: str, *, topics: str) -> None:
        host, port = place.rsplit(":", 1)
        self._socket = socket.socket()
        self._socket.settimeout(PATIENCE_S)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
        self._socket.connect((host, int(port)))
        self._socket.sendall(asked_for(topics))
        self._said = b""
        while b": hello" not in self._said:
            self._said += self._socket.recv(64)

    def sip(self) -> None:
        """Read a little."""
        until = len(self._said) + SIP_BYTES
        while len(self._said) < until:
            piece = self._socket.recv(until - len(self._said))
            assert piece, "it is not cut off while it reads"
            self._said += piece

    def read(self) -> tuple[list[str], dict[str, object]]:
        """Read on until the node ends it: what was heard, and what the node said last."""
        with self._socket:
            while not self._said.endswith(END) and (piece := self._socket.recv(65_536)):
                self._said += piece
        assert self._said.endswith(END), "the stream ends in good order"
        before, _, last = self._said.partition(b"event: closing\ndata: ")
        names = [name.decode() for name in _ID.findall(before)]
        return names, json.loads(last.partition(b"\n")[0] or b"{}")


def asked_for(topics: str) -> bytes:
    """Write the request for a stream."""
    return f"GET /messages?topic={topics} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


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


@pytest.mark.proves("D15")
# One of 20 runs beside much else met the deadline for who reads nothing at all before this one.
@pytest.mark.nightly
def test_a_slow_reader_is_cut_off_with_the_reason_and_all_others_hear_everything(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """At its own node as at another; nobody waits for it, and it learns how much it has lost."""
    keys = [SigningKey(bytes([100 + number]) * 32) for number in range(LOUD)]
    with local_mesh(tmp_path, eventually, validators=1, full=1, accounts=keys) as mesh:
        mesh.until_heights(mesh.nodes, 2)
        asyncio.run(_beside_a_slow_one(mesh, keys))
        dropped = [node.metric("aitbc_message_streams_dropped_total") for node in mesh.nodes]
        assert dropped == [1, 0]


async def _beside_a_slow_one(mesh: Mesh, keys: list[SigningKey]) -> None:
    nodes, news = mesh.nodes, asyncio.Event()
    last = Height(nodes[0].height() + limits.LETTER_BLOCKS_MAX - 50)
    raws = [_written(key, number, last) for number, key in enumerate(keys)]
    topics = ",".join(f"t{number}" for number in range(LOUD))
    crowd = [Listener(nodes[place % 2].rpc, news, topics=topics) for place in range(HEARERS)]
    await asyncio.gather(*(each.open() for each in crowd))
    slow = await asyncio.to_thread(SlowReader, nodes[0].rpc, topics=topics)

    for turn in range(TURNS):
        await asyncio.gather(*(_hand_in(nodes[0], some[turn::TURNS]) for some in raws))
        await asyncio.to_thread(slow.sip)
    names = [sha256(raw).hex() for some in raws for raw in some]
    async with asyncio.timeout(PATIENCE_S):
        while not _all_heard(crowd, names):
            await news.wait()
            news.clear()

    heard, closing = await asyncio.to_thread(slow.read)
    await asyncio.gather(*(each.close() for each in crowd))
    assert all(each.heard == Counter(names) for each in crowd)
    lost = len(names) - len(heard) - limits.LETTERS_BACKLOG
    assert closing == {"reason": f"too slow: {lost} messages behind", "lost": lost}
    assert 0 < len(heard) == len(set(heard) & set(names))


def _written(key: SigningKey, topic: int, last: Height) -> list[bytes]:
    """Sign as much as an account may say at once."""
    return [
        sign_letter(
            Letter(
                chain_id=CHAIN_ID,
                sender=address_of(Policy(1, (key.public_key,))),
                to=None,
                topic=f"t{topic}",
                correlation=b"",
                number=number,
                valid_until=last,
                policy=None,
                content=CONTENT,
            ),
            [key],
        )
        for number in range(EACH)
    ]


async def _hand_in(node: NodeProcess, raws: list[bytes]) -> None:
    """Hand these in over one connection, one after the other; the node takes each."""
    host, port = node.rpc.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, port)
    for raw in raws:
        body = json.dumps({"raw": base64.b64encode(raw).decode()}).encode()
        head = (
            "POST /messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        told = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", told)
        said = await reader.readexactly(int(length[1])) if length else b""
        assert told.startswith(b"http/1.1 202 "), told + said
    writer.close()
