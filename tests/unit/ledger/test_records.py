"""Records: who may write where, for how long, and what their room costs."""

import msgspec
import pytest

from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger import records
from aitbc_node.ledger.families import gas_of
from aitbc_node.ledger.objects import RECORD, StoredRecord
from aitbc_node.ledger.records import RecordPut
from aitbc_node.ledger.transactions import parse, sign
from aitbc_sim.town import Town, address, key_of

NAME = RecordPut("name", b"shop", b"alice sells", 3)


def stored(town: Town, body: RecordPut, owner: str = "alice") -> StoredRecord | None:
    """Look a record up as its owner's."""
    return town.state.record(records.record_key(body.ns, body.key, address(owner))[1])


def test_a_record_is_kept_until_it_expires(town: Town) -> None:
    """Written at height 1 for three blocks: there after 1 to 3, gone after 4."""
    receipt = town.apply(town.tx("alice", NAME)).receipts[0]

    assert receipt.code == Code.OK
    assert receipt.events == (("record.put", "name", b"shop".hex(), address("alice").hex(), "4"),)
    for _ in range(3):
        found = stored(town, NAME)
        assert found is not None
        assert (found.value, found.expires) == (b"alice sells", 4)
        town.apply()
    assert stored(town, NAME) is None
    kinds = [kind for (kind, _), _ in town.state.items()]
    assert RECORD not in kinds
    assert "agenda" not in kinds


def test_a_renewed_record_outlives_its_first_end(town: Town) -> None:
    """The last ttl counts, and the value may change."""
    town.apply(town.tx("alice", NAME))
    town.apply(town.tx("alice", msgspec.structs.replace(NAME, value=b"new", ttl=9)))
    for _ in range(5):
        town.apply()

    found = stored(town, NAME)

    assert found is not None
    assert (found.value, found.expires) == (b"new", 11)


def test_a_name_belongs_to_whoever_took_it_first(town: Town) -> None:
    """Another's name is refused, until its time is over."""
    town.apply(town.tx("alice", NAME))

    failed = town.apply(town.tx("bob", NAME)).receipts[0]
    town.apply()
    town.apply()
    taken = town.apply(town.tx("bob", NAME)).receipts[0]

    assert (failed.code, failed.events) == (Code.E_UNAUTHORISED, (("failed", "0", "key"),))
    assert taken.code == Code.OK
    assert stored(town, NAME).owner == address("bob")


def test_every_other_namespace_is_each_accounts_own(town: Town) -> None:
    """Nobody can occupy the key under which another's audit head is looked for."""
    head = RecordPut("audit", b"head", b"1", 5)

    town.apply(town.tx("alice", head), town.tx("bob", msgspec.structs.replace(head, value=b"2")))

    assert stored(town, head, "alice").value == b"1"
    assert stored(town, head, "bob").value == b"2"


def test_a_record_can_be_removed_by_its_owner_alone(town: Town) -> None:
    """A ttl of zero removes; there must be something to remove, and it must be one's own."""
    gone = msgspec.structs.replace(NAME, value=b"", ttl=0)
    town.apply(town.tx("alice", NAME))

    stranger = town.apply(town.tx("bob", gone)).receipts[0]
    owner = town.apply(town.tx("alice", gone)).receipts[0]
    again = town.apply(town.tx("alice", gone)).receipts[0]

    assert (stranger.code, stranger.events[0][2]) == (Code.E_UNAUTHORISED, "key")
    assert owner.events[0][-1] == "removed"
    assert (again.code, again.events) == (Code.E_UNKNOWN, (("failed", "0", "key"),))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ns": "gossip"}, "ns"),
        ({"key": b""}, "key"),
        ({"key": bytes(65)}, "key"),
        ({"value": bytes(4_097)}, "value"),
        ({"ttl": -1}, "ttl"),
        ({"ttl": records.TTL_BLOCKS_MAX + 1}, "ttl"),
        ({"ttl": 0}, "value"),
    ],
)
def test_form(town: Town, changes: dict[str, object], field: str) -> None:
    """Namespace, sizes and time are bounded, and the refusal names the field."""
    body = msgspec.structs.replace(NAME, **changes)

    refusal = parse(sign(town.draft("alice", body), [key_of("alice")]))

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (Code.E_MALFORMED, f"bodies[0].{field}")


def test_room_is_paid_for_by_size_and_time() -> None:
    """21,000 and 64 a byte for writing; a gas keeps a byte (and 128 of overhead) 1000 blocks."""
    assert gas_of(RecordPut("blob", b"k", b"", 0)) == 21_000 + 64
    assert gas_of(RecordPut("blob", b"k", bytes(871), 1_000)) == 21_000 + 64 * 872 + 1_000
    assert gas_of(RecordPut("blob", b"k", bytes(871), 1_001)) == 21_000 + 64 * 872 + 1_001


def test_a_bundle_that_fails_leaves_no_record(town: Town) -> None:
    """All bodies happen or none: the agenda entry goes, too."""
    gone = RecordPut("name", b"none", b"", 0)
    root = town.state.root

    receipt = town.apply(town.tx("alice", NAME, gone)).receipts[0]

    assert (receipt.code, receipt.events) == (Code.E_UNKNOWN, (("failed", "1", "key"),))
    assert stored(town, NAME) is None
    assert town.state.root != root
    assert "agenda" not in {kind for (kind, _), _ in town.state.items()}
