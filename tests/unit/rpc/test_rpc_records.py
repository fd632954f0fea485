"""What the node answers about records: whose, for how long, and proved."""

from typing import Any

import pytest

from aitbc_node import bech32
from aitbc_node.canonical import encode
from aitbc_node.ledger import records
from aitbc_node.ledger.objects import StoredRecord
from aitbc_node.ledger.revoking import record_key_of
from aitbc_node.ledger.state import Draft, verify_proof
from aitbc_node.types import Address, Hash, Height, PublicKey

ALICE, BOB = Address(b"a" * 20), Address(b"b" * 20)


def keep(node: Any, namespace: str, key: bytes, *, owner: Address = ALICE, until: int = 9) -> None:
    """Put a record whose value is its owner into the node's state."""
    draft = Draft(node.state)
    stored = StoredRecord(namespace, key, bytes(owner), owner, Height(until))
    draft.put(records.record_key(namespace, key, owner), stored)
    writes = draft.writes()
    node.state.adopt(writes, draft.tree(writes))


def text(address: Address) -> str:
    """Write an address of the node's chain."""
    return bech32.address_text("aitd", address)


def test_a_record_is_told_with_its_owner_and_its_end(node: Any) -> None:
    """Each account has its own under one key; in `name` there is one, and its owner is told."""
    keep(node, "audit", b"head")
    keep(node, "audit", b"head", owner=BOB)
    keep(node, "name", b"shop", owner=BOB)

    told = {
        whose: node.read(f"/state/records/audit/{b'head'.hex()}?owner={text(whose)}")
        for whose in (ALICE, BOB)
    }

    assert {whose: each["value"] for whose, each in told.items()} == {
        ALICE: ALICE.hex(),
        BOB: BOB.hex(),
    }
    assert told[ALICE] == {
        "namespace": "audit",
        "key": b"head".hex(),
        "value": ALICE.hex(),
        "owner": text(ALICE),
        "expires": 9,
        "height": 3,
        "proof": None,
    }
    assert node.read(f"/state/records/name/{b'shop'.hex()}")["owner"] == text(BOB)


def test_a_record_is_proved_against_the_state_root(node: Any) -> None:
    """The proof holds exactly the record that is told."""
    keep(node, "audit", b"head")

    told = node.read(f"/state/records/audit/{b'head'.hex()}?owner={text(ALICE)}&proof=1")

    proof = told["proof"]
    nodes = tuple(bytes.fromhex(each) for each in proof["nodes"])
    place = records.record_key("audit", b"head", ALICE)
    proved = verify_proof(Hash(bytes.fromhex(proof["state_root"])), place, nodes)
    assert proof["state_root"] == node.state.root.hex()
    assert proved == encode(StoredRecord("audit", b"head", bytes(ALICE), ALICE, Height(9)))


def test_the_end_of_a_node_key_is_found_by_the_key_alone(node: Any) -> None:
    """Whoever wants to know need not know who handed it in."""
    key = record_key_of(PublicKey(b"k" * 32))
    keep(node, "peer", key)

    told = node.read(f"/state/records/peer/{key.hex()}")

    assert (told["owner"], told["key"]) == (text(ALICE), key.hex())
    target = f"/state/records/peer/{key.hex()}?owner={text(ALICE)}"
    assert node.fault(target, status=400)["field"] == "owner"


@pytest.mark.parametrize("until", [2, 3])
def test_a_record_whose_time_is_over_is_not_told(node: Any, until: int) -> None:
    """Its room may be freed later: from its last block on it is not there."""
    keep(node, "audit", b"head", until=until)

    fault = node.fault(f"/state/records/audit/{b'head'.hex()}?owner={text(ALICE)}", status=404)

    assert fault["code"] == "not-found"


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("/state/records/diary/00", "namespace"),
        ("/state/records/name/", "key"),
        ("/state/records/name/0", "key"),
        ("/state/records/name/0G", "key"),
        ("/state/records/name/AB", "key"),
        (f"/state/records/name/{'00' * 65}", "key"),
        ("/state/records/audit/00", "owner"),
        ("/state/records/audit/00?owner=faucet", "owner"),
        (f"/state/records/name/00?owner={text(ALICE)}", "owner"),
    ],
)
def test_words_that_name_no_record_are_refused_by_field(node: Any, target: str, field: str) -> None:
    """A stranger's words are read strictly; nothing of them reaches the state."""
    assert node.fault(target, status=400)["field"] == field
