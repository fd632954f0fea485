"""What attackers hand in is refused, or bounded; each breach of that is found."""

from collections import Counter
from dataclasses import replace

import pytest

from aitbc_load import assaults, attacks
from aitbc_load.assaults import Assault
from aitbc_load.attacks import ATTACKS, MALFORMED, Attacker, Blow
from aitbc_load.identities import identity
from aitbc_load.mustering import attackers_of, course_of, roles_of
from aitbc_load.orders import Part, Phase, Plan, Terms
from aitbc_node.blocks import tx_id
from aitbc_node.ledger.transactions import Parsed, parse

TERMS = Terms(
    chain_id="aitbc-dev-1", hrp="aitd", height=9, ttl_blocks=50, interval_ms=500, gas_price_max=10
)
ATTACKER = Attacker(identity(7, 0, 0, role="x"), 3, TERMS, identity(7, 0, 0))


def blows(role: str, count: int) -> list[Blow]:
    """Draw the first blows of a role."""
    drawing = ATTACKS[role](ATTACKER)
    return [next(drawing) for _ in range(count)]


def struck(blow: Blow, *codes: str) -> Assault:
    """Strike once and hear these answers."""
    assault = Assault("somebody")
    assault.strike(blow)
    assault.answer(blow, codes, took_us=1_000)
    return assault


def ids(blow: Blow) -> list[str]:
    """Name the transactions of a blow."""
    return [tx_id(raw).hex() for hand in blow.hands for raw in hand]


@pytest.mark.parametrize("role", ATTACKS)
def test_no_two_blows_are_alike_and_a_seed_makes_them_again(role: str) -> None:
    """What is handed in twice would be known, and refused for that only."""
    found = [name for blow in blows(role, 40) for name in ids(blow)]

    assert len(set(found)) == len(found)
    assert found == [name for blow in blows(role, 40) for name in ids(blow)]


def test_both_of_one_nonce_are_a_breach() -> None:
    """One of a double spend may be in a block, two never."""
    (blow,) = blows("double-spender", 1)
    first, second = (parse(hand[0]) for hand in blow.hands)
    assert isinstance(first, Parsed)
    assert isinstance(second, Parsed)
    assert (first.tx.nonce, first.id) != (second.tx.nonce, second.id)
    assert first.tx.nonce == second.tx.nonce
    assault = struck(blow, "ok", "ok")

    assert not assault.breaches(Counter(ids(blow)[:1]))
    assert assault.breaches(Counter(ids(blow))) == [
        "somebody: blocks hold 2 of a double spend, at most 1 may be"
    ]


def test_what_is_behind_a_gap_is_never_in_a_block() -> None:
    """A node may let it wait; the account's next nonce never comes."""
    drawn = blows("nonce-gapper", 100)
    nonces = {
        found.tx.nonce for blow in drawn if isinstance(found := parse(blow.hands[0][0]), Parsed)
    }

    assert min(nonces) == ATTACKER.nonce + 1
    assert max(nonces) < ATTACKER.nonce + 64
    assert not struck(drawn[0], "ok").breaches({})
    assert struck(drawn[0], "ok").breaches(Counter(ids(drawn[0])))


@pytest.mark.proves("B9")
@pytest.mark.parametrize("what", MALFORMED)
def test_a_node_that_takes_what_is_wrong_is_found_out(what: str) -> None:
    """A refusal of any kind is as it must be, a promise is a breach at once."""
    blow = next(blow for blow in blows("malformed", len(MALFORMED)) if blow.what == what)

    assert not struck(blow, "signature").breaches({})
    assert struck(blow, "ok").breaches({}) == [f"somebody: a node took what is {what}"]


def test_a_replay_may_be_in_a_block_once() -> None:
    """As it was before anybody replayed it."""
    blow = attacks.replay(b"whatever was final")

    assert not struck(blow, "ok").breaches(Counter(ids(blow)))
    assert struck(blow, "ok").breaches(Counter(ids(blow) * 2))


def test_all_attackers_are_judged_together() -> None:
    """Held, broken with the first few reasons, or unknown where blocks were not seen."""
    (good,) = blows("spammer", 1)
    fine, wrong = struck(good, "ok"), struck(replace(good, may_be_taken=False), *["ok"] * 9)

    assert assaults.check([], {}, []) is None
    assert assaults.check([fine], {}, []) == assaults.Check(assaults.CHECK, "held", "1 of somebody")
    unknown = assaults.check([fine], {}, [4])
    assert unknown is not None
    assert unknown.outcome == "unknown"
    broken = assaults.check([fine, wrong], {}, [4])
    assert broken is not None
    assert broken.outcome == "broken"


@pytest.mark.parametrize(
    ("codes", "is_idle"),
    [
        ([], True),
        (["rate-limited", "unavailable", "no-quorum"], True),
        (["rate-limited", "signature"], False),
        (["ok"], False),
    ],
)
def test_what_no_node_has_judged_shows_nothing(codes: list[str], is_idle: bool) -> None:  # noqa: FBT001 - a table
    """Silence is none, and being told to come later is none either."""
    (blow,) = blows("spammer", 1)

    assert struck(blow, *codes).is_idle is is_idle
    assert Assault("somebody").is_idle


def test_the_plan_says_who_attacks_with_how_much_money() -> None:
    """Who may be taken has money for it; junk needs none; rates make accounts."""
    parts = (Part(role="spammer", rate=10), Part(role="flooder", rate=5))
    phases = (
        Phase(name="alone", for_s=1, rate=5),
        Phase(name="attacked", for_s=10, rate=5, parts=(*parts, Part(role="replayer", rate=1))),
    )
    plan = Plan(scenario="load/x", seed=7, rate=5, for_s=11, phases=phases)

    found = attackers_of(plan, 0, TERMS)

    assert [each.role for each in found] == ["spammer"] * 3 + ["flooder"]
    assert all(each.amount > 0 for each in found[:3])
    assert found[3].amount == 0
    again, other = (attackers_of(plan, worker, TERMS) for worker in (0, 1))
    assert [each.who.account for each in found] == [each.who.account for each in again]
    assert not {each.who.account for each in found} & {each.who.account for each in other}
    assert roles_of(plan) == ["spammer", "flooder", "replayer"]
    assert course_of(plan).asked == 55
