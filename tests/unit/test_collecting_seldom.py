"""The collector leaves alone what is alive: transactions on their way are let go by counting."""

import asyncio
import gc
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from aitbc_node import collecting, process
from aitbc_node.collecting import collect_seldom


@pytest.fixture
def collector() -> Iterator[None]:
    """Leave the collector as it was."""
    usual = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*usual)


def collections() -> int:
    """Count how often the collector has looked so far."""
    return sum(row["collections"] for row in gc.get_stats())


@pytest.mark.usefixtures("collector")
def test_transactions_on_their_way_are_not_looked_at() -> None:
    """As many objects as a busy second has of them may be alive before anybody looks."""
    collect_seldom()
    before = collections()

    alive: list[list[object]] = [[] for _ in range(15_000)]

    assert collections() == before
    assert len(alive) == 15_000


@pytest.mark.usefixtures("collector")
def test_circles_are_still_found() -> None:
    """Ended connections refer to themselves: without the collector their memory would be lost."""
    collect_seldom()
    before = collections()

    for _ in range(25_000):
        circle: list[object] = []
        circle.append(circle)

    assert collections() > before
    assert gc.get_count()[0] < 25_000


@pytest.mark.usefixtures("collector")
def test_what_is_old_is_looked_at_however_large_the_state_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Connections that ended late are circles among what is oldest: no state hides them."""
    monkeypatch.setattr(collecting, "NEW_OBJECTS", 100)
    state: list[list[object]] = [[] for _ in range(100_000)]
    collect_seldom()
    before = gc.get_stats()[2]["collections"]

    alive: list[list[object]] = [[] for _ in range(6 * 6 * 101 + 1_000)]

    assert gc.get_stats()[2]["collections"] > before
    assert len(state) > len(alive)


@pytest.mark.usefixtures("collector")
def test_circles_of_a_quiet_node_are_found_although_it_makes_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A link that lived long before it ended; the memory behind it is not Python's own."""

    class Link:
        """Refer to itself, as a connection that has ended does."""

        def __init__(self) -> None:
            self.protocol = self

    async def until_it_is_found(link: list[Link]) -> None:
        found = asyncio.Event()
        weakref.finalize(link[0], found.set)
        link.clear()
        process._keep_looking()
        async with asyncio.timeout(30):
            await found.wait()

    collect_seldom()
    link = [Link()]
    gc.collect()  # it is found alive, and old from now on
    monkeypatch.setattr(process, "LOOK_S", 0.05)

    asyncio.run(until_it_is_found(link))


@pytest.mark.skipif(collecting._trim is None, reason="the C library has no such call")
@pytest.mark.usefixtures("collector")
def test_what_is_free_goes_back_to_the_system() -> None:
    """Pages between what lives on: they would stay with the process for ever."""
    things = [bytes(4_000) for _ in range(20_000)]
    alive = things[::10]
    del things
    before = _resident_bytes()

    collecting.look_at_all()

    assert before - _resident_bytes() > 32 * 2**20
    assert len(alive) == 2_000


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE")
