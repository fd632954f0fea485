"""Pass connections on, but later: `relaying LEASE_S PORT MARK READY PEER...`. Runs on a host.

A peer is ADDRESS,OUT_MS,IN_MS: how long what goes there, and what comes from there, has to wait.
The kernel sends connections here that were meant for a peer; those that this makes carry a mark,
so that it does not send them here again. All of them end with this process. Standard library only.
"""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_SO_MARK = 36
_SO_ORIGINAL_DST = 80
_READ_BYTES = 65_536
_HELD_BYTES_MAX = 4 * 2**20

Delays = Mapping[str, tuple[float, float]]


async def main(lease_s: float, port: int, mark: int, ready: str, delays: Delays) -> None:
    """Take connections until the lease ends; say by a file from when on."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await _relay(reader, writer, mark, delays)
        writer.transport.abort()

    await asyncio.start_server(relay, "127.0.0.1", port)
    with suppress(OSError):  # a host may have no IPv6
        await asyncio.start_server(relay, "::1", port)
    await asyncio.to_thread(Path(ready).touch)
    await asyncio.sleep(lease_s)
    os._exit(0)  # what still waits here is never sent


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mark: int, delays: Delays
) -> None:
    meant = _meant(writer.get_extra_info("socket"))
    out_s, in_s = delays.get(meant[0], (0.0, 0.0))
    await asyncio.sleep(out_s + in_s)  # the way there and back of what makes a connection
    family = socket.AF_INET6 if ":" in meant[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.setsockopt(socket.SOL_SOCKET, _SO_MARK, mark)
        made.settimeout(0)
        await asyncio.get_running_loop().sock_connect(made, meant)
        peer_reader, peer_writer = await asyncio.open_connection(sock=made.dup())
    try:
        there = asyncio.create_task(_Later(reader, peer_writer, out_s).run())
        back = asyncio.create_task(_Later(peer_reader, writer, in_s).run())
        await asyncio.gather(there, back)
    finally:
        there.cancel()
        back.cancel()
        peer_writer.transport.abort()


class _Later:
    """Hand on what comes, in order, each piece so long after it came."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._delay_s = delay_s
        self._pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._held = 0
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Go on until there is nothing more to come, and all of it was handed on."""
        await asyncio.gather(self._take(), self._give())

    async def _take(self) -> None:
        clock = asyncio.get_running_loop()
        piece = b"."
        while piece:
            piece = await self._reader.read(_READ_BYTES)
            self._held += len(piece)
            self._pieces.put_nowait((clock.time() + self._delay_s, piece))
            while self._held > _HELD_BYTES_MAX:
                self._room.clear()
                await self._room.wait()

    async def _give(self) -> None:
        clock = asyncio.get_running_loop()
        while True:
            due_s, piece = await self._pieces.get()
            await asyncio.sleep(due_s - clock.time())
            if not piece:
                self._writer.write_eof()
                return
            self._writer.write(piece)
            await self._writer.drain()
            self._held -= len(piece)
            self._room.set()


def _meant(taken: socket.socket) -> tuple[str, int]:
    """Ask the kernel for whom a connection was that it has sent here.

    Shape: sockaddr_in, sockaddr_in6; port and address in network order.
    """
    if taken.family == socket.AF_INET6:
        found = taken.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
        port, address = struct.unpack("!2xH4x16s4x", found)
        return socket.inet_ntop(socket.AF_INET6, address), port
    found = taken.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
    port, address = struct.unpack("!2xH4s8x", found)
    return socket.inet_ntop(socket.AF_INET, address), port


def _delays(peers: list[str]) -> dict[str, tuple[float, float]]:
    rows = [peer.split(",") for peer in peers]
    return {address: (int(out) / 1000, int(back) / 1000) for address, out, back in rows}


if __name__ == "__main__":
    _lease, _port, _mark, _ready, *_peers = sys.argv[1:]
    asyncio.run(main(float(_lease), int(_port), int(_mark), _ready, _delays(_peers)))
