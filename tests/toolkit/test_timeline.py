"""What a run writes while it lasts: three files of JSON lines that a report is made from."""

import json
from itertools import count
from pathlib import Path
from typing import Any

from aitbc_toolkit.suites.timeline import EVENTS, HEIGHTS, LOAD, LoadSecond, Timeline


def a_timeline(folder: Path) -> Timeline:
    """Make a timeline whose clocks tick by one at each look."""
    wall, steady = count(1_000), count(5)
    return Timeline(folder, wall=lambda: float(next(wall)), steady=lambda: float(next(steady)))


def rows(path: Path) -> list[Any]:
    """Read what stands in a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_event_is_on_the_disk_at_once(tmp_path: Path) -> None:
    """A run that is killed leaves every event that it has told, with both clocks."""
    with a_timeline(tmp_path) as timeline:
        timeline.event("fault.begin", fault="net.cut", targets=["v1"])

        assert rows(tmp_path / EVENTS) == [
            {"at": 1000, "mono": 5, "kind": "fault.begin", "fault": "net.cut", "targets": ["v1"]}
        ]


def test_a_height_is_written_when_it_changes(tmp_path: Path) -> None:
    """A node that stands still is one line, and a new round of the same height another one."""
    with a_timeline(tmp_path) as timeline:
        for height, round_ in ((1, 0), (1, 0), (1, 1), (2, 0)):
            timeline.height("v1", height, round_)

    told = [(row["node"], row["height"], row["round"]) for row in rows(tmp_path / HEIGHTS)]
    assert told == [("v1", 1, 0), ("v1", 1, 1), ("v1", 2, 0)]


def test_a_second_without_a_final_transaction_has_no_latency(tmp_path: Path) -> None:
    """Nothing was measured then, so nothing is told: a zero would be a lie."""
    with a_timeline(tmp_path) as timeline:
        timeline.load(LoadSecond(accepted=3))

    (row,) = rows(tmp_path / LOAD)
    assert (row["accepted"], row["p50_ms"]) == (3, None)


def test_who_comes_after_the_end_is_not_heard(tmp_path: Path) -> None:
    """A thread that ends late changes nothing of a record that a verdict was made from."""
    with a_timeline(tmp_path) as timeline:
        timeline.event("note", text="in time")
    timeline.event("note", text="late")

    assert len(rows(tmp_path / EVENTS)) == 1
