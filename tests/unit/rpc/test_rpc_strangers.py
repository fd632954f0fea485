"""Whatever a stranger asks, the answer is a response of the promised shape."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aitbc_node import bech32
from aitbc_node.canonical import encode
from aitbc_node.crypto import SigningKey
from aitbc_node.ledger.motions import PauseAsset
from aitbc_node.ledger.objects import PROPOSAL as PROPOSAL_KIND
from aitbc_node.ledger.objects import Proposal, StoredRecord
from aitbc_node.ledger.policy import address_of, single_key
from aitbc_node.ledger.proposals import ProposalSubmit
from aitbc_node.ledger.records import record_key
from aitbc_node.rpc import schema
from aitbc_node.rpc.dispatch import ROUTES
from aitbc_node.rpc.route import Subscription
from aitbc_node.rpc.submission import Submission
from aitbc_node.rpc.view import Response
from aitbc_node.types import Address, Amount, Height, TxId

FIRST = SigningKey(bytes([1]) * 32)
KNOWN_TX = TxId(b"t" * 32)
OPERATOR = bech32.address_text("aitd", address_of(single_key(FIRST.public_key)))
PROPOSAL = b"p" * 20
SAMPLES = {
    "/validators/{address}/rewards": f"/validators/{OPERATOR}/rewards",
    "/state/accounts/{address}/stakes": f"/state/accounts/{OPERATOR}/stakes",
    "/state/accounts/{address}/rewards": f"/state/accounts/{OPERATOR}/rewards",
    "/state/validators/{address}": f"/state/validators/{OPERATOR}",
    "/state/proposals/{id}": f"/state/proposals/{PROPOSAL.hex()}",
    "/blocks/{height}": "/blocks/2",
    "/tx/{id}": f"/tx/{KNOWN_TX.hex()}",
    "/state/accounts/{address}": f"/state/accounts/{bech32.encode('aitd', b'f' * 20)}?proof=1",
    "/state/assets/{ticker}": "/state/assets/AIT?proof=1",
    "/state/asset/{ticker}": "/state/asset/AIT",
    "/state/records/{namespace}/{key}": f"/state/records/name/{b'shop'.hex()}",
}


READS = [route for route in ROUTES if route.method == "GET" and route.answers]


@pytest.mark.parametrize("route", READS, ids=lambda route: route.path)
def test_an_answer_is_of_its_documented_type(node: Any, route: Any) -> None:
    """Each read answers exactly the record that the document promises, field by field."""
    node.fates[KNOWN_TX] = ("committed", 2, 0, "ok", 210, ())
    motion = encode(ProposalSubmit(PauseAsset("AIT", paused=True)))
    opened = Proposal(Address(b"f" * 20), motion, Amount(0), Height(9))
    node.state.adopt({(PROPOSAL_KIND, PROPOSAL): opened}, node.state.tree)
    owner = Address(b"f" * 20)
    named = StoredRecord("name", b"shop", b"", owner, Height(9))
    node.state.adopt({record_key("name", b"shop", owner): named}, node.state.tree)

    response = node.ask(SAMPLES.get(route.path, route.path))

    (kind,) = route.answers
    assert response.status == 200, response.body
    assert dict(response.headers)["x-response-type"] == kind.__name__
    told = msgspec.json.decode(response.body)
    assert set(told) == set(kind.__struct_fields__)
    msgspec.convert(told, kind)


WORDS = st.sampled_from(
    [
        "",
        "status",
        "blocks",
        "latest",
        "tx",
        "state",
        "accounts",
        "validators",
        "proposals",
        "stakes",
        "rewards",
        "epoch",
        OPERATOR,
        "assets",
        "records",
        "audit",
        "name",
        "events",
        "0",
        "2",
        "-1",
    ]
) | st.text(max_size=12)
OPTIONS = st.dictionaries(
    st.sampled_from(["height", "from", "count", "proof", "owner", "topic", "envelope", "last_id"])
    | st.text(max_size=6),
    st.lists(st.text(max_size=12) | st.sampled_from(["1", "0", "block"]), min_size=1, max_size=2),
    max_size=3,
)
BODIES = st.binary(max_size=60) | st.sampled_from(
    [b'{"raw":"YQ=="}', b'{"txs":["YQ=="]}', b"\x91\xc4\x01a", b"null", b"[]", b'{"raw":null}']
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "", "G\x00T"]),
    words=st.lists(WORDS, max_size=5),
    query=OPTIONS,
    content_type=st.sampled_from(["application/json", "application/msgpack", "text/html", ""]),
    body=BODIES,
)
def test_no_request_is_a_crash(node: Any, method: str, words: list[str], **other: Any) -> None:
    """Any method, path, query and body end in an answer, or in a refusal with a stable code."""
    outcome = node.outcome("/" + "/".join(words).replace("?", ""), method=method, **other)

    match outcome:
        case Submission(raws=raws):
            assert raws
        case Subscription(topics=topics):
            assert topics
        case Response(status=200):
            pass
        case Response(status=status, body=bytes_):
            assert 400 <= status < 600
            told = msgspec.json.decode(bytes_)
            fault = msgspec.convert(told["error"], schema.Fault)
            assert fault.code
            assert fault.message
