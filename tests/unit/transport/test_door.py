"""Whom a crowd at the door delays: itself, and nobody for whom room is kept."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aitbc_node.transport import door, kernel
from aitbc_node.transport.connection import Connection
from aitbc_node.transport.door import Door

pytestmark = pytest.mark.integration
HOME = "127.0.0.1"
CROWD = [f"127.{network}.0.{number}" for network in range(1, 14) for number in range(2, 10)]
"""Thirteen networks, each of which keeps to what it may try at once."""
WAIT_S = 60.0


class Hall(Door):
    """Be a door behind which everybody is noted, and stays a stranger."""

    def __init__(self) -> None:
        super().__init__(
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), _nobody, network_of=self.network_of
        )
        self.greeted: list[tuple[str, float]] = []
        self.kept: list[socket.socket] = []
        self._changed = asyncio.Event()
        self.port = self.open(HOME, 0)

    @staticmethod
    def network_of(source: str) -> str:
        """Count all but one host with its neighbours."""
        return "" if source == HOME else source.rpartition(".")[0]

    async def _greet(self, sock: socket.socket, source: str, **_: bool) -> None:
        self.kept.append(sock)
        self.greeted.append((source, time.monotonic()))
        self._changed.set()

    def come(self, sources: Iterable[str]) -> None:
        """Connect from some hosts, in order, before the door looks at any."""
        for source in sources:
            self.kept.append(
                socket.create_connection((HOME, self.port), source_address=(source, 0))
            )

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Wait for what must come."""
        deadline = time.monotonic() + WAIT_S
        while not wanted():
            assert time.monotonic() < deadline, self.greeted
            self._changed.clear()
            # Not every change is a greeting, so look again now and then.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 0.02)

    async def leave(self) -> None:
        """Close everything."""
        await self.close()
        for sock in self.kept:
            sock.close()


def _nobody() -> Connection:
    raise AssertionError("nobody is let in")


def test_a_crowd_is_greeted_one_by_one_and_delays_nobody_for_whom_room_is_kept() -> None:
    """It came first and from everywhere: who comes from home is greeted before half of it."""

    async def main() -> None:
        hall = Hall()
        hall.come([*CROWD, HOME])
        await hall.until(lambda: any(source == HOME for source, _ in hall.greeted))
        place = [source for source, _ in hall.greeted].index(HOME)
        await hall.until(lambda: len(hall.greeted) > 10)
        times = [at for source, at in hall.greeted if source != HOME]
        await hall.leave()

        assert hall.turned_away == 0
        assert place < len(CROWD) // 2
        assert times[9] - times[0] >= 8 * 0.02, "50 handshakes a second are what they may cost"

    asyncio.run(main())


def test_a_crowd_of_all_networks_takes_no_place_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of strangers is one for those that are counted, and one for all others."""
    monkeypatch.setattr(door, "STRANGERS_MAX", 5)

    async def main() -> None:
        hall = Hall()
        hall.come([*CROWD[::8], *[HOME] * 6])
        await hall.until(lambda: len(hall.greeted) == 10)
        await hall.until(lambda: hall.turned_away == 8 + 1)
        await hall.leave()

        assert [source for source, _ in hall.greeted].count(HOME) == 5

    asyncio.run(main())


def test_who_was_never_greeted_is_hung_up_on_when_the_door_closes() -> None:
    """A row of strangers is no leak."""

    async def main() -> None:
        hall = Hall()
        hall.come(CROWD)
        await hall.until(lambda: hall._strangers.total() == len(CROWD))
        await hall.leave()

        assert hall._row.empty()

    asyncio.run(main())


def test_a_stranger_whose_socket_takes_no_options_gives_its_place_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is lost before anything watches it."""

    def fails(_: socket.socket) -> socket.socket:
        raise OSError("no such option")

    monkeypatch.setattr(kernel, "tuned", fails)

    async def main() -> None:
        stranger = Connection(
            cast("Any", SimpleNamespace(bytes_queued=0, gone=_ignore)), dialled=None
        )
        transport: Any = SimpleNamespace(
            set_write_buffer_limits=_ignore, get_extra_info=lambda _: None
        )
        with pytest.raises(OSError, match="no such option"):
            stranger.connection_made(transport)
        stranger.connection_lost(None)
        assert stranger.settled.done()

    asyncio.run(main())


def _ignore(*_: object, **__: object) -> None:
    pass
