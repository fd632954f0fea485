"""What accounts say to each other through four servers: hearing, asking, and a lost node."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aitbc_node.crypto import SigningKey
from aitbc_node.rpc.mailing import MessageView
from aitbc_toolkit import messaging
from aitbc_toolkit.asking import MeshClient, open_mesh
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.listening import Hooks, Listening
from aitbc_toolkit.messaging import Draft
from aitbc_toolkit.rpc_client import RefusedError
from aitbc_toolkit.wallet import Wallet

PATIENCE_S = 60


class Told:
    """Remember what the hooks were called with."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.hooks = Hooks(
            opened=lambda node: self.rows.append(("opened", node)),
            lost=lambda node, reason: self.rows.append(("lost", node, reason)),
            gap=lambda node, lost: self.rows.append(("gap", node, lost)),
            closed=lambda: self.rows.append(("closed",)),
        )


@pytest.fixture
def mesh(fake_mesh: Any) -> Iterator[MeshClient]:
    """Open a client for the four nodes."""
    with open_mesh(fake_mesh.environment) as opened:
        yield opened


@contextlib.contextmanager
def listening(
    fake_mesh: Any, mesh: MeshClient, told: Told | None = None, **goal: str
) -> Iterator[Listening]:
    """Listen, once the stream is open."""
    hooks = told.hooks if told else None
    where = {"to": "", "topic": "", **goal}
    with messaging.stream(fake_mesh.environment, mesh, **where, hooks=hooks) as heard:
        assert heard.wait_open(PATIENCE_S)
        yield heard


def send(fake_mesh: Any, mesh: MeshClient, content: str, **draft: Any) -> str:
    """Send as the faucet."""
    signer = Wallet(fake_mesh.faucet)
    return messaging.send(fake_mesh.environment, mesh, signer, Draft(content.encode(), **draft))


def own(fake_mesh: Any) -> str:
    """Write the address of the faucet."""
    return Wallet(fake_mesh.faucet).address(fake_mesh.environment.chain.hrp)


def test_who_listens_hears_it_and_who_sent_it(fake_mesh: Any, mesh: MeshClient) -> None:
    """Whichever node it was given to; other topics are not heard."""
    with listening(fake_mesh, mesh, topic="news,weather") as heard:
        send(fake_mesh, mesh, "nothing", topic="sports")
        name = send(fake_mesh, mesh, "rain", topic="weather", correlation=b"\x05")
        found = heard.next(PATIENCE_S)

    assert isinstance(found, MessageView)
    assert (found.id, found.topic, found.content) == (name, "weather", b"rain")
    assert (found.sender, found.to, found.correlation) == (own(fake_mesh), None, "05")


def test_what_came_to_an_account_before_is_heard_once(fake_mesh: Any, mesh: MeshClient) -> None:
    """It is kept for a while; after that come the new ones."""
    to = own(fake_mesh)
    send(fake_mesh, mesh, "early", to=to)
    with listening(fake_mesh, mesh, to=to) as heard:
        send(fake_mesh, mesh, "late", to=to)
        contents = [heard.next(PATIENCE_S), heard.next(PATIENCE_S), heard.next(0.0)]

    assert [found and found.content for found in contents] == [b"early", b"late", None]


def test_a_lost_node_is_told_and_another_goes_on(fake_mesh: Any, mesh: MeshClient) -> None:
    """The hooks say what became of the stream; what both nodes told is heard once."""
    told, to = Told(), own(fake_mesh)
    with listening(fake_mesh, mesh, told, to=to) as heard:
        first = told.rows[0][1]
        send(fake_mesh, mesh, "one", to=to)
        one = heard.next(PATIENCE_S)
        fake_mesh.kill(first)
        send(fake_mesh, mesh, "two", to=to)
        two = heard.next(PATIENCE_S)

    assert [found and found.content for found in (one, two)] == [b"one", b"two"]
    names = [each.name for each in mesh.nodes]
    second = names[(names.index(first) + 1) % len(names)]
    assert [row[:2] for row in told.rows] == [
        ("opened", first),
        ("lost", first),
        ("opened", second),
        ("gap", second),
        ("closed",),
    ]
    assert told.rows[1][2]


def answering(
    fake_mesh: Any, mesh: MeshClient, answer: Callable[[MessageView], Draft]
) -> threading.Thread:
    """Answer the first question to the faucet's account, in a thread of its own."""
    signer = Wallet(fake_mesh.faucet)

    def serve() -> None:
        with messaging.stream(fake_mesh.environment, mesh, to=own(fake_mesh), topic="") as heard:
            question = heard.next(PATIENCE_S)
            assert question is not None
            messaging.send(fake_mesh.environment, mesh, signer, answer(question))

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_an_answer_carries_the_questions_correlation(fake_mesh: Any, mesh: MeshClient) -> None:
    """The one who asked gets that one, whatever else comes to it."""
    asker = Wallet(SigningKey(b"\x09" * 32))
    to = own(fake_mesh)
    back = asker.address(fake_mesh.environment.chain.hrp)
    send(fake_mesh, mesh, "no answer to anything", to=back)
    thread = answering(
        fake_mesh,
        mesh,
        lambda asked: Draft(b"42", to=asked.sender, correlation=bytes.fromhex(asked.correlation)),
    )
    heard = messaging.ask(
        fake_mesh.environment, mesh, asker, Draft(b"how much?", to=to), deadline_s=PATIENCE_S
    )
    thread.join()

    assert (heard.sender, heard.content) == (to, b"42")
    assert len(bytes.fromhex(heard.correlation)) == messaging.CORRELATION_BYTES


