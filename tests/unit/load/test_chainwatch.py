"""The blocks of a quorum are compared with what a swarm was told; each difference is named."""

from collections.abc import Mapping

from aitbc_load.books import EXPIRED, FINAL, REJECTED
from aitbc_load.chainwatch import (
    BROKEN,
    HELD,
    UNKNOWN,
    Account,
    Block,
    Check,
    Purse,
    agreed,
    balance,
    checks,
    nonces,
    purses,
    rate,
    witnessed,
)

POWERS = {"v1": 1, "v2": 1, "v3": 1, "v4": 1, "f1": 0}


def named(number: int) -> str:
    """Name a transaction."""
    return f"{number:064x}"


def a_block(height: int, *numbers: int, fork: str = "") -> Block:
    """Make a block a second after the last."""
    return Block(f"{height:02x}{fork}", 1_000 * height, tuple(map(named, numbers)))


def told(block: Block, *nodes: str) -> Mapping[str, Block]:
    """Let these nodes hold a block, all of them unless named."""
    return dict.fromkeys(nodes or POWERS, block)


SEEN = {1: told(a_block(1, 1, 2)), 2: told(a_block(2, 3)), 3: told(a_block(3, 4, 5))}
ENDED = {named(number): FINAL for number in range(1, 6)}


def outcomes(
    seen: Mapping[int, Mapping[str, Block]] = SEEN,
    ended: Mapping[str, str] = ENDED,
    contradictions: tuple[str, ...] = (),
) -> dict[str, str]:
    """Judge and keep the words."""
    found = checks(seen, POWERS, [1, 2, 3], ended, contradictions)
    return {each.name: each.outcome for each in found}


def test_a_good_chain_holds() -> None:
    """No alarm without a reason."""
    assert set(outcomes().values()) == {HELD}


def test_what_was_seen_broken_stays_broken_whatever_is_read_later() -> None:
    """In place of what the blocks say, unless they say it, too; a check of its own otherwise."""
    found = [Check("agreement", HELD, "3 heights"), Check("one_fate", BROKEN, "of the books")]
    seen = {"agreement": "two blocks", "one_fate": "of a bot", "other": "of a bot"}

    assert witnessed(found, {}) == found
    assert witnessed(found, seen) == [
        Check("agreement", BROKEN, "two blocks"),
        Check("one_fate", BROKEN, "of the books"),
        Check("other", BROKEN, "of a bot"),
    ]


def test_a_quorum_is_more_than_two_thirds_of_the_power() -> None:
    """Two of four, or any number of full nodes, are none; three are."""
    seen = {
        1: told(a_block(1), "v1", "v2", "f1"),
        2: told(a_block(2), "v1", "v2", "v3"),
    }

    assert list(agreed(seen, POWERS)) == [2]


def test_the_rate_is_of_blocks() -> None:
    """Three of ours in the two seconds after the first block that held some."""
    assert rate({h: b["v1"] for h, b in SEEN.items()}, ENDED) == 1.5
    assert rate({1: a_block(1, 1)}, ENDED) is None
    assert rate({}, ENDED) is None


def test_neither_a_part_of_a_block_nor_a_straggler_makes_a_mesh_slow() -> None:
    """100 a second for 10 s, then half a block, then one transaction ten seconds late."""
    names = [named(number) for number in range(1_051)]
    ended = dict.fromkeys(names, FINAL)
    blocks = {
        height: Block(str(height), 1_000 * height, tuple(names[100 * height - 100 : 100 * height]))
        for height in range(1, 11)
    }
    late = {
        11: Block("11", 11_000, tuple(names[1_000:1_050])),
        21: Block("21", 21_000, (names[-1],)),
    }

    assert rate(blocks, ended) == 100
    assert rate({**blocks, **late}, ended) == 100


