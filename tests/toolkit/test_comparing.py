"""Sets of load runs are called different when they are, and compared only where they may be."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from aitbc_toolkit.cli import contest
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.suites import comparing, rivalry
from aitbc_toolkit.suites.comparing import Taken, compare

pytestmark = pytest.mark.unit

MACHINE = {"cores": 2, "kernel": "6.1.0", "load": [0.1, 0.2, 0.3]}
SPREAD = 0.05
"""How far the p95 of equal runs lie apart on a quiet machine, as a share of it."""


def a_run(number: int, p95: float, **changed: Any) -> Taken:
    """Make a run that began when its number says."""
    circumstances = {"machine": MACHINE, "configuration": "c0", "builds": ["b0"], "versions": {}}
    result = {
        "seed": 7,
        "rates": {"committed": 50.0},
        "to_final": {"percentiles_ms": {"p50": p95 / 2, "p95": p95, "p99": 1.2 * p95}},
        "submit": {"percentiles_ms": {"p95": 3.0}},
        "circumstances": {**circumstances, **changed.pop("circumstances", {})},
        **changed,
    }
    return Taken(f"{number:04d}", f"2026-11-22T01:{number:02d}:00+00:00", "PASS", result)


def two_sides(
    first: Sequence[float], second: Sequence[float], **changed: Any
) -> tuple[list[Taken], list[Taken]]:
    """Make runs that took turns, there and back; `changed` are of the second side."""
    one = [a_run(2 * place + place % 2, value) for place, value in enumerate(first)]
    other = [a_run(2 * place + 1 - place % 2, v, **changed) for place, v in enumerate(second)]
    return one, other


def drawn(dice: random.Random, middle: float, count: int = comparing.RUNS_MIN) -> list[float]:
    """Draw the p95 of runs on one machine."""
    return [middle * dice.lognormvariate(0.0, SPREAD) for _ in range(count)]


def is_alarm(dice: random.Random, times: float, *, drift: float = 0.0) -> bool:
    """Compare two sets whose p95 differ so many times, on a machine that grows slower."""
    first, second = drawn(dice, 800.0), drawn(dice, 800.0 * times)
    sides = two_sides(first, second)
    ordered = sorted((*sides[0], *sides[1]), key=lambda each: each.began)
    for place, each in enumerate(ordered):
        assert each.result is not None
        each.result["to_final"]["percentiles_ms"]["p95"] *= 1 + drift * place / len(ordered)  # type: ignore[index]
    return any(row.word in {"better", "worse"} for row in compare(*sides).rows)


def test_equal_sets_alarm_in_at_most_one_of_twenty() -> None:
    """1,000 comparisons of a version with itself, five runs a side."""
    dice = random.Random(1)  # noqa: S311 - repeatable figures, no secret

    alarms = sum(is_alarm(dice, 1.0) for _ in range(1_000))

    assert alarms / 1_000 <= 0.05


def test_a_machine_that_grows_slower_is_no_difference() -> None:
    """By 20 % from the first run to the last: both sides had their turns."""
    dice = random.Random(2)  # noqa: S311 - repeatable figures, no secret

    alarms = sum(is_alarm(dice, 1.0, drift=0.2) for _ in range(1_000))

    assert alarms / 1_000 <= 0.05


def test_a_fifth_more_latency_is_caught() -> None:
    """A true +20 % of p95 is found in at least 95 of 100, five runs a side."""
    dice = random.Random(3)  # noqa: S311 - repeatable figures, no secret

    caught = sum(is_alarm(dice, 1.2) for _ in range(1_000))

    assert caught / 1_000 >= 0.95


def test_what_is_sure_and_small_is_no_alarm() -> None:
    """3 % is below what matters, though every run of one side is slower than all of the other."""
    first = [800.0, 801.0, 802.0, 803.0, 804.0]
    found = compare(*two_sides(first, [1.03 * each for each in first]))

    (row,) = (row for row in found.rows if row.figure == "final_p95")
    assert (row.word, round(row.p, 4)) == ("alike", 0.0079)
    assert not found.is_worse


@pytest.mark.parametrize(("times", "word"), [(1.2, "worse"), (0.8, "better")])
def test_the_answer_is_one_sentence_with_its_ground(times: float, word: str) -> None:
    """Which figure, how many times, and how often chance alone does it."""
    first = [800.0, 801.0, 802.0, 803.0, 804.0]
    found = compare(*two_sides(first, [times * each for each in first]))

    *_, sentence = contest.told(found)
    assert sentence.startswith(f"B is {word}: its final_p95 is {times:.3f} times A's")
    assert "0.008" in sentence
    assert found.is_worse == (word == "worse")


def test_more_committed_is_better() -> None:
    """Where more is better, less is worse; other figures are told and decide nothing."""
    one, other = two_sides([800.0] * 5, [900.0, 910.0, 920.0, 930.0, 940.0])
    for number, each in enumerate(one):
        each.result["rates"]["committed"] = 60.0 + number  # type: ignore[index]

    words = {row.figure: row.word for row in compare(one, other, judged=["committed"]).rows}
    assert words["committed"] == "worse"
    assert words["final_p95"] == ""


def test_several_judged_figures_share_the_chance() -> None:
    """Five runs a side can judge six figures at most, so that equal sets seldom alarm."""
    sides = two_sides([1.0, 2.0, 3.0, 4.0, 5.0], [1.1, 2.1, 3.1, 4.1, 5.1])

    assert compare(*sides, judged=[*comparing.FIGURES]).chance_max == pytest.approx(0.01)
    with pytest.raises(UsageError, match="too few to judge 7 figures"):
        compare(*sides, judged=["final_p95"] * 7)


Change = Callable[[list[Taken], list[Taken]], tuple[list[Taken], list[Taken]]]
OTHER: Mapping[str, Mapping[str, Any]] = {
    "machine": {"circumstances": {"machine": {**MACHINE, "cores": 4}}},
    "machine or its Python": {"circumstances": {"versions": {"python": "9"}}},
    "configuration": {"circumstances": {"configuration": "c1"}},
    "seed": {"seed": 8},
}


@pytest.mark.parametrize("what", OTHER)
def test_runs_that_differ_in_more_than_the_version_are_refused(what: str) -> None:
    """Another machine, configuration or seed: its load is none of these, nor is a library."""
    busy = {"machine": {**MACHINE, "load": [9.0, 9.0, 9.0]}, "versions": {"msgspec": "9"}}
    alike = {"circumstances": {**busy, "builds": ["b1"]}}
    assert compare(*two_sides([1.0] * 5, [1.0] * 5, **alike)).builds == ("b0", "b1")

    with pytest.raises(UsageError, match=f"differ in {what.partition(' ')[0]}"):
        compare(*two_sides([1.0] * 5, [1.0] * 5, **OTHER[what]))


@pytest.mark.parametrize("key", ["machine", "configuration"])
def test_what_nobody_wrote_down_is_not_taken_for_the_same(key: str) -> None:
    """Runs of an older build do not tell it."""
    silent: Mapping[str, Any] = {"machine": {}, "configuration": None}
    sides = two_sides([1.0] * 5, [1.0] * 5)
    for each in (*sides[0], *sides[1]):
        each.result["circumstances"] |= {key: silent[key]}  # type: ignore[index]

    with pytest.raises(UsageError, match=f"does not tell its {key}"):
        compare(*sides)


CHANGES: Mapping[str, Change] = {
    "4 runs and 5": lambda a, b: (a[:4], b),
    "4 runs and 4": lambda a, b: (a[:4], b[:4]),
    "is INVALID": lambda a, b: (a, [replace(b[0], verdict="INVALID"), *b[1:]]),
    "is not judged": lambda a, b: (a, [replace(b[0], verdict="", result=None), *b[1:]]),
    "is on both sides": lambda a, b: (a, [a[0], *b[1:]]),
    "did not alternate": lambda a, b: (
        [replace(each, began=f"2026-11-21T{n:02d}") for n, each in enumerate(a)],
        b,
    ),
    "of different versions": lambda a, b: (
        a,
        [a_run(1, 1.0, circumstances={"builds": ["b9"]}), *b[1:]],
    ),
}


@pytest.mark.parametrize("said", CHANGES)
def test_sets_that_say_nothing_together_are_refused(said: str) -> None:
    """Too few, invalid, the same twice, one set after the other, versions mixed."""
    with pytest.raises(UsageError, match=said):
        compare(*CHANGES[said](*two_sides([1.0] * 5, [1.0] * 5)))


def test_a_missing_figure_is_an_error() -> None:
    """Never a pass, and never left out: the run is named."""
    sides = two_sides([1.0] * 5, [1.0] * 5)
    sides[1][2].result["to_final"]["percentiles_ms"]["p95"] = None  # type: ignore[index]

    with pytest.raises(AitbcError, match=f"run {sides[1][2].run} has no final_p95") as refused:
        compare(*sides)

    assert refused.value.exit_status == Exit.INCONCLUSIVE


def test_runs_take_turns_there_and_back() -> None:
    """One not counted makes each mesh's accounts; one that says nothing is repeated."""
    made: list[rivalry.Turn] = []

    def make(turn: rivalry.Turn) -> Taken:
        made.append(turn)
        run = a_run(len(made), 800.0, why=["late"])
        is_late = (turn.side, turn.number, turn.tries) == ("B", 2, 0)
        return replace(run, verdict="INVALID") if is_late else run

    sides = rivalry.take_turns(make, runs=5, is_one_mesh=False)

    assert "".join(turn.side for turn in made) == "AB" + "AB" + "BBA" + "ABBAAB"
    assert [len(side) for side in sides] == [5, 5]
    assert not any(row.word == "worse" for row in compare(*sides).rows)


def test_a_run_that_never_says_anything_ends_the_comparison() -> None:
    """After three tries, with the swarm's own reason."""

    def make(turn: rivalry.Turn) -> Taken:
        return replace(a_run(turn.tries, 1.0, why=["send lag p99 was 30.0 ms"]), verdict="INVALID")

    with pytest.raises(AitbcError, match="run 0002 of A was INVALID: send lag") as ended:
        rivalry.take_turns(make, runs=5, is_one_mesh=True)

    assert ended.value.exit_status == Exit.INVALID


def test_a_mesh_that_fails_is_not_compared() -> None:
    """Its verdict ends the comparison at once, and is its exit status."""
    made: list[rivalry.Turn] = []

    def make(turn: rivalry.Turn) -> Taken:
        made.append(turn)
        return replace(a_run(1, 1.0, why=["agreement: two blocks"]), verdict="SAFETY")

    with pytest.raises(AitbcError, match="was SAFETY: agreement: two blocks") as ended:
        rivalry.take_turns(make, runs=5, is_one_mesh=True)

    assert (ended.value.exit_status, len(made)) == (Exit.UNSAFE, 1)
