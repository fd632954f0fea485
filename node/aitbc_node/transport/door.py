"""How strangers are let in, and how many of them at a time.

A TCP connection costs its opener nothing and us a TLS state, so those that have not proved
themselves are few, and few per source, and come not too often from one: a host that opens
thousands, or comes back with ever new keys, keeps only itself out, and so does a network whose
addresses cost its owner nothing. All are accepted at once; those of counted networks are greeted
one after the other, so they delay nobody else. How they prove themselves is `handshake.py`.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from aitbc_node.buckets import Buckets
from aitbc_node.errors import ConfigError
from aitbc_node.transport.addresses import format_address, unmapped
from aitbc_node.transport.connection import HANDSHAKE_S, Connection

STRANGERS_MAX = 256
"""Of all counted networks together, and as many others: a crowd takes no peer's place."""
STRANGERS_PER_SOURCE_MAX = 16
ATTEMPTS_PER_S = 10
ATTEMPTS_BURST = 100
"""Of one source: as many as a whole mesh on one machine makes when it starts."""
NETWORK_BURST = 32
"""Of one network: a whole rack that starts at once is in after two tries of its slowest."""
GREET_PAUSE_S = 0.02
"""So long no other of the counted is greeted: what else this process does goes on meanwhile."""
PAUSE_S = 0.1
BACKLOG = 128

log = logging.getLogger(__name__)


class Door:
    """Accept connections on one address; `make` builds the protocol of one that is through TLS.

    `network_of` names the network that a source counts for, or "" where it counts for itself only.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        make: Callable[[], Connection],
        *,
        network_of: Callable[[str], str],
    ) -> None:
        self.turned_away = 0
        self._network_of = network_of
        self._context = context
        self._make = make
        self._socket: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._strangers: Counter[str] = Counter()
        self._counted = 0
        """How many of them are of counted networks."""
        self._row: asyncio.Queue[tuple[socket.socket, str]] = asyncio.Queue()
        """Those of them that nobody has greeted yet."""
        self._attempts = Buckets[str](rate=ATTEMPTS_PER_S, burst=ATTEMPTS_BURST)
        self._networks = Buckets[str](rate=ATTEMPTS_PER_S, burst=NETWORK_BURST)

    def open(self, host: str, port: int) -> int:
        """Accept from now on; return the port, which matters when 0 was asked.

        Raises: ConfigError when the address is taken or not ours.
        """
        try:
            self._socket = _bound(host, port)
        except OSError as error:
            raise ConfigError(
                f"p2p.listen: cannot listen on {format_address(host, port)}: {error.strerror}",
                hint="another program holds the port, or the address is not of this host",
            ) from error
        self._start(self._accept(self._socket))
        self._start(self._greet_counted())
        bound: int = self._socket.getsockname()[1]
        return bound

    async def close(self) -> None:
        """Accept nothing more and drop who is not through yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._row.empty():
            self._row.get_nowait()[0].close()
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
            except OSError as error:
                # No descriptors left, or a connection that was gone at once: neither is for ever.
                log.warning("door.trouble", extra={"error": str(error)})
                await asyncio.sleep(PAUSE_S)
                continue
            source = unmapped(address[0])
            network = self._network_of(source)
            if self._is_full(source, network) or not self._may_try(source, network):
                self.turned_away += 1
                sock.close()
                continue
            self._strangers[source] += 1
            if network:
                self._counted += 1
                self._row.put_nowait((sock, source))
            else:
                self._start(self._greet(sock, source))

    async def _greet_counted(self) -> None:
        """Begin with one of the row at a time."""
        while True:
            sock, source = await self._row.get()
            self._start(self._greet(sock, source, is_counted=True))
            await asyncio.sleep(GREET_PAUSE_S)

    def _may_try(self, source: str, network: str) -> bool:
        """Count an attempt of a source and of its network; False when it was one too many."""
        now_ms = time.monotonic_ns() // 1_000_000
        payers = [(self._attempts, source)]
        if network:
            payers.append((self._networks, network))
        if any(buckets.wait_s(payer, now_ms=now_ms) for buckets, payer in payers):
            return False
        for buckets, payer in payers:
            buckets.pay(payer, tokens=1, now_ms=now_ms)
        return True

    async def _greet(self, sock: socket.socket, source: str, *, is_counted: bool = False) -> None:
        # Made here, because uvloop returns a protocol of its own from the call below.
        stranger = self._make()
        try:
            # Whatever goes wrong in a stranger's handshake is an OSError, SSL's errors included.
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: stranger, sock, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_S
                )
                await asyncio.shield(stranger.settled)
        finally:
            self._counted -= is_counted
            self._strangers[source] -= 1
            if not self._strangers[source]:
                del self._strangers[source]

    def _is_full(self, source: str, network: str) -> bool:
        alike = self._counted if network else self._strangers.total() - self._counted
        return self._strangers[source] >= STRANGERS_PER_SOURCE_MAX or alike >= STRANGERS_MAX

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _bound(host: str, port: int) -> socket.socket:
    family, kind, number, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, number)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # `[::]` means everybody
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
    except OSError:
        sock.close()
        raise
    return sock
