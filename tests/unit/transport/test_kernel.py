"""Whether a wire is full: what a kernel says of real connections, and what follows from it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aitbc_node.transport.kernel import FULL_MS, LOOK_MS, Mark, Reading, Watch, read

SO_MAX_PACING_RATE = 47
WAIT_S = 60.0
MUCH = 400_000
"""More than a kernel takes for a process that does not read."""


def a_reading(
    *,
    arrived: int = 1_000,
    waiting: int = 1_000,
    unsent: int = 0,
    resent: int = 0,
    shut_us: int = 0,
    quickest_ms: int = 0,
) -> Reading:
    """Be a connection on which half of the bytes have arrived and the rest waits."""
    return Reading(
        arrived=arrived,
        waiting=waiting,
        unsent=unsent,
        resent=resent,
        shut_us=shut_us,
        quickest_ms=quickest_ms,
    )


@contextmanager
def linked(*, buffer: int = 0) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect two sockets over TCP; the far one holds so much for its process, if told."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        if buffer:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    with near, far:
        near.settimeout(0)
        far.settimeout(0)
        yield near, far


async def is_told_full_of_pieces(near: socket.socket, far: socket.socket, *, looks: int) -> bool:
    """Send without end to a process that reads a piece now and then, for so many looks."""
    told = asyncio.Event()
    watch = Watch(near, told.set)
    loop = asyncio.get_running_loop()
    until = loop.time() + looks * LOOK_MS / 1_000
    while loop.time() < until and not told.is_set():
        with contextlib.suppress(BlockingIOError):
            while True:
                near.send(bytes(1 << 16))
        watch.begin()
        with contextlib.suppress(BlockingIOError):
            far.recv(20_000)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), 0.05)
    watch.end()
    return told.is_set()


async def is_told_full(near: socket.socket, far: socket.socket | None, *, looks: int) -> bool:
    """Send without end, read what comes unless nobody does, and watch so many looks long."""
    told = asyncio.Event()
    watch = Watch(near, told.set)
    loop = asyncio.get_running_loop()
    until = loop.time() + looks * LOOK_MS / 1_000
    while loop.time() < until and not told.is_set():
        # Where nobody reads, the kernel gives the connection up some time: that tells nothing, too.
        with contextlib.suppress(BlockingIOError, TimeoutError):
            near.send(bytes(MUCH))
        with contextlib.suppress(BlockingIOError):
            while far is not None and far.recv(1 << 20):
                pass
        watch.begin()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), LOOK_MS / 1_000)
    watch.end()
    return told.is_set()


def test_bytes_that_have_not_arrived_after_a_while_stood_before_the_wire() -> None:
    """Not at once, and not while the round trip alone takes so long."""
    mark = Mark()

    assert not mark.is_full(a_reading(), 0)
    assert not mark.is_full(a_reading(arrived=1_900, waiting=900), FULL_MS - 1)
    assert not mark.is_full(a_reading(arrived=1_900, waiting=900, quickest_ms=1), FULL_MS)
    assert mark.is_full(a_reading(arrived=1_900, waiting=900), FULL_MS)


def test_what_was_marked_has_arrived_however_much_waits_behind_it() -> None:
    """A wire in full use is not full: the mark moves on."""
    mark = Mark()
    for turn in range(20):
        arrived = 1_000 * turn
        assert not mark.is_full(a_reading(arrived=arrived, waiting=1_000), turn * LOOK_MS)


def test_a_peer_whose_process_reads_nothing_has_no_full_wire() -> None:
    """All that its kernel had room for has arrived, and the rest waits for it, not for the wire."""
    mark = Mark()
    for turn in range(20):
        shut_us = 1_000 * LOOK_MS * turn
        assert not mark.is_full(a_reading(shut_us=shut_us), turn * LOOK_MS)
    # It goes on: what moves now is not what stood. What still stands a look later is.
    assert not mark.is_full(a_reading(shut_us=shut_us), turn * LOOK_MS + FULL_MS - 1)
    assert mark.is_full(a_reading(shut_us=shut_us), (turn + 1) * LOOK_MS)


def test_a_peer_whose_process_reads_in_pieces_has_no_full_wire() -> None:
    """At every look something has just begun to move, and what came before stood for the peer."""
    mark = Mark()
    for turn in range(100):
        now_ms = turn * LOOK_MS
        a_piece = a_reading(arrived=200 * turn, shut_us=1_000 * (now_ms - now_ms // 10))
        assert not mark.is_full(a_piece, now_ms), turn


def test_a_lost_segment_on_an_idle_wire_is_no_full_wire() -> None:
    """It is sent again 200 ms later at the soonest, and nothing has waited behind it."""
    mark = Mark()
    assert not mark.is_full(a_reading(), 0)
    assert not mark.is_full(a_reading(resent=1), LOOK_MS)

    assert mark.is_full(a_reading(resent=1, unsent=1), 2 * LOOK_MS), "the queue of a router is full"


@pytest.mark.integration
def test_a_kernel_tells_what_has_not_left() -> None:
    """Some of what waits is on its way to a peer without room, the rest is here; none is lost."""
    with linked(buffer=1 << 12) as (near, _):
        near.send(bytes(MUCH))
        reading = read(near)

    assert reading is not None
    assert 0 < reading.unsent <= reading.waiting
    assert reading.resent == 0


@pytest.mark.integration
def test_a_kernel_tells_a_slow_wire() -> None:
    """Paced by the kernel to 20 KB/s, bytes stay here, and the peer had room for them."""
    with linked() as (near, far):
        near.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, 20_000)
        assert read(near) is not None

        assert asyncio.run(is_told_full(near, far, looks=int(WAIT_S * 1_000 / LOOK_MS)))


@pytest.mark.integration
@pytest.mark.parametrize("reads", [True, False], ids=["a quick reader", "nobody reads"])
def test_a_kernel_tells_no_slow_wire_where_there_is_none(*, reads: bool) -> None:
    """Neither of a peer that reads, nor of one whose process has stopped for ten looks."""
    with linked() as (near, far):
        assert not asyncio.run(is_told_full(near, far if reads else None, looks=10))


@pytest.mark.integration
def test_a_kernel_tells_no_slow_wire_of_a_process_that_reads_in_pieces() -> None:
    """Its buffer is full most of the time, and what it makes room for moves at once."""
    with linked(buffer=1 << 16) as (near, far):
        assert not asyncio.run(is_told_full_of_pieces(near, far, looks=10))


@pytest.mark.integration
def test_a_closed_connection_tells_nothing() -> None:
    """A look that comes too late is no error."""
    with linked() as (near, _):
        near.close()
        assert read(near) is None
