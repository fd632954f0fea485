"""The operator's interface: who may use it, what it takes, and what it answers."""

import msgspec
import pytest

from aitbc_node.codes import Code, Refusal
from aitbc_node.events import Drained, Finalized, PeersSought
from aitbc_node.rpc import admin, dispatch
from aitbc_node.rpc.admin import Discover, Drain, Finalize, MadeKey, NextKey, Recover, Snapshot
from aitbc_node.rpc.view import Request, RequestFault
from aitbc_node.types import Address, Height, PublicKey, Signature

TOKEN = "0123456789abcdef" * 3


def a_request(path: str, body: object, *, method: str = "POST") -> Request:
    """Build what the operator sends."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Request(method=method, path=path, body=raw)


def refused(path: str, body: object, *, method: str = "POST") -> RequestFault:
    """Return why a request was refused."""
    with pytest.raises(RequestFault) as caught:
        admin.read(a_request(path, body, method=method))
    return caught.value


def test_the_token_opens() -> None:
    """Exactly the content of the token file, as a bearer token."""
    admin.admit(b"Bearer " + TOKEN.encode(), token=TOKEN)


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        TOKEN.encode(),
        b"Basic " + TOKEN.encode(),
        b"bearer " + TOKEN.encode(),
        b"Bearer " + TOKEN[:-1].encode(),
        b"Bearer " + TOKEN.encode() + b"0",
        b"Bearer " + TOKEN.upper().encode(),
        b"Bearer \xff\x00",
    ],
)
def test_nothing_else_opens(given: bytes) -> None:
    """A refusal is 401 with a stable code and shows nothing of the token."""
    with pytest.raises(RequestFault) as caught:
        admin.admit(given, token=TOKEN)

    fault = caught.value
    assert (fault.status, fault.code) == (401, Code.E_OPERATOR)
    assert TOKEN[:8] not in fault.message + fault.hint


def test_commands_are_read_strictly() -> None:
    """A command is what its body says; the bounds are those of the documents."""
    assert admin.read(a_request("/admin/drain", {"deadline_ms": 20_000})) == Drain(20_000)
    assert admin.read(a_request("/admin/finalize", {"data_version": 2})) == Finalize(2)
    assert admin.read(a_request("/admin/next-key", {})) == NextKey()
    assert admin.read(a_request("/admin/snapshot", {})) == Snapshot()
    assert admin.read(a_request("/admin/net/discover", {})) == Discover()
    assert admin.read(a_request("/admin/net/recover", {})) == Recover()


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/admin/drain", b"", "body"),
        ("/admin/drain", b"[]", "body"),
        ("/admin/drain", {}, "body"),
        ("/admin/drain", {"deadline_ms": -1}, "deadline_ms"),
        ("/admin/drain", {"deadline_ms": 600_001}, "deadline_ms"),
        ("/admin/drain", {"deadline_ms": "1"}, "deadline_ms"),
        ("/admin/drain", {"deadline_ms": 1, "then": "stop"}, "body"),
        ("/admin/finalize", {"data_version": 0}, "data_version"),
        ("/admin/snapshot", {"height": 5}, "body"),
    ],
)
def test_a_wrong_body_names_its_field(path: str, body: object, field: str) -> None:
    """Nothing is guessed on an interface that stops nodes."""
    fault = refused(path, body)

    assert (fault.status, fault.code, fault.field) == (400, Code.E_BAD_REQUEST, field)


def test_other_routes_and_methods_are_refused() -> None:
    """A read here would be a second public interface; there is none."""
    assert refused("/status", {}).status == 404
    fault = refused("/admin/drain", {"deadline_ms": 1}, method="GET")
    assert (fault.status, fault.headers) == (405, (("allow", "POST"),))


def test_the_public_interface_has_no_route_of_the_operator() -> None:
    """What only the operator may do is on another port, whatever headers a client sends."""
    assert not [route.path for route in dispatch.ROUTES if "admin" in route.path]


def test_answers() -> None:
    """What came of a command, as JSON names it."""
    drained = admin.answer(Drained(Height(9), None, in_time=True))
    finalized = admin.answer(Finalized(2))
    sought = admin.answer(PeersSought(sought=3, linked=4, known=5))

    assert msgspec.json.encode(drained) == b'{"height":9,"next_turn_in":null,"in_time":true}'
    assert msgspec.json.encode(finalized) == b'{"data_version":2}'
    assert msgspec.json.encode(sought) == b'{"sought":3,"linked":4,"known":5}'


def test_of_a_new_key_only_what_the_ledger_is_told_is_answered() -> None:
    """The public part, the proof that it is held, and for whom; the private part stays."""
    made = MadeKey(PublicKey(b"\1" * 32), Signature(b"\2" * 64), Address(b"\3" * 20), made=True)

    told = msgspec.to_builtins(admin.answer(made))

    assert told == {"key": "01" * 32, "proof": "02" * 64, "operator": "03" * 20, "made": True}


@pytest.mark.parametrize(("code", "status"), [(Code.E_CONFLICT, 409), (Code.E_UNAVAILABLE, 503)])
def test_a_refusal_keeps_its_code(code: Code, status: int) -> None:
    """The machine's reason is the client's reason."""
    with pytest.raises(RequestFault) as caught:
        admin.answer(Refusal(code, "data_version", "why"))

    assert (caught.value.status, caught.value.code, caught.value.field) == (
        status,
        code,
        "data_version",
    )
