"""The toolkit's client against nodes that answer badly, late, or not at all."""

import errno
import json
from collections.abc import Callable

import httpx
import pytest

from aitbc_toolkit.asking import MeshClient, Silence
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.rpc_client import RefusedError, RpcClient, SilentError, Target

Answerer = Callable[[httpx.Request], httpx.Response]

ROOT = {"height": 7, "state_root": "ab", "block_id": "cd"}
ID = "11" * 32


def a_client(answer: Answerer, *, pauses: list[float] | None = None) -> RpcClient:
    """Make a client of one node whose answers are made by a function."""
    http = httpx.Client(transport=httpx.MockTransport(answer))
    kept = [] if pauses is None else pauses
    return RpcClient(Target("v1", "http://v1:1"), http=http, pause=kept.append)


def a_mesh(**answers: Answerer) -> MeshClient:
    """Make a client of several nodes, each with its own function."""

    def answer(request: httpx.Request) -> httpx.Response:
        return answers[request.url.host](request)

    targets = [Target(name, f"http://{name}:1") for name in answers]
    return MeshClient(targets, http=httpx.Client(transport=httpx.MockTransport(answer)), retries=0)


def says(status: int, body: object, **headers: str) -> Answerer:
    """Answer every request in the same way."""
    return lambda _request: httpx.Response(status, json=body, headers=headers)


def fault(code: str, *, field: str = "", hint: str = "") -> dict[str, object]:
    """Make the body of an error."""
    return {"error": {"code": code, "message": "why not", "field": field, "hint": hint}}


def dead(_request: httpx.Request) -> httpx.Response:
    """Refuse the connection."""
    refused = OSError(errno.ECONNREFUSED, "Connection refused")
    raise httpx.ConnectError("refused") from refused


@pytest.mark.proves("B10")
def test_a_read_is_repeated_until_it_succeeds() -> None:
    """Two answers of 503 and then one of 200: the read succeeds with two repeats on record."""
    answers = iter(
        [
            httpx.Response(503, json=fault("unavailable"), headers={"retry-after": "9"}),
            httpx.Response(503, json=fault("unavailable")),
            httpx.Response(200, json=ROOT),
        ]
    )
    pauses: list[float] = []
    client = a_client(lambda _request: next(answers), pauses=pauses)

    told = client.state_root(7)

    assert (told.state_root, client.retried) == ("ab", 2)
    assert pauses == [1.0, 0.25]


def test_a_read_is_not_repeated_for_ever() -> None:
    """A node that never can answer ends the read with its own words."""
    client = a_client(says(503, fault("unavailable")))

    with pytest.raises(RefusedError) as caught:
        client.status()

    assert (caught.value.status, client.retried) == (503, 2)


@pytest.mark.proves("B10")
def test_a_transaction_is_handed_in_once() -> None:
    """One node is given a transaction once, whatever it answers: another try is the caller's."""
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.content)
        return httpx.Response(503, json=fault("mempool-full"))

    with pytest.raises(RefusedError):
        a_client(answer).submit(b"raw")

    assert len(seen) == 1


def test_a_refusal_keeps_code_field_and_hint() -> None:
    """What the node says is wrong reaches the operator whole."""
    client = a_client(says(422, fault("nonce", field="nonce", hint="read the account again")))

    with pytest.raises(RefusedError, match=r"v1 refused: why not \[nonce\] \(nonce\)") as caught:
        client.submit(b"raw")

    assert (caught.value.code, caught.value.hint) == ("nonce", "read the account again")


