"""Which requests are taken, how answers name them, and how transactions come in."""

import asyncio
import base64
from typing import Any

import msgspec
import pytest

from aitbc_node import limits
from aitbc_node.codes import Code
from aitbc_node.events import TxOutcome
from aitbc_node.rpc import openapi
from aitbc_node.rpc.dispatch import ROUTES, TOPICS, answer_submission
from aitbc_node.rpc.exchange import read_request
from aitbc_node.rpc.route import Subscription
from aitbc_node.rpc.submission import Submission
from aitbc_node.rpc.view import Request, Response
from aitbc_node.types import Power, TxId

ID = TxId(b"i" * 32)


def posted(body: bytes, **other: object) -> dict[str, object]:
    """Describe a `POST /tx`."""
    return {"method": "POST", "body": body, **other}


def answered(node: Any, code: str, *, single: bool = True) -> Response:
    """Let the machine answer one transaction with a code."""
    request = Request(method="POST", path="/tx", request_id="r-9")
    outcome = TxOutcome(ID, code, "nonce", "why")
    asked = Submission((b"raw",), single=single)
    return answer_submission(asked, [outcome], request, view=node, reader=node)


@pytest.mark.proves("A26")
def test_every_answer_names_its_request_and_type(node: Any) -> None:
    """An answer carries the request's id, its type, and a result or an error but never both."""
    good, bad = node.ask("/status"), node.ask("/blocks/99")

    assert dict(good.headers)["x-request-id"] == dict(bad.headers)["x-request-id"] == "r-1"
    assert dict(good.headers)["x-response-type"] == "Status"
    assert dict(bad.headers)["x-response-type"] == "ErrorAnswer"
    assert msgspec.json.decode(bad.body)["error"]["request_id"] == "r-1"
    held = msgspec.json.decode(node.ask("/status?envelope=1").body)
    lost = msgspec.json.decode(node.ask("/blocks/99?envelope=1").body)
    assert (held["id"], held["type"], "error" in held) == ("r-1", "Status", False)
    assert (lost["id"], lost["type"], "result" in lost) == ("r-1", "ErrorAnswer", False)


def test_a_wrong_method_names_the_right_one(node: Any) -> None:
    """A route that exists answers a wrong method with 405 and the allowed ones."""
    response = node.ask("/tx", method="GET")

    assert response.status == 405
    assert ("allow", "POST") in response.headers


def test_the_document_and_the_routes_are_the_same_set() -> None:
    """Every route is in the OpenAPI document and nothing else is."""
    document = openapi.document(ROUTES)

    told = {(method.upper(), path) for path, ops in document["paths"].items() for method in ops}
    assert told == {(route.method, route.path) for route in ROUTES}


def test_the_document_refers_only_to_what_it_defines() -> None:
    """No reference of the OpenAPI document dangles, and operation ids are unique."""
    document = openapi.document(ROUTES)
    text = msgspec.json.encode(document).decode()

    defined = set(document["components"]["schemas"])
    for piece in text.split("#/components/schemas/")[1:]:
        assert piece.split('"')[0] in defined
    ids = [op["operationId"] for ops in document["paths"].values() for op in ops.values()]
    assert len(ids) == len(set(ids))


def test_the_document_is_served(node: Any) -> None:
    """The document that is served is the one made from the table."""
    assert node.read("/openapi.json")["openapi"] == "3.1.0"


def test_metrics_are_text(node: Any) -> None:
    """Metrics pass through untouched, in Prometheus' content type."""
    response = node.ask("/metrics")

    assert response.body == b"aitbc_height 3\n"
    assert response.content_type.startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("topic", TOPICS)
def test_events_open_a_stream(node: Any, topic: str) -> None:
    """A known topic opens a stream that may begin after a known event."""
    told = node.outcome(f"/events?topic={topic}&last_id=a-3")

    assert told == Subscription(frozenset({topic}), "a-3")
    brief = node.outcome(f"/events?topic={topic}", is_brief=True)
    assert brief == Subscription(frozenset({topic}), "", is_brief=True)


def test_three_ways_to_hand_in_transactions(node: Any) -> None:
    """One as base64, several as base64, several as msgpack: the bytes arrive as they were."""
    raws = [b"one", b"\x00\xff"]
    texts = [base64.b64encode(raw).decode() for raw in raws]

    one = node.outcome("/tx", **posted(msgspec.json.encode({"raw": texts[0]})))
    several = node.outcome("/tx", **posted(msgspec.json.encode({"txs": texts})))
    packed = node.outcome(
        "/tx", **posted(msgspec.msgpack.encode(raws), content_type="application/msgpack")
    )

    assert one == Submission((b"one",), single=True)
    assert several == packed == Submission((b"one", b"\x00\xff"), single=False)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "body"),
        (b"{}", 400, "raw"),
        (b'{"raw": "YQ==", "txs": ["YQ=="]}', 400, "raw"),
        (b'{"raw": "*"}', 400, "raw"),
        (b'{"raw": 5}', 400, "raw"),
        (b'{"raw": "YQ==", "nonce": 1}', 400, "body"),
        (b'{"txs": []}', 400, "txs"),
        (b'{"txs": ["YQ==", "*"]}', 400, "txs[1]"),
        (b"[" * 100_000, 400, "body"),
        (b"\xff\xfe", 400, "body"),
    ],
)
def test_a_malformed_body_names_its_field(node: Any, body: bytes, status: int, field: str) -> None:
    """A body that cannot be read is refused with the field at fault."""
    fault = node.fault("/tx", status=status, **posted(body))

    assert fault["field"] == field
    assert fault["code"] in {"malformed", "bad-request", "size"}


