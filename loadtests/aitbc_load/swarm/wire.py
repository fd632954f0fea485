"""How does the swarm speak to a node? Over raw sockets that stay open, with bytes built before.

A connection holds one request at a time; whoever wants one takes it from the pool and puts it back.
What was handed in goes out again here, as the same bytes, only where a connection that had waited
broke: perhaps the node took it before, and its time counts both tries. Do not add what an
answer means.
"""

import errno
import socket
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from aitbc_load.orders import Place
from aitbc_load.replies import Head, NotHttpError, head

STRANGER = "127.0.0.66"
"""Where those who harm nodes of this machine come from: one client's requests are counted apart."""
TIMEOUT_S = 20.0
_PIECE = 64 * 1024
"""Less than the system's C library gives back to the system each time, which costs 10 us."""
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})
POOL_MAX = 4_096
BRIEF = "Prefer: return=minimal"
"""Asks for short answers; a node that does not know it gives long ones, which are read as well."""
_LOOPBACK = "127."


class Silent(Exception):  # noqa: N818 - a state of a node, and no mistake of ours
    """A node gave no answer; `is_stale` where it closed a connection that had waited."""

    def __init__(self, reason: str, *, is_stale: bool = False) -> None:
        super().__init__(reason)
        self.is_stale = is_stale


class Answer(msgspec.Struct, frozen=True):
    """Hold a status and the body behind it."""

    status: int
    body: bytes


class Connection:
    """Be one open connection to one node."""

    def __init__(self, place: Place, source: str = "") -> None:
        is_here = place.host.startswith(_LOOPBACK)
        own = (source, 0) if source and is_here else None
        try:
            self._socket = socket.create_connection((place.host, place.port), TIMEOUT_S, own)
        except OSError as error:
            if error.errno in _OUT_OF_FILES:
                raise
            raise Silent(f"no connection: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_used = False
        self.is_open = True

    def ask(self, request: bytes) -> Answer:
        """Send one request and read its answer. Raises: Silent, and closes itself."""
        try:
            self._socket.sendall(request)
            found, data = self._read_whole()
        except (OSError, NotHttpError) as error:
            self.close()
            stale = isinstance(error, ConnectionError) and self.is_used
            raise Silent(f"no answer: {error}", is_stale=stale) from error
        self.is_used = True
        if found.is_last:
            self.close()
        return Answer(found.status, data[found.begins :])

    def _read_whole(self) -> tuple[Head, bytes]:
        """Read an answer whose head says how long it is. Raises: OSError, NotHttpError."""
        data = self._piece()
        while (found := head(data)) is None:
            data += self._piece()
        # Of many blocks it has many megabytes: put together once, not piece by piece.
        pieces = [data]
        missing = found.begins + found.length - len(data)
        while missing > 0:
            pieces.append(self._piece())
            missing -= len(pieces[-1])
        return found, b"".join(pieces)

    def _piece(self) -> bytes:
        piece = self._socket.recv(_PIECE)
        if not piece:
            raise ConnectionResetError("the node closed the connection")
        return piece

    def stream(self, request: bytes) -> bytes:
        """Send a request whose answer does not end; return what came of it behind its head.

        Raises: Silent.
        """
        data = b""
        self._socket.sendall(request)
        while (found := head(data)) is None:
            data += self.more()
        if found.status != 200 or not found.is_chunked:  # noqa: PLR2004 - HTTP's own number
            raise Silent(f"no stream: status {found.status}")
        return data[found.begins :]

    def leave(self, request: bytes) -> None:
        """Send a request and be gone before anything is answered. Raises: Silent."""
        try:
            self._socket.sendall(request)
        except OSError as error:
            raise Silent(f"not sent: {error}") from error
        finally:
            self.close()

    def more(self) -> bytes:
        """Wait for more of a stream. Raises: Silent where it ended."""
        try:
            piece = self._socket.recv(_PIECE)
        except OSError as error:
            raise Silent(f"the stream broke: {error}") from error
        if not piece:
            raise Silent("the stream ended")
        return piece

    def detach(self) -> int:
        """Give the open connection away, as the number that the system knows it by."""
        self.is_open = False
        return self._socket.detach()

    def close(self) -> None:
        """Let go of it."""
        self.is_open = False
        self._socket.close()


class Wires:
    """Keep the connections of one worker; `out_of_files` counts those that the system refused.

    Those to nodes of this machine come from `source`, where one is given.
    """

    def __init__(self, *, source: str = "") -> None:
        self.out_of_files = 0
        self.source = source
        self._idle: dict[str, list[Connection]] = defaultdict(list)

    def ask(self, place: Place, request: bytes) -> Answer:
        """Ask one node, over a connection that waits or a new one.

        A connection that waited may have been closed by the node meanwhile, mostly before it read
        anything: that is asked again over another one. Raises: Silent.
        """
        idle = self._idle[place.name]
        while idle:
            connection = idle.pop()
            try:
                answer = connection.ask(request)
            except Silent as silent:
                if silent.is_stale:
                    continue
                raise
            self._give_back(idle, connection)
            return answer
        connection = self.open(place)
        answer = connection.ask(request)
        self._give_back(idle, connection)
        return answer

    def open(self, place: Place) -> Connection:
        """Open a new connection. Raises: Silent."""
        try:
            return Connection(place, self.source)
        except OSError as error:
            self.out_of_files += 1
            raise Silent(f"no connection: {error}") from error

    def close(self) -> None:
        """Let go of all that wait."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _give_back(self, idle: list[Connection], connection: Connection) -> None:
        if connection.is_open and len(idle) < POOL_MAX:
            idle.append(connection)
        elif connection.is_open:
            connection.close()


def get(place: Place, path: str, *headers: str) -> bytes:
    """Build a read."""
    lines = (f"GET {path} HTTP/1.1", f"Host: {place.name}", *headers, "", "")
    return "\r\n".join(lines).encode("ascii")


def post(place: Place, pieces: list[bytes]) -> bytes:
    """Build a hand-in of transactions, each as an element of a msgpack array."""
    return b"".join((frame([place], 0, len(pieces), sum(map(len, pieces))), *pieces))


def frame(places: Sequence[Place], turn: int, count: int, size: int) -> bytes:
    """Build what stands before so many of them, of so many bytes; the nodes take turns."""
    place = places[turn % len(places)]
    front = bytes([0x90 | count]) if count < 16 else b"\xdc" + count.to_bytes(2, "big")  # noqa: PLR2004 - msgpack's short array
    head_lines = (
        f"POST /tx HTTP/1.1\r\nHost: {place.name}\r\n{BRIEF}\r\n"
        f"Content-Type: application/msgpack\r\nContent-Length: {len(front) + size}\r\n\r\n"
    )
    return head_lines.encode("ascii") + front
