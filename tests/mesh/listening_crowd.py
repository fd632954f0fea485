"""Be thousands of listeners to `/events` of several nodes, in a process of its own.

`listening_crowd.py COUNT HOST:PORT...` opens COUNT streams to each node and prints `open` once all
stand. A line on the input ends it: when each has heard what any of its node has, or after a minute,
it prints one JSON line. A stream that breaks comes back with Last-Event-ID, as any client would.
"""

import asyncio
import json
import re
import resource
import sys
from collections.abc import Callable
from contextlib import suppress

import uvloop

_PER_ADDRESS = 1_000
_OPENING_MAX = 200
_SETTLE_S = 60.0
_POLL_S = 0.05
_EVENT = re.compile(rb'id: ([^\n]+)\nevent: block\ndata: {"height":(\d+)')


class Stream(asyncio.Protocol):
    """Read one stream: every height must come once, in order."""

    __slots__ = ("first", "height", "mark", "missed", "rest", "told", "twice")

    def __init__(self) -> None:
        self.first = self.height = self.missed = self.twice = 0
        self.mark = self.rest = b""
        self.told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it is one that writes
        """Ask, behind the last event that was heard."""
        self.rest = b""
        again = b"Last-Event-ID: %b\r\n" % self.mark if self.mark else b""
        transport.write(b"GET /events?topic=block HTTP/1.1\r\nHost: x\r\n%b\r\n" % again)

    def data_received(self, data: bytes) -> None:
        """Read whole events."""
        if not self.told.done() and data.startswith(b"HTTP/1.1 200 "):
            self.told.set_result(True)
        whole, found, self.rest = (self.rest + data).rpartition(b"\n\n")
        for mark, digits in _EVENT.findall(whole + found):
            height = int(digits)
            if self.height:
                self.missed += max(0, height - self.height - 1)
                self.twice += height <= self.height
            self.first = self.first or height
            self.height, self.mark = height, mark

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell whoever keeps it open."""
        if self.told.done():
            self.told = asyncio.get_running_loop().create_future()
        self.told.set_result(False)


class Crowd:
    """Be the listeners of one node."""

    def __init__(self, host: str, port: int, count: int, *, opening: asyncio.Semaphore) -> None:
        self.node = host, port
        self.streams = [Stream() for _ in range(count)]
        self.lost = 0
        self.open = 0
        self._opening = opening
        self.tasks = [
            asyncio.ensure_future(self._keep(stream, f"127.0.1.{1 + number // _PER_ADDRESS}"))
            for number, stream in enumerate(self.streams)
        ]

    async def _keep(self, stream: Stream, address: str) -> None:
        """Keep one open; each time that it ends counts."""
        loop = asyncio.get_running_loop()
        while True:
            async with self._opening:
                stream.told = loop.create_future()
                with suppress(OSError):
                    await loop.create_connection(
                        lambda: stream, *self.node, local_addr=(address, 0)
                    )
                    if await stream.told:
                        self.open += 1
                        stream.told = loop.create_future()
            if not stream.told.done():
                await stream.told
                self.open -= 1
            self.lost += 1

    @property
    def newest(self) -> int:
        """Return the greatest height that any has heard."""
        return max(stream.height for stream in self.streams)

    def behind(self, height: int) -> int:
        """Count those that have not heard of it."""
        return sum(stream.height < height for stream in self.streams)


async def _poll(condition: Callable[[], bool]) -> None:
    """Look now and then until it holds."""
    timer = asyncio.Event()
    while not condition():
        with suppress(TimeoutError):
            await asyncio.wait_for(timer.wait(), _POLL_S)


async def main() -> None:
    """Open, say so, listen until the input says that it is enough, and count."""
    count, nodes = int(sys.argv[1]), [each.split(":") for each in sys.argv[2:]]
    opening = asyncio.Semaphore(_OPENING_MAX)
    crowds = [Crowd(host, int(port), count, opening=opening) for host, port in nodes]
    await _poll(lambda: all(crowd.open == count for crowd in crowds))
    refused = sum(crowd.lost for crowd in crowds)
    print("open", flush=True)  # noqa: T201 - the protocol with the test
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    goals = [crowd.newest for crowd in crowds]
    behind = lambda: sum(map(Crowd.behind, crowds, goals))  # noqa: E731 - said once, used twice
    with suppress(TimeoutError):
        await asyncio.wait_for(_poll(lambda: not behind()), _SETTLE_S)
    streams = [stream for crowd in crowds for stream in crowd.streams]
    told = {
        "streams": len(streams),
        "refused_at_first": refused,
        "lost": sum(crowd.lost for crowd in crowds) - refused,
        "events": sum(stream.height - stream.first + 1 for stream in streams if stream.first),
        "missed": sum(stream.missed for stream in streams),
        "twice": sum(stream.twice for stream in streams),
        "behind": behind(),
    }
    print(json.dumps(told), flush=True)  # noqa: T201 - the protocol with the test
    for crowd in crowds:
        for task in crowd.tasks:
            task.cancel()


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
