"""The roster: who may be chosen, and that it stays short."""

from msgspec.structs import replace

from aitbc_node.ledger import roster, staking
from aitbc_node.ledger.objects import REMOVED, ROSTER, Membership, Roster, Stake
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address, Amount, PublicKey
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


def a_crowded(draft: Draft, *kept: Address) -> tuple[Address, ...]:
    """Fill the roster with some operators, and with strangers who have two coins of their own."""
    strangers = range(roster.ROSTER_MAX - len(kept))
    crowd = tuple(Address(index.to_bytes(20, "big")) for index in strangers)
    coins = Amount(2 * draft.params.self_bond_min)
    for index, operator in enumerate(crowd):
        key = PublicKey(index.to_bytes(32, "big"))
        member = Membership(key, None, 0, "", "", bonded=coins, shares=coins, delegators=1)
        draft.put(staking.membership_key(operator), member)
        draft.put(staking.stake_key(operator, operator), Stake(coins, 0))
    draft.put((ROSTER, b""), Roster(tuple(sorted((*crowd, *kept)))))
    return crowd


def test_a_full_roster_takes_nobody_who_has_no_more_than_those_on_it() -> None:
    """The caller refuses the bond."""
    draft = Draft(Town(a_genesis()).state)
    crowd = a_crowded(draft)

    assert not roster.enter(draft, address("north"))
    assert roster.enter(draft, crowd[0])


def test_a_full_roster_gives_way_to_a_larger_own_bond() -> None:
    """Of those without a vote the smallest goes: two hundred coins do not close it for ever."""
    draft = Draft(Town(a_genesis(powers=(3, 1, 1, 1))).state)
    east, north = address("east"), address("north")
    crowd = a_crowded(draft, east)

    assert roster.enter(draft, north)
    assert set(draft.roster.operators) == {east, north, *crowd[1:]}


def test_who_was_removed_takes_no_place() -> None:
    """Also where a bond is enough for everybody else."""
    draft = Draft(Town(a_genesis()).state)
    member = draft.membership(address("north"))
    assert member is not None
    draft.put(staking.membership_key(address("north")), replace(member, seat=REMOVED))

    assert address("north") not in roster.tidy(draft)


def test_where_admission_is_asked_for_nobody_else_takes_a_place() -> None:
    """A bond alone is accepted, and waits; who is not admitted any more goes."""
    params = Params(validators_open=0)
    draft = Draft(Town(a_genesis(params=params)).state)
    crowd = a_crowded(draft, *FOUNDERS)

    assert roster.tidy(draft) == FOUNDERS
    assert roster.enter(draft, crowd[0])
    assert draft.roster.operators == FOUNDERS


def test_who_lost_its_bond_is_taken_off() -> None:
    """Slashed or taken back: below the least own bond there is no choice."""
    draft = Draft(Town(a_genesis()).state)
    member = draft.membership(address("north"))
    assert member is not None
    draft.put(staking.membership_key(address("north")), replace(member, bonded=Amount(999_999)))

    assert address("north") not in roster.tidy(draft)
    assert len(draft.roster.operators) == 3