def test_too_many_transactions_at_once_are_refused(node: Any) -> None:
    """A batch above the bound is refused as a whole."""
    body = msgspec.msgpack.encode([b"x"] * (limits.RPC_BATCH_TXS_MAX + 1))

    fault = node.fault("/tx", status=413, **posted(body, content_type="application/msgpack"))

    assert (fault["code"], fault["field"]) == ("size", "txs")


def test_an_unknown_content_type_is_415(node: Any) -> None:
    """A body of a type that is not read here is not guessed at."""
    fault = node.fault("/tx", status=415, **posted(b"a=b", content_type="text/plain"))

    assert fault["field"] == "content-type"


def test_a_minority_takes_no_transactions(node: Any) -> None:
    """A node without quorum refuses with 503 and when to come back, and queues nothing."""
    node.reachable_power = Power(2)

    response = node.ask("/tx", **posted(b'{"raw": "YQ=="}'))

    assert response.status == 503
    assert "retry-after" in dict(response.headers)
    assert msgspec.json.decode(response.body)["error"]["code"] == "no-quorum"


def test_an_accepted_transaction_is_pending(node: Any) -> None:
    """A transaction that the machine takes is answered with 202, its id and its status."""
    response = answered(node, Code.OK)

    assert response.status == 202
    assert msgspec.json.decode(response.body) == {"id": ID.hex(), "status": "pending"}


@pytest.mark.proves("B20")
@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.E_MALFORMED, 400),
        (Code.E_SIZE, 413),
        (Code.E_CHAIN, 422),
        (Code.E_SIGNATURE, 422),
        (Code.E_NONCE, 422),
        (Code.E_EXPIRED, 422),
        (Code.E_INSUFFICIENT, 422),
        (Code.E_QUEUE_FULL, 429),
        (Code.E_POOL_FULL, 503),
        (Code.E_NO_QUORUM, 503),
    ],
)
def test_each_refusal_keeps_its_code(node: Any, code: Code, status: int) -> None:
    """A refusal travels with its stable code and field; only passing ones say when to retry."""
    response = answered(node, code)

    error = msgspec.json.decode(response.body)["error"]
    assert (response.status, error["code"], error["field"]) == (status, code, "nonce")
    assert ("retry-after" in dict(response.headers)) == (status in {429, 503})


@pytest.mark.parametrize("code", [Code.E_DUPLICATE, Code.E_NONCE])
def test_handing_in_again_what_is_final_is_no_error(node: Any, code: Code) -> None:
    """The same bytes again get the fate of the first time, whatever the mempool says now."""
    node.fates[ID] = ("committed", 2, 0, "ok", 210, ())

    response = answered(node, code)

    assert response.status == 202
    assert msgspec.json.decode(response.body) == {"id": ID.hex(), "status": "committed"}


def test_a_waiting_duplicate_is_pending(node: Any) -> None:
    """The same bytes again, still waiting, are simply pending, and the index is not asked."""
    node.mempool.waiting = {ID}
    asked = []
    node.transaction = asked.append

    response = answered(node, Code.E_DUPLICATE)

    assert response.status == 202
    assert msgspec.json.decode(response.body) == {"id": ID.hex(), "status": "pending"}
    assert asked == []


def test_a_batch_answers_item_by_item(node: Any) -> None:
    """A batch is answered in its order; refused items carry code and field."""
    response = answered(node, Code.E_NONCE, single=False)

    (row,) = msgspec.json.decode(response.body)["results"]
    assert response.status == 202
    assert row == {
        "id": ID.hex(),
        "status": "rejected",
        "code": "nonce",
        "field": "nonce",
        "message": "why",
    }


@pytest.mark.parametrize("is_brief", [False, True])
def test_a_batch_is_answered_in_short_for_who_prefers_that(node: Any, *, is_brief: bool) -> None:
    """Those that are held, or known, are only counted; each other one is told with its place."""
    names = [TxId(bytes([place]) * 32) for place in range(4)]
    node.fates[names[3]] = ("rejected", 2, 0, "nonce", 210, ())
    codes = [Code.OK, Code.E_NONCE, Code.E_DUPLICATE, Code.E_NONCE]
    node.mempool.waiting = {names[2]}
    said = [TxOutcome(*each, "nonce", "why") for each in zip(names, codes, strict=True)]
    request = Request(method="POST", path="/tx", request_id="r-9", is_brief=is_brief)

    response = answer_submission(
        Submission((b"raw",) * 4, single=False), said, request, view=node, reader=node
    )

    told = msgspec.json.decode(response.body)
    headers = dict(response.headers)
    assert response.status == 202
    assert (headers.get("preference-applied") == "return=minimal") == is_brief
    if not is_brief:
        assert [row["code"] for row in told["results"]] == ["ok", "nonce", "ok", "ok"]
        return
    assert headers["x-response-type"] == "BriefResult"
    refused = {"index": 1, "id": names[1].hex(), "code": "nonce", "field": "nonce"}
    assert told == {"taken": 3, "refused": [{**refused, "message": "why"}]}


@pytest.mark.parametrize(
    ("told", "is_brief"),
    [
        (b"return=minimal", True),
        (b"respond-async, Return=Minimal; x=1", True),
        (b"return=representation", False),
        (b"xreturn=minimal", False),
        (b"", False),
    ],
)
def test_the_least_is_given_to_who_prefers_it(told: bytes, *, is_brief: bool) -> None:
    """The preference may stand among others; anything else is ignored, as the RFC wants it."""
    scope = {"method": "GET", "path": "/events", "query_string": b""}
    reading = read_request(scope, {b"prefer": told}, nothing_more, request_id="r-1")

    assert asyncio.run(reading).is_brief == is_brief


async def nothing_more() -> dict[str, object]:
    """Be a client that sends no body."""
    raise AssertionError
