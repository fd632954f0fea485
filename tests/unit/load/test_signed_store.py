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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raws=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=20))
def test_what_is_written_is_read_again(tmp_path: Path, raws: list[bytes]) -> None:
    """Bytes and ids come back by number; pieces behind each other are a body of `POST /tx`."""
    store = Store.write(tmp_path / "signed", raws)

    assert not (tmp_path / "signed").exists(), "a run of minutes would leave tens of megabytes"
    assert [store.raw(number) for number in range(len(store))] == raws
    assert [store.id(number) for number in range(len(store))] == [tx_id(raw) for raw in raws]
    body = bytes([0xDC]) + len(raws).to_bytes(2, "big")
    body += b"".join(store.piece(number) for number in range(len(store)))
    assert msgspec.msgpack.decode(body, type=list[bytes]) == raws
    assert store.bytes_mean == sum(map(len, raws)) / len(raws)
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

    raws = list(transfers(accounts[:2], openings[:2], TERMS, payee=accounts[2].account, each=4))

    for number, raw in enumerate(raws):
        parsed = parse(raw)
        assert not isinstance(parsed, Refusal)
        who, place = divmod(number, 4)
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
