"""How much may arrive or leave at once? Bodies of one client and of all together have a bound.

Each body has one of its own; without this, a thousand slow clients with the largest one each would
hold gigabytes, and as many that ask for much and read slowly, too. Pure. Do not add how a body is
read or written.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aitbc_node import limits
from aitbc_node.codes import Code
from aitbc_node.rpc.throttle import client_of
from aitbc_node.rpc.view import RequestFault

BYTES_MAX = 16 * limits.RPC_BODY_BYTES_MAX
PER_CLIENT_MAX = 4 * limits.RPC_BODY_BYTES_MAX

_LATER = (("retry-after", "2"), ("connection", "close"))


class Bodies:
    """Count what is held of requests that have no answer yet, or of answers that nobody has read.

    What is alone is never too much: it has a bound of its own. `what` says of what there is.
    """

    def __init__(
        self,
        what: str = "bodies of requests",
        *,
        bytes_max: int = BYTES_MAX,
        per_client_max: int = PER_CLIENT_MAX,
    ) -> None:
        self._what = what
        self._bytes_max = bytes_max
        self._per_client_max = per_client_max
        self._of: Counter[str] = Counter()
        self.byte_count = 0

    @contextmanager
    def of(self, address: str) -> Iterator[Callable[[int], None]]:
        """Yield what counts the bytes of one request as they come, until it is over.

        Raises: RequestFault, from the counting, where it is too much.
        """
        client, held = client_of(address), 0

        def count(byte_count: int) -> None:
            nonlocal held
            held += byte_count
            self.byte_count += byte_count
            self._of[client] += byte_count
            if self._of[client] > max(held, self._per_client_max):
                message = f"too many {self._what} of this address at once"
                raise RequestFault(429, Code.E_RATE, message, headers=_LATER)
            if self.byte_count > max(held, self._bytes_max):
                message = f"too many {self._what} at once"
                raise RequestFault(503, Code.E_UNAVAILABLE, message, headers=_LATER)

        try:
            yield count
        finally:
            self.byte_count -= held
            self._of[client] -= held
            if not self._of[client]:
                del self._of[client]
