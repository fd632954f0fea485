"""How does one HTTP request get its whole answer, and no more than that?

Each piece of an answer has a deadline, the whole has one too, and its size has a bound: a node that
drips or floods is silent like one that hangs. Do not add what an answer means.
"""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import httpx

from aitbc_toolkit import unanswered

PAUSE_MAX_S = 1.0


class NoEndError(httpx.TransportError):
    """An answer was given up in the middle."""


class Asked(NamedTuple):
    """Hold what is asked of a node beside the address."""

    method: str = "GET"
    params: Mapping[str, str | int] | None = None
    content: bytes | None = None
    headers: Mapping[str, str] | None = None


class Reply(NamedTuple):
    """Hold a whole answer as it came."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def is_good(self) -> bool:
        """Tell whether it is what was asked for."""
        return bool(httpx.codes.is_success(self.status))

    @property
    def is_stale(self) -> bool:
        """Tell whether the node said that it may be behind."""
        return bool(self.headers.get("x-stale") == "1")

    @property
    def wait_s(self) -> float:
        """Return how long the node wants to be left alone; 0 where it does not say."""
        asked = self.headers.get("retry-after", "")
        return float(asked) if asked.isascii() and asked.isdigit() else 0.0

    @property
    def pause_s(self) -> float:
        """Return how long to wait before the same is asked again."""
        return min(self.wait_s or PAUSE_MAX_S / 4, PAUSE_MAX_S)


def exchange(
    http: httpx.Client, url: str, asked: Asked, *, clock: Callable[[], float] = time.monotonic
) -> Reply:
    """Ask once. Raises: httpx.HTTPError, httpx.InvalidURL."""
    until, size, pieces = clock() + unanswered.WHOLE_ANSWER_S, 0, list[bytes]()
    with http.stream(url=url, **asked._asdict()) as response:
        for piece in response.iter_bytes():
            pieces.append(piece)
            size += len(piece)
            if size > unanswered.ANSWER_BYTES_MAX:
                raise NoEndError(f"an answer of more than {unanswered.ANSWER_BYTES_MAX} bytes")
            if clock() > until:
                raise NoEndError(f"no whole answer within {unanswered.WHOLE_ANSWER_S:.0f} s")
        return Reply(response.status_code, response.headers, b"".join(pieces))


def connection() -> httpx.Client:
    """Open what all clients of one command share: a pool of connections with deadlines."""
    timeout = httpx.Timeout(unanswered.ANSWER_TIMEOUT_S, connect=unanswered.CONNECT_TIMEOUT_S)
    return httpx.Client(timeout=timeout, trust_env=False)
