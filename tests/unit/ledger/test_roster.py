"""The roster: who may be chosen, and that it stays short."""

from msgspec.structs import replace

from aitbc_node.ledger import roster, staking
from aitbc_node.ledger.objects import ROSTER, Roster
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address, Amount
from aitbc_sim.town import VALIDATOR_NAMES, Town, a_genesis, address

FOUNDERS = tuple(sorted(address(name) for name in VALIDATOR_NAMES))


def test_the_founders_are_on_it() -> None:
    """In order of address."""
    assert Town(a_genesis()).state.roster.operators == FOUNDERS


def test_strangers_and_the_poor_do_not_enter() -> None:
    """Nothing happens, which is no lack of room."""
    draft = Draft(Town(a_genesis()).state)

    assert roster.enter(draft, address("alice"))
    assert draft.roster.operators == FOUNDERS


def test_a_full_roster_takes_nobody_but_those_on_it() -> None:
    """The caller refuses the bond."""
    draft = Draft(Town(a_genesis()).state)
    crowd = tuple(Address(index.to_bytes(20, "big")) for index in range(roster.ROSTER_MAX))
    draft.put((ROSTER, b""), Roster(crowd))

    assert not roster.enter(draft, address("north"))
    assert roster.enter(draft, crowd[0])


def test_who_lost_its_bond_is_taken_off() -> None:
    """Slashed or taken back: below the least own bond there is no choice."""
    draft = Draft(Town(a_genesis()).state)
    member = draft.membership(address("north"))
    assert member is not None
    draft.put(staking.membership_key(address("north")), replace(member, bonded=Amount(999_999)))

    assert address("north") not in roster.tidy(draft)
    assert len(draft.roster.operators) == 3
