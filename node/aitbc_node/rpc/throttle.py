"""How much may one client cost us? A bucket of tokens per address, paid by what was really moved.

A request is let in while its client's bucket is not empty and paid for afterwards, by the bytes in
and out, so that a page of large blocks costs what it costs. One noisy client then waits while the
others do not notice. Pure: time comes as an argument.
"""

from collections import OrderedDict

from aitbc_node import limits

CLIENTS_MAX = 10_000
BYTES_PER_TOKEN = 2_048
SECONDS_MAX = 60
_IPV6_PREFIX_PARTS = 4


class Throttle:
    """Keep the buckets; `rate` is in tokens a second, 0 lets everything through."""

    def __init__(self, *, rate: int = limits.RPC_RATE, burst: int = limits.RPC_BURST) -> None:
        self._rate = rate
        self._burst = burst
        # The client that asked least recently is first: its bucket is the fullest.
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, address: str, *, now_ms: int) -> int:
        """Return 0 when a client may ask now, else after how many seconds it may."""
        if not self._rate:
            return 0
        tokens = self._tokens(_client(address), now_ms)
        if tokens > 0:
            return 0
        return min(SECONDS_MAX, 1 + int(-tokens / self._rate))

    def pay(self, address: str, *, byte_count: int, now_ms: int) -> None:
        """Take what a request has cost; a bucket may fall below zero by one request."""
        if not self._rate:
            return
        client = _client(address)
        left = self._tokens(client, now_ms) - 1 - byte_count // BYTES_PER_TOKEN
        self._buckets[client] = (left, now_ms)
        self._buckets.move_to_end(client)
        if len(self._buckets) > CLIENTS_MAX:
            self._buckets.popitem(last=False)

    def _tokens(self, client: str, now_ms: int) -> float:
        tokens, filled_ms = self._buckets.get(client, (self._burst, now_ms))
        return min(self._burst, tokens + (now_ms - filled_ms) * self._rate / 1000)


def _client(address: str) -> str:
    """Name who pays: an IPv4 address, or the /64 that one IPv6 customer has."""
    if ":" not in address:
        return address
    head, _, tail = address.partition("::")
    parts = head.split(":") if head else []
    missing = 8 - len(parts) - (len(tail.split(":")) if tail else 0)
    whole = parts + ["0"] * (missing if "::" in address else 0)
    return ":".join(whole[:_IPV6_PREFIX_PARTS])
