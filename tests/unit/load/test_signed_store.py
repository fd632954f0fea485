"""What was signed before a run is read back from one file as it was, with its id."""

from pathlib import Path

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aitbc_load.identities import identities
from aitbc_load.orders import Terms
from aitbc_load.signing import UNITS, Opening, cost_max, transfers
from aitbc_load.store import Store
from aitbc_node.blocks import tx_id
from aitbc_node.codes import Refusal
from aitbc_node.crypto import verify
from aitbc_node.ledger.fees import fee_of
from aitbc_node.ledger.transactions import parse
from aitbc_node.ledger.transfers import Transfer

TERMS = Terms(
    chain_id="aitbc-test-1",
    hrp="aitt",
    height=10,
    ttl_blocks=300,
    interval_ms=500,
    gas_price_max=1_000,
    tip_price=7,
)


def a_frame(place: int, count: int, size: int) -> bytes:
    """Write what stands before a hand-in."""
    return f"{place} {count} {size}|".encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), count=st.integers(1, 8), batch=st.integers(1, 5))
def test_what_is_written_is_read_again(
    tmp_path: Path, data: st.DataObject, count: int, batch: int
) -> None:
    """Whole requests by their place, bytes and ids by number, in the order of the hand-ins."""
    some = st.lists(st.binary(min_size=1, max_size=300), min_size=batch, max_size=batch)
    hand_ins = [data.draw(some) for _ in range(count)]
    raws = [raw for hand_in in hand_ins for raw in hand_in]
    store = Store.write(tmp_path / "signed", hand_ins, a_frame)

    assert not (tmp_path / "signed").exists(), "a run of minutes would leave tens of megabytes"
    assert [store.raw(number) for number in range(len(store))] == raws
    assert store.bytes_mean == sum(map(len, raws)) / len(raws)
    assert [store.id(number) for number in range(len(store))] == [tx_id(raw).hex() for raw in raws]
    for place, hand_in in enumerate(hand_ins):
        request, ids = store.hand_in(place)
        pieces = [msgspec.msgpack.encode(raw) for raw in hand_in]
        assert bytes(request) == a_frame(place, batch, sum(map(len, pieces))) + b"".join(pieces)
        assert ids == "".join(tx_id(raw).hex() for raw in hand_in)
    del request  # it lies in the file
    store.close()


def test_the_seed_makes_the_accounts() -> None:
    """A thousand accounts are the same twice, and no two workers share one."""
    first, again = identities(7, 0, 1_000), identities(7, 0, 1_000)
    other = identities(7, 1, 1_000)

    addresses = [each.address("ax") for each in first]
    assert addresses == [each.address("ax") for each in again]
    assert len({*addresses, *(each.address("ax") for each in other)}) == 2_000
    assert identities(8, 0, 1)[0].account != first[0].account
    assert identities(1, 10, 1)[0].account != identities(11, 0, 1)[0].account
    assert identities(8, 0, 1, turn=1)[0].account != identities(8, 0, 1)[0].account
    assert first[0].address("dx").startswith("dx1")


def test_transfers_are_good_and_in_order() -> None:
    """Each account's carry its next nonces and a good signature, and take no more than said."""
    accounts = identities(1, 0, 3)
    openings = [Opening(0, is_new=True), Opening(5, is_new=False), Opening(0, is_new=True)]

    owners = [(who, place) for place in range(4) for who in range(2)]
    payee = accounts[2].account
    raws = transfers(accounts[:2], openings[:2], TERMS, payee=payee, owners=owners)

    for (who, place), raw in zip(owners, raws, strict=True):
        parsed = parse(raw)
        assert not isinstance(parsed, Refusal)
        assert parsed.tx.sender == accounts[who].account
        assert parsed.tx.nonce == openings[who].nonce + place
        assert (parsed.tx.policy is None) == (who == 1)
        assert parsed.tx.valid_until == 310
        assert verify(parsed.sigs[0].key, parsed.sign_bytes, parsed.sigs[0].sig)
        body = parsed.tx.bodies[0]
        assert isinstance(body, Transfer)
        assert body.outs[0].to == accounts[2].account
        fee = fee_of(parsed.tx.gas_limit, TERMS.gas_price_max)
        assert UNITS + fee + parsed.tx.tip <= cost_max(TERMS)