def test_a_fork_is_seen() -> None:
    """One node with another block is enough."""
    seen = {**SEEN, 2: {**SEEN[2], "v4": a_block(2, 3, fork="ff")}}

    assert outcomes(seen)["agreement"] == BROKEN


def test_what_was_told_final_and_lies_in_no_block_is_lost() -> None:
    """An event alone is no block."""
    assert outcomes(ended={**ENDED, named(9): FINAL})["nothing_lost"] == BROKEN


def test_what_lies_in_two_blocks_took_effect_twice() -> None:
    """The same id at two heights."""
    seen = {**SEEN, 3: told(a_block(3, 4, 5, 1))}

    assert outcomes(seen)["no_double_spend"] == BROKEN


def test_what_expired_stays_out() -> None:
    """An expired one in a block is a broken promise; a rejected one is in a block by right."""
    assert outcomes(ended={**ENDED, named(4): EXPIRED})["expired_stays_out"] == BROKEN
    assert outcomes(ended={**ENDED, named(4): REJECTED})["expired_stays_out"] == HELD


def test_a_mesh_that_contradicts_itself_is_told() -> None:
    """Two ends of one transaction."""
    assert outcomes(contradictions=("a was final, then rejected",))["one_fate"] == BROKEN


def test_a_height_that_no_quorum_tells_is_unknown() -> None:
    """Silence is no pass, and no alarm either: what is missed may lie in what was not told."""
    assert outcomes({1: SEEN[1], 3: SEEN[3]})["nothing_lost"] == UNKNOWN
    assert outcomes({**SEEN, 2: told(a_block(2, 3), "v1")})["nothing_lost"] == UNKNOWN
    assert outcomes({}, {})["agreement"] == UNKNOWN


def test_money_and_nonces_are_compared_with_the_books() -> None:
    """A unit too many, a nonce too many: broken; not told: unknown."""
    assert balance(Account(10, 5, 15)).outcome == HELD
    assert balance(Account(10, 5, 16)).outcome == BROKEN
    assert balance(Account(10, 5, None)).outcome == UNKNOWN
    assert nonces({"a": Account(0, 2, 2), "b": Account(3, 0, 3)}).outcome == HELD
    assert nonces({"a": Account(0, 2, 3), "b": Account(3, 0, None)}).outcome == BROKEN
    assert nonces({"b": Account(3, 0, None)}).outcome == UNKNOWN


def test_what_lies_in_a_height_that_nobody_read_is_held_against_nobody() -> None:
    """More than the blocks read hold may lie in the others; less never does."""
    assert balance(Account(10, 5, 16, is_partial=True)).outcome == UNKNOWN
    assert balance(Account(10, 5, 14, is_partial=True)).outcome == BROKEN
    assert balance(Account(10, 5, 15, is_partial=True)).outcome == HELD
    assert nonces({"a": Account(0, 2, 3, is_partial=True)}).outcome == UNKNOWN
    assert nonces({"a": Account(0, 2, 1, is_partial=True)}).outcome == BROKEN
    assert purses({"a": Purse(100, 40, 59, is_partial=True)}).outcome == UNKNOWN
    assert purses({"a": Purse(100, 40, 61, is_partial=True)}).outcome == BROKEN
    assert purses({"a": Purse(100, 40, 60, is_partial=True)}).outcome == HELD


def test_a_wallet_is_what_its_receipts_leave() -> None:
    """To the unit; a receipt that nobody shows makes it unknown, a difference outranks that."""
    right, unknown = Purse(100, 40, 60), Purse(100, None, 60)

    assert purses({"a": right, "b": Purse(5, 0, 5)}).outcome == HELD
    assert purses({"a": right, "b": unknown}).outcome == UNKNOWN
    assert purses({"a": Purse(100, 40, None)}).outcome == UNKNOWN
    found = purses({"a": Purse(100, 40, 61), "b": unknown})
    assert (found.outcome, found.detail) == (BROKEN, "a has 61, by its receipts 60")