@pytest.mark.parametrize(
    "answer",
    [
        lambda _request: httpx.Response(200, text="<html>"),
        lambda _request: httpx.Response(404, text="not found"),
        lambda _request: httpx.Response(200, json={"height": "seven"}),
    ],
)
def test_another_program_on_the_port_is_named_so(answer: Answerer) -> None:
    """An answer that no node would give is no guess but an unreachable node with the reason."""
    with pytest.raises(SilentError, match="no answer of an AITBC node") as caught:
        a_client(answer).state_root(7)

    assert caught.value.exit_status is Exit.UNREACHABLE


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ConnectTimeout("x"), "no connection within 2 s"),
        (httpx.ReadTimeout("x"), "no answer within 5 s"),
        (httpx.RemoteProtocolError("x"), "closed the connection in mid-answer"),
        (httpx.ReadError(""), "ReadError"),
    ],
)
def test_silence_has_a_reason(error: Exception, reason: str) -> None:
    """Each way of not answering is told in a few words that fit a table."""

    def answer(_request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(SilentError) as caught:
        a_client(answer).status()

    assert caught.value.reason == reason


def test_an_unknown_transaction_is_none() -> None:
    """A node that was never given a transaction is no failure of the read."""
    assert a_client(says(404, fault("not-found"))).transaction(ID) is None


def test_asking_all_keeps_a_row_for_the_dead() -> None:
    """A dead node is a row with its reason beside the answers of the living."""
    with a_mesh(v1=says(200, ROOT), v2=dead, v3=says(404, fault("not-found"))) as mesh:
        told = mesh.ask_all(lambda node: node.state_root(7).state_root)

    assert told == {
        "v1": "ab",
        "v2": Silence("connection refused", is_down=True),
        "v3": Silence("why not [not-found]"),
    }


def test_any_node_will_do_and_turns_go_round() -> None:
    """Questions are spread over the nodes, and a dead one costs only a step to the next."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(200, json=ROOT)

    with a_mesh(v1=answer, v2=dead, v3=answer) as mesh:
        for _ in range(4):
            mesh.ask_any(lambda node: node.state_root(7))

    assert asked == ["v1", "v3", "v3", "v1"]


def test_all_dead_names_every_node() -> None:
    """When nobody answers the message holds each node with its reason, and the exit code is 69."""
    with (
        a_mesh(v1=dead, v2=says(503, fault("no-quorum"))) as mesh,
        pytest.raises(
            AitbcError, match=r"v1 connection refused; v2 why not \[no-quorum\]"
        ) as caught,
    ):
        mesh.submit(b"raw")

    assert caught.value.exit_status is Exit.UNREACHABLE


def test_a_refused_transaction_is_not_hawked_around() -> None:
    """A transaction that one node judged bad is bad everywhere: the others are not asked."""
    with (
        a_mesh(v1=says(422, fault("nonce")), v2=dead) as mesh,
        pytest.raises(RefusedError) as caught,
    ):
        mesh.submit(b"raw")

    assert caught.value.code == "nonce"


@pytest.mark.proves("B10")
def test_waiting_hands_in_the_same_bytes_again() -> None:
    """When no node knows a transaction any more, the very same bytes are handed in again."""
    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            bodies.append(json.loads(request.content)["raw"])
            return httpx.Response(202, json={"id": ID, "status": "pending"})
        if not bodies:
            return httpx.Response(404, json=fault("not-found"))
        done = {"id": ID, "status": "committed", "height": 3, "index": 0, "code": "ok"}
        return httpx.Response(200, json=done)

    with a_mesh(v1=answer, v2=dead) as mesh:
        told = mesh.wait(ID, deadline_s=10, raw=b"raw")

    assert (told.status, told.height) == ("committed", 3)
    assert bodies == ["cmF3"]


def test_check_09_124_waiting_ends_at_the_deadline() -> None:
    """A transaction that stays pending ends the wait with its last state and exit code 124."""
    with (
        a_mesh(v1=says(200, {"id": ID, "status": "pending"})) as mesh,
        pytest.raises(AitbcError, match="it is pending") as caught,
    ):
        mesh.wait(ID, deadline_s=0)

    assert caught.value.exit_status is Exit.DEADLINE
    assert caught.value.hint == f"aitbc tx wait {ID}"


def test_an_end_outranks_pending() -> None:
    """A node that lags behind does not hide that another has the block."""
    done = {"id": ID, "status": "committed", "height": 3}
    with a_mesh(v1=says(200, {"id": ID, "status": "pending"}), v2=says(200, done)) as mesh:
        assert mesh.wait(ID, deadline_s=0).status == "committed"
