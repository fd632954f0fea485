"""Whether nodes are worn down by a long run: what is read of them, and what follows from it."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.suites import wear
from aitbc_toolkit.suites.wear import Sample, Wear, grown, wearing, worn

MIB = 2**20


def a_life(
    minutes: int, memory: Callable[[int], float], handles: Callable[[int], int]
) -> list[Sample]:
    """Look at a process once a minute."""
    return [Sample(60.0 * n, round(memory(n)), handles(n)) for n in range(minutes + 1)]


def test_what_a_process_takes_while_it_warms_up_is_no_leak() -> None:
    """Memory that grows for a quarter of an hour and then stands still; handles come and go."""
    life = a_life(60, lambda n: (50 + min(n, 15)) * MIB, lambda n: 40 + n % 2)

    found = worn({("v1", 7): life}, ["v1"])

    assert found["memory_slope"] == pytest.approx(0, abs=0.01)
    assert abs(found["handles_growth"]) <= 1


def test_a_leak_is_told_of_the_worst_process() -> None:
    """Three percent an hour, and a handle every other minute, though others do well."""
    sound = a_life(60, lambda _: 50 * MIB, lambda _: 40)
    leaking = a_life(60, lambda n: 50 * MIB * (1 + 0.03 * n / 60), lambda n: 40 + n // 2)

    found = worn({("v1", 7): sound, ("v2", 8): leaking}, ["v1", "v2"])

    assert found["memory_slope"] == pytest.approx(3, rel=0.05)
    assert found["handles_growth"] >= 9


def test_a_process_that_was_started_anew_says_nothing_of_the_one_before() -> None:
    """Two lives of twenty minutes are none of forty."""
    life = a_life(20, lambda _: 50 * MIB, lambda _: 40)

    assert worn({("v1", 7): life, ("v1", 9): life}, ["v1"]) == {}


@pytest.mark.parametrize("minutes", [20, 0, None])
def test_a_node_that_leaks_and_restarts_leaves_nothing_measured(minutes: int | None) -> None:
    """Its lives are too short to be held to anything, or were never read: no figure at all."""
    sound = a_life(60, lambda _: 50 * MIB, lambda _: 40)
    lives = {("v1", 7): sound}
    if minutes is not None:
        lives[("v2", 8)] = a_life(minutes, lambda n: (50 + n) * MIB, lambda n: 40 + n)

    assert worn(lives, ["v1", "v2"]) == {}
    assert worn(lives, ["v1"]) == {"memory_slope": 0.0, "handles_growth": 0}


def test_a_node_that_restarted_once_is_measured_by_its_long_life() -> None:
    """Another life beside takes nothing away from it."""
    long, short = (a_life(n, lambda _: 50 * MIB, lambda _: 40) for n in (40, 5))

    assert worn({("v1", 7): short, ("v1", 9): long}, ["v1"])["memory_slope"] == 0.0


def test_a_folder_that_grows_with_the_chain_only_has_two_halves_alike() -> None:
    """So many bytes a transaction early and late; one that grows by itself shows more of them."""
    life = list(enumerate(a_life(60, lambda _: MIB, int)))
    sound, filling = (
        [row._replace(final=100 * n, disk_bytes=n * 30_000 + n * n * more) for n, row in life]
        for more in (0, 90)
    )

    first, second = grown({("v1", 7): sound, ("v2", 8): filling})

    assert (first["node"], first["for_s"], first["why"]) == ("v1", 3_600.0, "")
    assert first["disk_per_tx_early"] == first["disk_per_tx_late"] == 300.0
    assert first["memory_percent_h"] == pytest.approx(0, abs=0.01)
    assert second["disk_per_tx_late"] > 1.1 * second["disk_per_tx_early"]


def test_a_leak_shows_in_the_growth_of_its_node() -> None:
    """Memory in percent an hour, of what it held once it was warm; nothing final, no division."""
    life = a_life(30, lambda n: 50 * MIB * (1 + 0.12 * n / 60), lambda _: 40)

    (found,) = grown({("v1", 7): life})

    assert found["memory_percent_h"] == pytest.approx(12, rel=0.05)
    assert found["disk_per_tx_early"] is None


def test_of_a_short_time_nothing_is_said() -> None:
    """Four minutes are told as such; a run that is to be shorter is not followed at all."""
    (found,) = grown({("v1", 7): a_life(4, lambda _: MIB, int)})

    assert found == {
        "node": "v1",
        "for_s": 240.0,
        "why": "one process was seen for 240 s, 300 are the least",
    }
    nobody: Any = None
    with wearing(nobody, for_s=30.0) as unread:
        assert unread.growth() == []


def test_nodes_are_read_again_after_a_silence(
    monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    """A host that does not answer costs a look, not the run."""
    monkeypatch.setattr(wear, "EVERY_S", 0.01)
    looks, now = iter(range(10_000)), iter(range(0, 10_000_000, 600))
    enough = threading.Event()

    def read() -> Mapping[str, Mapping[str, Any]]:
        number = next(looks)
        if number == 1:
            raise AitbcError("no way to lab1")
        if number > 8:
            enough.set()
        return {"v1": {"began": 7, "memory_bytes": MIB, "handles": 9}, "v2": {}}

    with Wear(read, lambda: float(next(now)), ["v1"]) as seen:
        eventually("nine looks", enough.is_set)

    assert seen.measures() == {"memory_slope": 0.0, "handles_growth": 0.0}