@pytest.fixture
def opens_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let who asks wait for the stream however long this machine takes to open it."""
    wait_open = Listening.wait_open
    monkeypatch.setattr(Listening, "wait_open", lambda each, _: wait_open(each, PATIENCE_S))


def test_who_could_not_ask_is_told_that_nothing_was_asked(
    fake_mesh: Any, mesh: MeshClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no node tells messages none is sent: it is not the other one who is silent."""
    sent: list[Draft] = []
    monkeypatch.setattr(Listening, "wait_open", lambda *_: False)
    monkeypatch.setattr(messaging, "send", lambda *words: sent.append(words[-1]))
    signer, draft = Wallet(fake_mesh.faucet), Draft(b"?", to=own(fake_mesh))
    with pytest.raises(AitbcError, match="no node told messages within 1 s") as silence:
        messaging.ask(fake_mesh.environment, mesh, signer, draft, deadline_s=1)

    assert silence.value.exit_status is Exit.DEADLINE
    assert sent == []


@pytest.mark.usefixtures("opens_late")
def test_who_gets_no_answer_is_told_so_in_time(fake_mesh: Any, mesh: MeshClient) -> None:
    """By an exit status of its own."""
    signer = Wallet(fake_mesh.faucet)
    with pytest.raises(AitbcError, match=r"no answer of .* within 1 s") as silence:
        messaging.ask(
            fake_mesh.environment, mesh, signer, Draft(b"?", to=own(fake_mesh)), deadline_s=1
        )

    assert silence.value.exit_status is Exit.DEADLINE


@pytest.mark.parametrize(
    "draft",
    [
        Draft(b"x"),
        Draft(b"x", to="aitd1x", topic="news"),
        Draft(b"x", topic="No Topic"),
        Draft(b"x", to="aitd1nobody"),
        Draft(bytes(40_000), topic="news"),
    ],
    ids=["nobody", "both", "topic", "address", "size"],
)
def test_what_no_node_would_take_is_refused_here(
    fake_mesh: Any, mesh: MeshClient, draft: Draft
) -> None:
    """Before anything is signed or sent."""
    with pytest.raises(UsageError):
        messaging.send(fake_mesh.environment, mesh, Wallet(fake_mesh.faucet), draft)


def test_a_stream_that_every_node_refuses_is_an_error(fake_mesh: Any, mesh: MeshClient) -> None:
    """It is not asked for again and again."""
    assert fake_mesh
    with (
        Listening(mesh.nodes, "/messages", {"topic": "No Topic"}) as heard,
        pytest.raises(RefusedError, match="no topic"),
    ):
        heard.next(PATIENCE_S)


@pytest.mark.usefixtures("opens_late")
def test_the_commands_send_hear_and_ask(
    fake_mesh: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One prints the id of what it sent, one what it heard, one the answer."""
    to = own(fake_mesh)
    assert run(["message", "publish", "hello", "--to", to, "--json"]) == Exit.OK
    name = json.loads(capsys.readouterr().out)["id"]

    assert run(["message", "watch", "--to", to, "--count", "1", "--json"]) == Exit.OK
    told = capsys.readouterr()
    assert json.loads(told.out)["id"] == name
    assert "listening" in told.err

    assert run(["message", "watch", "--to", to, "--count", "1"]) == Exit.OK
    assert capsys.readouterr().out == f"{to} to you: hello\n"
    assert run(["message", "watch", "--topic", "quiet", "--for", "1"]) == Exit.OK
    assert capsys.readouterr().out == ""

    key = str(tmp_path / "agent.key")
    assert run(["account", "new", key]) == Exit.OK
    capsys.readouterr()
    asked = ["message", "ask", to, "how much?", "--key", key, "--deadline", "1"]
    assert run(asked) == Exit.DEADLINE
    assert "no answer of" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["publish", "hello"],
        ["publish", "hello", "--topic", "No"],
        ["publish", "hello", "--topic", "news", "--correlation", "zz"],
        ["publish", "hello", "--topic", "news", "--correlation", "00" * 33],
        ["watch"],
        ["watch", "--to", "aitd1nobody"],
        ["ask", "aitd1nobody", "hello"],
    ],
)
def test_a_wrong_word_is_a_usage_mistake(fake_mesh: Any, words: list[str]) -> None:
    """Told before anything is sent."""
    assert fake_mesh
    assert run(["message", *words]) == Exit.USAGE
