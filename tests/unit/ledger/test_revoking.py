"""Node keys that end: by their own word only, once, and for ever."""

import msgspec
import pytest

from aitbc_node.codes import Code
from aitbc_node.crypto import SigningKey, peer_id
from aitbc_node.ledger import rebuilding, records, revoking
from aitbc_node.ledger.objects import RECORD, StoredRecord
from aitbc_node.ledger.records import REVOKED_TTL_BLOCKS, RecordPut, revoked_by
from aitbc_node.ledger.state import State
from aitbc_node.ledger.transactions import parse, sign
from aitbc_node.types import Address
from aitbc_sim.town import CHAIN_ID, Town, address, key_of

NODE, OTHER, THIRD = (SigningKey(bytes([seed]) * 32) for seed in (5, 6, 7))
END = revoked_by(CHAIN_ID, NODE)


def test_a_key_ends_by_its_own_word_whoever_hands_it_in(town: Town) -> None:
    """Everybody finds it under the key alone, and the index beside the state names the node."""
    receipt = town.apply(town.tx("alice", END)).receipts[0]

    ended = peer_id(NODE.public_key)
    put = ("record.put", "peer", END.key.hex(), address("alice").hex(), str(records.FOREVER))
    assert (receipt.code, receipt.events) == (Code.OK, (put, ("node.revoked", ended.hex())))
    place = records.record_key("peer", END.key, Address(b""))
    assert place == records.record_key("peer", END.key, address("bob"))
    assert town.state.record(place[1]) is not None
    assert town.state.listing.revoked == {ended}
    assert State(town.state.contents).listing.revoked == {ended}
    assert rebuilding.KINDS[place[0]] is type(town.state.record(place[1]))


@pytest.mark.parametrize(
    "value",
    [
        revoking.revocation(CHAIN_ID, OTHER),
        revoking.revocation("aitbc-other-1", NODE),
        NODE.sign(b""),
    ],
    ids=["another key's", "another chain's", "about something else"],
)
def test_nobody_else_ends_a_key(town: Town, value: bytes) -> None:
    """Only what the key itself has signed, about itself and this chain, ends it."""
    forged = msgspec.structs.replace(END, value=value)

    receipt = town.apply(town.tx("alice", forged)).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_SIGNATURE, (("failed", "0", "value"),))
    assert town.state.listing.revoked == set()


REPLACED = records.ended_by(NODE.public_key, revoking.replacement(CHAIN_ID, NODE, OTHER))


def test_a_key_ends_in_favour_of_another_one_that_signs_as_well(town: Town) -> None:
    """One transaction says both, and the index beside the state, made anew or not, knows it."""
    receipt = town.apply(town.tx("alice", REPLACED)).receipts[0]

    ended, heir = peer_id(NODE.public_key), peer_id(OTHER.public_key)
    assert receipt.code == Code.OK
    revoked, replaced = receipt.events[1:]
    assert revoked == ("node.revoked", ended.hex())
    assert replaced == ("node.replaced", ended.hex(), heir.hex())
    for listing in (town.state.listing, State(town.state.contents).listing):
        assert (listing.revoked, listing.heirs) == ({ended}, {ended: heir})


@pytest.mark.parametrize(
    "value",
    [
        OTHER.public_key + REPLACED.value[32:96] + NODE.sign(b""),
        OTHER.public_key + OTHER.sign(b"") + REPLACED.value[96:],
        OTHER.public_key + REPLACED.value[96:] + REPLACED.value[32:96],
        THIRD.public_key + REPLACED.value[32:],
        revoking.replacement("aitbc-other-1", NODE, OTHER),
    ],
    ids=["not the new key's", "not the old key's", "swapped", "a third's", "another chain's"],
)
def test_nobody_is_put_into_a_place_unasked_or_takes_it_alone(town: Town, value: bytes) -> None:
    """Both keys have to sign the same, for this chain."""
    forged = msgspec.structs.replace(REPLACED, value=value)

    receipt = town.apply(town.tx("alice", forged)).receipts[0]

    assert receipt.code == Code.E_SIGNATURE
    assert (town.state.listing.revoked, town.state.listing.heirs) == (set(), {})


def test_a_key_that_has_ended_takes_nobodys_place(town: Town) -> None:
    """So who is in a place is found by going on, and that ends."""
    town.apply(town.tx("alice", revoked_by(CHAIN_ID, OTHER)))

    receipt = town.apply(town.tx("alice", REPLACED)).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_STATE, (("failed", "0", "value"),))
    assert town.state.listing.heirs == {}


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_an_end_in_favour_of_nobody_takes_back_a_place_that_was_given_away(
    town: Town, who: str
) -> None:
    """What a thief did with a stolen key its owner undoes, whoever handed in either of them."""
    town.apply(town.tx("alice", REPLACED))

    receipt = town.apply(town.tx(who, END)).receipts[0]

    ended = peer_id(NODE.public_key)
    put = ("record.put", "peer", END.key.hex(), address(who).hex(), str(records.FOREVER))
    assert (receipt.code, receipt.events) == (Code.OK, (put, ("node.revoked", ended.hex())))
    place = records.record_key("peer", END.key, Address(b""))
    kept = StoredRecord("peer", END.key, END.value, address(who), records.FOREVER)
    assert town.state.record(place[1]) == kept
    for listing in (town.state.listing, State(town.state.contents).listing):
        assert (listing.revoked, listing.heirs) == ({ended}, {})


