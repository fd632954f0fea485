"""Where many share one bucket, those who want most get equal parts and a newcomer finds room."""

import pytest

from aitbc_node.sharing import Shares

GOAL, RATE, BURST = b"news", 100, 500
STEP_MS = 10


def wanting(shares: Shares, count: int, seconds: int, *, begin_ms: int = 0) -> list[int]:
    """Let so many take whatever they get, one after the other; count what each got."""
    got = [0] * count
    for now_ms in range(begin_ms, begin_ms + 1_000 * seconds, STEP_MS):
        for who in range(count):
            if shares.has_room(GOAL, b"%d" % who, now_ms=now_ms):
                shares.pay(GOAL, b"%d" % who, tokens=1, now_ms=now_ms)
                got[who] += 1
    return got


def test_one_alone_gets_all_there_is_to_have() -> None:
    """What nobody else wants is not held back for long."""
    shares = Shares(rate=RATE, burst=BURST)
    wanting(shares, 1, 30)

    assert wanting(shares, 1, 10, begin_ms=30_000)[0] > 9 * RATE


@pytest.mark.parametrize("count", [2, 7, 50, 200])
def test_the_greedy_get_equal_parts_and_a_newcomer_is_never_kept_out(count: int) -> None:
    """Nothing is wasted by that, and no more is given away than there is."""
    shares = Shares(rate=RATE, burst=BURST)
    wanting(shares, count, 30)
    got = wanting(shares, count, 20, begin_ms=30_000)

    assert 0.8 * 20 * RATE < sum(got) <= 20 * RATE + BURST
    assert max(got) <= 1.3 * min(got) + 2
    assert shares.has_room(GOAL, b"newcomer", now_ms=50_000)
    assert shares.has_room(b"weather", b"0", now_ms=50_000)


def test_what_somebody_had_is_forgotten_by_and_by() -> None:
    """Whoever was loud and is quiet now is as good as a newcomer."""
    shares = Shares(rate=RATE, burst=BURST)
    for _ in range(300):
        shares.pay(GOAL, b"loud", tokens=1, now_ms=0)
    assert not shares.has_room(GOAL, b"loud", now_ms=0)

    assert shares._had_by((GOAL, b"loud"), 5_000) == 75
    assert 105 < shares._had_by((GOAL, b"loud"), 3_750) < 115
    assert shares._had_by((GOAL, b"loud"), 10**9) < 1


def test_memory_is_bounded_however_many_there_are() -> None:
    """Those who had something least recently are forgotten first."""
    shares = Shares(rate=RATE, burst=10**6, keys_max=10)
    for who in range(1_000):
        shares.pay(b"goal %d" % who, b"%d" % who, tokens=1, now_ms=who)

    assert len(shares._had) == 10
    assert (b"goal 999", b"999") in shares._had
    assert len(shares._left._buckets) == 10
