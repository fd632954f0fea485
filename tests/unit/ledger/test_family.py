"""What a type of body is taken for when it says nothing else."""

from aitbc_node.ledger.family import Family, free, sound
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.records import RecordPut
from aitbc_sim.town import address

BODY = RecordPut("blob", b"k", b"v", 1)


def test_by_default_a_body_is_sound_and_spends_nothing() -> None:
    """Only types that can be malformed or that pay say more."""
    family = Family(RecordPut, gas=lambda _: 1, apply=lambda _draft, _act, _body: [])

    assert family.fault is sound
    assert family.fault(BODY) is None
    assert family.spends is free
    assert family.spends(Params(), address("alice"), BODY) == 0
