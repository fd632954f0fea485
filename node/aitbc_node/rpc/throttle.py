"""How much may one client cost us? A bucket of tokens per address, paid by what was really moved.

A request is let in while its client's bucket is not empty and paid for afterwards, by the bytes in
and out, so that a page of large blocks costs what it costs. One noisy client then waits while the
others do not notice. What one account may hand in is counted where its signature was judged.
"""

from aitbc_node import limits
from aitbc_node.buckets import Buckets

BYTES_PER_TOKEN = 2_048
_IPV6_PREFIX_PARTS = 4


class Throttle:
    """Keep the buckets; `rate` is in tokens a second, 0 lets everything through."""

    def __init__(self, *, rate: int = limits.RPC_RATE, burst: int = limits.RPC_BURST) -> None:
        self._buckets = Buckets[str](rate=rate, burst=burst)

    def wait_s(self, address: str, *, now_ms: int) -> int:
        """Return 0 when a client may ask now, else after how many seconds it may."""
        return self._buckets.wait_s(client_of(address), now_ms=now_ms)

    def pay(self, address: str, *, byte_count: int, now_ms: int) -> None:
        """Take what a request has cost; a bucket may fall below zero by one request."""
        tokens = 1 + byte_count // BYTES_PER_TOKEN
        self._buckets.pay(client_of(address), tokens=tokens, now_ms=now_ms)


def client_of(address: str) -> str:
    """Name who pays: an IPv4 address, or the /64 that one IPv6 customer has."""
    if ":" not in address:
        return address
    head, _, tail = address.partition("::")
    parts = head.split(":") if head else []
    missing = 8 - len(parts) - (len(tail.split(":")) if tail else 0)
    whole = parts + ["0"] * (missing if "::" in address else 0)
    return ":".join(whole[:_IPV6_PREFIX_PARTS])
