"""The client library against servers on real sockets that die, hang, drip, and refuse."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from aitbc_node.blocks import tx_id
from aitbc_node.codes import Code
from aitbc_node.crypto import SigningKey
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Address, Amount
from aitbc_toolkit import payments, unanswered, wallet
from aitbc_toolkit.asking import MeshClient, UnsettledError
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.exchange import Asked, NoEndError, exchange
from aitbc_toolkit.rpc_client import RefusedError, RpcClient, Target
from aitbc_toolkit.wallet import ChainNow, Wallet

ROOT = {"height": 7, "state_root": "ab", "block_id": "cd"}
RAW = b"a transaction"
HELD = 60.0

Behaviour = Callable[[socket.socket, str], None]


def answers(status: int, body: object, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answer every request in one way."""
    content = json.dumps(body).encode()
    lines = [f"{name}: {value}\r\n" for name, value in (headers or {}).items()]
    head = f"HTTP/1.1 {status} X\r\n{''.join(lines)}content-length: {len(content)}\r\n\r\n"
    return lambda connection, _asked: connection.sendall(head.encode() + content)


def refuses(status: int, code: str, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Refuse every request."""
    fault = {"code": code, "message": "why not", "field": "", "hint": ""}
    return answers(status, {"error": fault}, headers)


def takes(connection: socket.socket, asked: str) -> None:
    """Know the root, and take any transaction."""
    taken = {"id": tx_id(RAW).hex(), "status": "pending"}
    answers(*((202, taken) if asked == "POST" else (200, ROOT)))(connection, asked)


def dies(connection: socket.socket, _asked: str) -> None:
    """Close the connection in the middle of an answer."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
    connection.shutdown(socket.SHUT_RDWR)


def hangs(connection: socket.socket, _asked: str) -> None:
    """Say nothing until the client has gone."""
    connection.settimeout(HELD)
    connection.recv(1)


class Server:
    """Be a node that behaves in one way; `asked` are the methods and bodies it got."""

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.asked: list[tuple[str, bytes]] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as reading:
            while line := reading.readline():
                headers = dict(
                    header.decode().lower().strip().split(": ", 1)
                    for header in iter(reading.readline, b"\r\n")
                )
                body = reading.read(int(headers.get("content-length", 0)))
                method = line.decode().split()[0]
                self.asked.append((method, body))
                self.behave(connection, method)


@contextlib.contextmanager
def mesh_of(*behaviours: Behaviour) -> Iterator[tuple[MeshClient, list[Server]]]:
    """Have nodes n0, n1 ... that behave so, and a client of them all."""
    servers = [Server(each) for each in behaviours]
    targets = [Target(f"n{place}", server.url) for place, server in enumerate(servers)]
    try:
        with MeshClient(targets, retries=0) as mesh:
            yield mesh, servers
    finally:
        for server in servers:
            server.close()


def root(node: RpcClient) -> str:
    """Ask for a state root."""
    return node.state_root(7).state_root


@pytest.mark.proves("E18", "C7")
@pytest.mark.parametrize(
    "bad",
    [
        dies,
        hangs,
        refuses(503, Code.E_NO_QUORUM, {"retry-after": "2"}),
        refuses(429, Code.E_RATE, {"retry-after": "30"}),
        answers(502, "no json of ours"),
        answers(200, ROOT, {"x-stale": "1"}),
    ],
    ids=["dies", "hangs", "no-quorum", "throttles", "is-no-node", "is-stale"],
)
def test_reads_are_spread_over_those_that_are_well(bad: Behaviour) -> None:
    """A read is answered by another node, and the bad one is left alone for a while."""
    with mesh_of(takes, bad, takes) as (mesh, servers):
        told = [mesh.ask_any(root) for _ in range(12)]

        assert told == ["ab"] * 12
        assert len(servers[1].asked) <= 2  # a held machine may see a second turn of it
        assert min(len(servers[0].asked), len(servers[2].asked)) >= 4


def test_a_dead_node_that_comes_back_takes_its_turns_again() -> None:
    """When its rest is over it is tried, and from its first answer on it is as good as any."""
    with mesh_of(takes, dies) as (mesh, servers):
        for _ in range(4):
            mesh.ask_any(root)
        servers[1].behave = takes
        asked = len(servers[1].asked)

        for _ in range(100_000):  # asking takes time enough for any rest to end
            mesh.ask_any(root)
            if len(servers[1].asked) > asked + 1:
                break

        assert len(servers[1].asked) > asked + 1


def test_what_a_stale_node_says_is_better_than_nothing() -> None:
    """Where no other answers, the answer that is marked stale is given."""
    with mesh_of(dies, answers(200, ROOT, {"x-stale": "1"})) as (mesh, _):
        assert mesh.ask_any(root) == "ab"


@pytest.mark.parametrize(
    "bad", [dies, refuses(503, Code.E_NO_QUORUM, {"retry-after": "2"}), refuses(429, Code.E_RATE)]
)
def test_the_same_bytes_go_to_another_node(bad: Behaviour) -> None:
    """A transaction that one node does not take, or may have, is handed to the next unchanged."""
    with mesh_of(bad, takes) as (mesh, servers):
        accepted = mesh.submit(RAW)

    assert accepted.status == "pending"
    posts = [body for server in servers for method, body in server.asked if method == "POST"]
    assert len(posts) == 2
    assert len(set(posts)) == 1


def test_a_refusal_after_silence_settles_nothing() -> None:
    """One node died on it, another says that its nonce is used: nobody may sign another one."""
    with (
        mesh_of(dies, refuses(422, Code.E_NONCE)) as (mesh, _),
        pytest.raises(UnsettledError, match="may have been taken by n0") as caught,
    ):
        mesh.submit(RAW)

    assert caught.value.hint == f"aitbc tx wait {tx_id(RAW).hex()}"


def test_what_one_node_took_is_not_refused_by_the_next() -> None:
    """The first is behind, so another is asked too; its refusal does not stand for both."""
    taken = {"id": tx_id(RAW).hex(), "status": "pending"}
    behind = answers(202, taken, {"x-stale": "1"})
    with mesh_of(behind, refuses(422, Code.E_NONCE)) as (mesh, servers):
        accepted = mesh.submit(RAW)

    assert accepted.status == "pending"
    assert [len(server.asked) for server in servers] == [1, 1]


def test_a_refusal_by_all_is_a_refusal() -> None:
    """Where each node that got it has said that it holds nothing, the reason is told as it is."""
    with (
        mesh_of(refuses(503, Code.E_POOL_FULL), refuses(422, Code.E_NONCE)) as (mesh, _),
        pytest.raises(RefusedError) as caught,
    ):
        mesh.submit(RAW)

    assert caught.value.code == Code.E_NONCE


def test_a_named_node_that_may_have_taken_it_settles_nothing_either() -> None:
    """Whoever asked one node alone is told which transaction to wait for, not to try again."""
    with (
        mesh_of(takes, dies) as (mesh, servers),
        pytest.raises(UnsettledError, match="may have been taken by n1") as caught,
    ):
        mesh.submit(RAW, node="n1")

    assert caught.value.hint == f"aitbc tx wait {tx_id(RAW).hex()}"
    assert not servers[0].asked


def test_a_node_that_was_silent_before_it_got_the_bytes_has_not_taken_them() -> None:
    """It dies when it is asked whose it is; another one's refusal is then the whole answer."""
    with mesh_of(dies, refuses(422, Code.E_NONCE)) as (mesh, servers):
        doubted = Target("n0", servers[0].url, lambda _status: "")
        first, second = RpcClient(doubted, http=mesh.nodes[0]._http, retries=0), mesh.nodes[1]
        mesh.nodes = (first, second)
        with pytest.raises(RefusedError) as caught:
            mesh.submit(RAW)

        assert (caught.value.code, [method for method, _ in servers[0].asked]) == (
            Code.E_NONCE,
            ["GET"],
        )


def test_a_payment_is_never_signed_twice_where_the_first_may_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node takes it and dies, the next says `nonce`: one transaction was signed, and no more."""
    chain = ChainNow("aitbc-test-1", "aitt", 100, 1_000)
    monkeypatch.setattr(wallet, "look_any", lambda _mesh, **_options: chain)
    monkeypatch.setattr(payments, "next_nonce", lambda _mesh, _address: (0, True))
    environment = SimpleNamespace(chain=SimpleNamespace(hrp="aitt", block_interval_ms=1_000))
    body = Transfer((Output(Address(b"\x01" * 20), "AIT", Amount(1)),))

    with mesh_of(dies, refuses(422, Code.E_NONCE)) as (mesh, servers):
        with pytest.raises(UnsettledError):
            payments.hand_in(cast("Any", environment), mesh, Wallet(SigningKey(b"k" * 32)), [body])

        posts = {body for server in servers for method, body in server.asked if method == "POST"}
        assert len(posts) == 1


def test_a_dripping_answer_has_a_deadline_for_the_whole() -> None:
    """A node that sends a byte now and then is silent, however alive each byte looks."""
    clock = iter(range(0, 10_000, int(unanswered.WHOLE_ANSWER_S) // 2))
    drips = httpx.MockTransport(lambda _request: httpx.Response(200, content=iter([b" "] * 99)))
    http = httpx.Client(transport=drips)

    with pytest.raises(NoEndError) as caught:
        exchange(http, "http://n0:1/status", Asked(), clock=lambda: float(next(clock)))

    reason = f"no whole answer within {unanswered.WHOLE_ANSWER_S:.0f} s"
    assert unanswered.reason(caught.value) == reason


def test_an_endless_answer_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that sends on and on does not fill this machine's memory."""
    monkeypatch.setattr(unanswered, "ANSWER_BYTES_MAX", 2**20)

    def floods(connection: socket.socket, _asked: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while True:
            connection.sendall(b" " * 65_536)

    with mesh_of(floods) as (mesh, _), pytest.raises(AitbcError, match="an answer of more than"):
        mesh.ask_any(root)
