"""What one client may cost, and that the others do not pay for it."""

import pytest

from aitbc_node.buckets import Buckets
from aitbc_node.rpc.throttle import Throttle

NOISY, QUIET = "10.0.0.1", "10.0.0.2"


def spend(bucket: Throttle, address: str, *, count: int, now_ms: int, size: int = 0) -> int:
    """Ask until refused or done; return how often the client was let in."""
    for asked in range(count):
        if bucket.wait_s(address, now_ms=now_ms):
            return asked
        bucket.pay(address, byte_count=size, now_ms=now_ms)
    return count


def test_a_burst_is_allowed_and_then_a_rate() -> None:
    """A full bucket lets a burst through; after that the rate of refilling counts."""
    bucket = Throttle(rate=10, burst=50)

    assert spend(bucket, NOISY, count=100, now_ms=0) == 50
    assert spend(bucket, NOISY, count=100, now_ms=1_000) == 10
    assert spend(bucket, NOISY, count=100, now_ms=1_100) == 1


def test_the_others_do_not_notice() -> None:
    """An emptied bucket of one address leaves that of another full."""
    bucket = Throttle(rate=10, burst=50)
    spend(bucket, NOISY, count=100, now_ms=0)

    assert spend(bucket, QUIET, count=100, now_ms=0) == 50


def test_bytes_cost_too_and_the_wait_is_told() -> None:
    """A large answer is paid for, and the client is told when it may ask again."""
    bucket = Throttle(rate=10, burst=50)

    assert spend(bucket, NOISY, count=9, now_ms=0, size=200 * 2_048) == 1

    assert bucket.wait_s(NOISY, now_ms=0) == 1 + 151 // 10
    assert bucket.wait_s(NOISY, now_ms=15_200) == 0


def test_a_rate_of_zero_is_no_bound() -> None:
    """A bench may switch the bound off."""
    assert spend(Throttle(rate=0), NOISY, count=100_000, now_ms=0) == 100_000


def test_the_number_of_clients_is_bounded() -> None:
    """The client that asked least recently is forgotten first."""
    bucket = Buckets[str](rate=1, burst=1, keys_max=2)
    for address in (NOISY, "a", NOISY, "b"):
        bucket.pay(address, tokens=1, now_ms=0)

    assert bucket.wait_s(NOISY, now_ms=0) > 0
    assert bucket.wait_s("a", now_ms=0) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::1", "::2", True),
        ("10.0.0.1", "10.0.0.2", False),
    ],
)
def test_one_ipv6_customer_is_one_client(one: str, other: str, *, same: bool) -> None:
    """Whoever has a /64 cannot multiply by its addresses."""
    bucket = Throttle(rate=1, burst=1)

    bucket.pay(one, byte_count=0, now_ms=0)

    assert bool(bucket.wait_s(other, now_ms=0)) is same