def test_what_was_taken_back_is_given_to_nobody_again(town: Town) -> None:
    """Neither to the same heir nor to another, nor is it taken back twice; the heir's key lives."""
    to_third = records.ended_by(NODE.public_key, revoking.replacement(CHAIN_ID, NODE, THIRD))
    town.apply(town.tx("alice", REPLACED))
    again = town.apply(town.tx("alice", REPLACED)).receipts[0]
    other = town.apply(town.tx("bob", to_third)).receipts[0]
    assert (again.code, other.code) == (Code.E_STATE, Code.E_STATE)
    assert town.state.listing.heirs == {peer_id(NODE.public_key): peer_id(OTHER.public_key)}

    town.apply(town.tx("bob", END))
    late = [town.apply(town.tx("alice", put)).receipts[0] for put in (REPLACED, to_third, END)]

    assert [each.events for each in late] == [(("failed", "0", "key"),)] * 3
    assert town.state.listing.heirs == {}
    assert town.state.listing.revoked == {peer_id(NODE.public_key)}


def test_nobody_else_takes_a_place_back(town: Town) -> None:
    """The heir least of all: only the key that gave it away, by its own word."""
    town.apply(town.tx("alice", REPLACED))
    forged = msgspec.structs.replace(END, value=revoking.revocation(CHAIN_ID, OTHER))

    receipt = town.apply(town.tx("alice", forged)).receipts[0]

    assert receipt.code == Code.E_SIGNATURE
    assert town.state.listing.heirs == {peer_id(NODE.public_key): peer_id(OTHER.public_key)}


def test_an_ended_key_never_comes_back(town: Town) -> None:
    """Neither who wrote it nor anybody else renews or removes it, and no block frees its room."""
    town.apply(town.tx("alice", END))

    again = [town.apply(town.tx(who, END)).receipts[0] for who in ("alice", "bob")]
    for _ in range(3):
        town.apply()

    assert [receipt.code for receipt in again] == [Code.E_STATE, Code.E_STATE]
    assert town.state.listing.revoked == {peer_id(NODE.public_key)}
    assert "agenda" not in [kind for (kind, _), _ in town.state.items()]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"value": END.value[1:]}, "value"),
        ({"value": b"", "ttl": 0}, "value"),
        ({"ttl": REVOKED_TTL_BLOCKS - 1}, "ttl"),
        ({"ttl": 0}, "ttl"),
        ({"value": revoking.replacement(CHAIN_ID, NODE, NODE)}, "value"),
        ({"value": bytes(revoking.REPLACEMENT_BYTES - 1)}, "value"),
    ],
    ids=["short", "a removal", "for a time", "for no time", "in its own place", "short of both"],
)
def test_what_is_no_revocation_is_refused_by_its_form(
    town: Town, change: dict[str, object], field: str
) -> None:
    """Such a transaction gets into no block, so it cannot even cost its sender."""
    draft = town.draft("alice", msgspec.structs.replace(END, **change))

    refused = parse(sign(draft, [key_of("alice")]))

    assert (refused.code, refused.field) == (Code.E_MALFORMED, f"bodies[0].{field}")


def test_a_key_that_only_begins_like_one_is_a_record_like_any_other(town: Town) -> None:
    """Each account keeps its own there, and removes it."""
    near = RecordPut("peer", END.key + b"x", b"mine", 5)

    town.apply(town.tx("alice", near), town.tx("bob", near))
    gone = msgspec.structs.replace(near, value=b"", ttl=0)
    receipt = town.apply(town.tx("alice", gone)).receipts[0]

    assert receipt.code == Code.OK
    assert town.state.listing.revoked == set()
    kept = records.record_key("peer", near.key, address("bob"))
    assert town.state.record(kept[1]) is not None


def test_what_only_looks_like_a_revocation_ends_no_key(town: Town) -> None:
    """Only the place that all accounts share counts: a record of one's own was never signed."""
    alice = address("alice")
    own = RECORD, revoking.record_name("peer", END.key, alice)
    looks_so = StoredRecord("peer", END.key, END.value, alice, records.FOREVER)

    state = State({**town.state.contents, own: looks_so})

    assert state.listing.revoked == set()
