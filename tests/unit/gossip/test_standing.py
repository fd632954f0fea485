"""Who has done wrong is banned for a while, also by the next process."""

import pytest

from aitbc_node.canonical import encode
from aitbc_node.gossip.standing import (
    BAN_MS,
    BAN_MS_MAX,
    FAULT_PENALTY,
    PENALTY_MAX,
    Ban,
    Standing,
)
from aitbc_node.limits import BAN_BYTES_MAX, CULPRITS_MAX, INT_MAX
from aitbc_node.types import PeerId

ROGUE = PeerId(b"r" * 20)
WALL_MS = 1_700_000_000_000


def forge(standing: Standing, peer: PeerId, now_ms: int) -> None:
    """Let a peer be caught with something that no honest one passes on."""
    standing.blame(peer, now_ms, is_forgery=True)


def restarted(standing: Standing, *, at_ms: int, after_ms: int = 0) -> Standing:
    """Write what there is to keep, and read it in a process whose own clock begins at 0."""
    kept = standing.news(now_ms=at_ms, wall_ms=WALL_MS + at_ms)
    assert kept is not None
    made = Standing()
    made.restore(kept, now_ms=0, wall_ms=WALL_MS + at_ms + after_ms)
    return made


def test_a_ban_outlives_the_process_and_ends_when_it_would_have() -> None:
    """The two processes share no clock but the wall's."""
    standing = Standing()
    forge(standing, ROGUE, 5_000)

    again = restarted(standing, at_ms=10_000, after_ms=20_000)

    left_ms = BAN_MS - 25_000
    assert again.is_banned(ROGUE, 0)
    assert again.is_banned(ROGUE, left_ms - 1)
    assert not again.is_banned(ROGUE, left_ms)
    assert again.score(ROGUE, 0) == 0
    assert again.score(ROGUE, PENALTY_MAX * 1_000) == PENALTY_MAX


def test_a_ban_that_ended_while_the_node_was_down_is_over() -> None:
    """Nobody is punished for the node's own pause."""
    standing = Standing()
    forge(standing, ROGUE, 0)

    assert not restarted(standing, at_ms=0, after_ms=BAN_MS).is_banned(ROGUE, 0)


def test_a_clock_that_was_set_back_makes_no_ban_endless() -> None:
    """At most it lasts as long as the longest ban of all."""
    again = Standing()
    again.restore([encode(Ban(ROGUE, WALL_MS)), b"nonsense"], now_ms=7, wall_ms=0)

    assert again.is_banned(ROGUE, 7 + BAN_MS_MAX - 1)
    assert not again.is_banned(ROGUE, 7 + BAN_MS_MAX)


def test_who_comes_back_and_does_it_again_stays_out_twice_as_long() -> None:
    """Up to a bound, which is also that of bans kept before a restart."""
    standing, now_ms, lengths = Standing(), 0, []
    for _ in range(9):
        forge(standing, ROGUE, now_ms)
        [(_, length_ms)] = standing.banned(now_ms)
        lengths.append(length_ms)
        now_ms += length_ms

    assert lengths[:3] == [BAN_MS, 2 * BAN_MS, 4 * BAN_MS]
    assert max(lengths) == lengths[-1] == BAN_MS_MAX


def test_only_a_new_ban_is_news() -> None:
    """What is not banned is not written, and nothing is written twice."""
    standing = Standing()
    standing.blame(ROGUE, 0, is_forgery=False)
    assert standing.news(now_ms=0, wall_ms=WALL_MS) is None
    assert standing.score(ROGUE, 0) == PENALTY_MAX - FAULT_PENALTY

    forge(standing, ROGUE, 0)

    assert standing.news(now_ms=0, wall_ms=WALL_MS) == (encode(Ban(ROGUE, WALL_MS + BAN_MS)),)
    assert standing.news(now_ms=0, wall_ms=WALL_MS) is None


def test_a_crowd_of_culprits_is_bounded() -> None:
    """The oldest one makes room; what is kept is never more than the file takes."""
    standing = Standing()
    for number in range(CULPRITS_MAX + 5):
        forge(standing, PeerId(number.to_bytes(20, "big")), 0)

    kept = standing.news(now_ms=0, wall_ms=WALL_MS)

    assert kept is not None
    assert len(kept) == CULPRITS_MAX
    assert len(encode(Ban(ROGUE, INT_MAX))) <= BAN_BYTES_MAX
    assert not standing.is_banned(PeerId(bytes(20)), 0)


@pytest.mark.parametrize("faults", [1, 2, 3])
def test_a_few_faults_are_no_ban(faults: int) -> None:
    """A peer may be wrong now and then; time gives the points back."""
    standing = Standing()
    for _ in range(faults):
        standing.blame(ROGUE, 0, is_forgery=False)

    assert not standing.is_banned(ROGUE, 0)
    assert standing.score(ROGUE, faults * FAULT_PENALTY * 1_000) == PENALTY_MAX


def test_a_crowd_of_culprits_is_no_amnesty_for_the_banned() -> None:
    """Who only did wrong once is forgotten first."""
    standing = Standing()
    forge(standing, ROGUE, 0)

    for number in range(CULPRITS_MAX + 10):
        standing.blame(PeerId(number.to_bytes(20, "big")), 0, is_forgery=False)

    assert standing.is_banned(ROGUE, 1)
    assert standing.score(PeerId(bytes(20)), 0) == PENALTY_MAX
