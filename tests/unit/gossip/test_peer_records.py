"""Peer records: what a node says about where it is, and who may be believed."""

import pytest

from aitbc_node.canonical import decode, encode
from aitbc_node.crypto import SigningKey, peer_id, verify
from aitbc_node.errors import PeerFault
from aitbc_node.gossip.records import (
    AHEAD_MS,
    LIFE_MS,
    RENEW_MS,
    OwnRecord,
    PeerRecord,
    check,
    is_reachable_form,
    is_timely,
    sign_bytes,
    signed,
)
from aitbc_node.types import PublicKey, Signature

KEY = SigningKey(b"\x05" * 32)
CHAIN = "aitbc-test-1"
PLACES = ("192.0.2.1:8600", "[2001:db8::1]:8600")
WALL_MS = 1_800_000_000_000


def changed(record: PeerRecord, **fields: object) -> PeerRecord:
    """Change a record without its key."""
    names = ("key", "addresses", "made_ms", "signature")
    return PeerRecord(*(fields.get(name, getattr(record, name)) for name in names))  # type: ignore[arg-type]


def test_a_record_is_believed_because_its_node_signed_it() -> None:
    """It travels as canonical bytes and names the peer by its key."""
    record = signed(CHAIN, KEY, PLACES, made_ms=WALL_MS)

    read = decode(encode(record), PeerRecord)

    assert read == record
    assert read.peer == peer_id(KEY.public_key)
    check(read, CHAIN, verify)


@pytest.mark.parametrize(
    "fields",
    [
        {"addresses": ("192.0.2.9:8600",)},
        {"made_ms": WALL_MS + 1},
        {"key": SigningKey(b"\x06" * 32).public_key},
        {"signature": Signature(bytes(64))},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_whoever_passes_a_record_on_cannot_change_it(fields: dict[str, object]) -> None:
    """Neither the places, nor the time, nor whom it is about."""
    record = signed(CHAIN, KEY, PLACES, made_ms=WALL_MS)

    with pytest.raises(PeerFault, match="did not sign"):
        check(changed(record, **fields), CHAIN, verify)


def test_a_record_of_another_chain_is_none_here() -> None:
    """The chain is part of what is signed."""
    record = signed("aitbc-other-1", KEY, PLACES, made_ms=WALL_MS)

    with pytest.raises(PeerFault, match="did not sign"):
        check(record, CHAIN, verify)


def test_a_key_with_which_anybody_can_sign_is_refused() -> None:
    """Under the all-zero key 64 zero bytes verify, so a record of it proves nothing."""
    record = PeerRecord(PublicKey(bytes(32)), PLACES, WALL_MS, Signature(bytes(64)))
    assert verify(record.key, sign_bytes(CHAIN, record), record.signature)

    with pytest.raises(PeerFault, match="anybody can sign"):
        check(record, CHAIN, verify)


@pytest.mark.parametrize(
    "address",
    ["node.example:8600", "192.0.2.1", "192.0.2.1:0", "0.0.0.0:8600", "[::]:1", "224.0.0.1:1", ""],
)
def test_only_a_literal_address_with_a_port_can_be_passed_on(address: str) -> None:
    """A name could lead anywhere each time it is looked up, and tells who looks."""
    record = signed(CHAIN, KEY, (PLACES[0], address), made_ms=WALL_MS)

    assert not is_reachable_form(address)
    with pytest.raises(PeerFault, match="no literal address"):
        check(record, CHAIN, verify)


def test_a_record_counts_for_a_week() -> None:
    """Neither an old one nor one from the future would be worth a dial."""
    record = signed(CHAIN, KEY, PLACES, made_ms=WALL_MS)

    assert is_timely(record, WALL_MS + LIFE_MS)
    assert not is_timely(record, WALL_MS + LIFE_MS + 1)
    assert is_timely(record, WALL_MS - AHEAD_MS)
    assert not is_timely(record, WALL_MS - AHEAD_MS - 1)


def test_a_node_renews_its_own_record_every_day() -> None:
    """So it stays known for as long as it lives; a clock that was set back renews it, too."""
    own = OwnRecord(CHAIN, KEY, PLACES)
    first = own.at(WALL_MS)
    assert first is not None

    assert own.at(WALL_MS + RENEW_MS - 1) is first
    later = own.at(WALL_MS + RENEW_MS)
    assert later is not None
    assert later.made_ms == WALL_MS + RENEW_MS
    assert own.at(WALL_MS) != later


def test_a_node_without_an_address_says_nothing_of_itself() -> None:
    """It only dials."""
    assert OwnRecord(CHAIN, KEY, ()).at(WALL_MS) is None
