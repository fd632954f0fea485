"""The page of a load run: its rates, books and latencies, and what faults did to them."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import forged_run
import pytest
from msgspec import convert
from test_report_page import Seen, made

from aitbc_load import results
from aitbc_load.hdrlog import Log
from aitbc_load.histograms import Latencies
from aitbc_toolkit.suites.report import periods, reading, scenes
from aitbc_toolkit.suites.report.room import BYTES_MAX

BEFORE_MS, DURING_MS = 100, 900
BACK_S = 4
"""How many seconds behind the fault latency is still high."""


def latencies(times_ms: Sequence[int]) -> Latencies:
    """Count some."""
    found = Latencies()
    for each in times_ms:
        found.record_us(1_000 * each)
    return found


def seconds() -> Iterator[tuple[int, list[int]]]:
    """Tell what was final in each of 30 seconds round the cut from the 2nd to the 22nd."""
    for second in range(30):
        slow = 2 <= second < 22 + BACK_S
        yield second, [DURING_MS if slow else BEFORE_MS] * 9 + [2 * BEFORE_MS]


def a_kind(times_ms: Sequence[int]) -> dict[str, Any]:
    """Make one kind of latency as a result tells it."""
    counted = latencies(times_ms)
    return {
        "count": counted.count,
        "percentiles_ms": counted.percentiles_ms(),
        "histogram": dict(counted.to_wire()),
    }


def a_result() -> dict[str, Any]:
    """Make what a swarm told at its end."""
    everything = [each for _, times in seconds() for each in times]
    each = {"cpu_ms": 0.71, "bytes_in": 1_340.0, "bytes_out": None, "disk_bytes": 300.0}
    return {
        "rates": {"asked": 50.0, "offered": 49.9, "accepted": 49.8, "committed": None},
        "books": {
            "sent": 300,
            "final": 299,
            "rejected": 1,
            "expired": 0,
            "pending": 0,
            "rejects": {"nonce": 1},
            "refusals": {"rate-limited": 3},
        },
        "to_final": a_kind(everything),
        "submit": a_kind([3] * 300),
        "service": a_kind([2] * 300),
        "send_lag": a_kind([1] * 300),
        "costs": [{"node": "v1", "per_tx": each}, {"node": "v2", "why": "it was started anew"}],
        "growth": [
            {"node": "v1", "for_s": 3600.0, "memory_percent_h": 0.4, "disk_per_tx_early": 310.0},
            {"node": "v2", "for_s": 60.0, "why": "one process was seen for 60 s"},
        ],
    }


def a_load_folder(folder: Path) -> Path:
    """Write a load run with a fault, its log of latencies and its result."""
    forged_run.a_folder(folder)
    rows = [
        {
            "at": forged_run.BEGAN + second + 1,
            "offered": 10,
            "accepted": 10,
            "final": 10,
            "refused": 0,
            **{f"{p}_ms": v for p, v in latencies(times).percentiles_ms((50, 95, 99)).items()},
        }
        for second, times in seconds()
    ]
    forged_run.write(folder, "load.jsonl", rows[:-1])
    with Log(str(folder), began=forged_run.BEGAN) as log:
        for second, times in seconds():
            log.add("to_final", latencies(times), from_s=second, until_s=second + 1)
    (folder / "result.json").write_text(json.dumps(a_result()))
    return folder


def test_a_load_run_shows_what_became_of_its_transactions(tmp_path: Path) -> None:
    """Rates, books that balance, every kind of latency, costs; what nobody measured is said so."""
    seen = Seen(made(a_load_folder(tmp_path)))

    assert "asked a second" in seen.within("rates")
    assert "50 49.9 49.8 not measured" in seen.within("rates")
    assert seen.within("books").startswith(
        "sent 300 = final 299 + rejected 1 + expired 0 + pending 0"
    )
    assert "nonce 1, rate-limited (sent again) 3" in seen.words
    assert "to final 300" in seen.within("latencies")
    assert "to answer 300 3.0 ms 3.0 ms" in seen.within("latencies")
    assert "v1 0.71 1,340.00 - 300.00" in seen.within("costs")
    assert "v2 - - - - it was started anew" in seen.within("costs")
    assert "v1 3,600.00 0.40 310.00 -" in seen.within("growth")
    assert "v2 - - - - one process was seen for 60 s" in seen.within("growth")


def test_the_times_until_final_are_drawn(tmp_path: Path) -> None:
    """A column for each span of time, the tallest as tall as the drawing; and what was offered."""
    text = made(a_load_folder(tmp_path))

    heights = [int(each) for each in re.findall(r'class="spread" [^>]*height="(\d+)"', text)]
    assert max(heights) == 120
    assert len(heights) == 3  # 100 ms, 200 ms and 900 ms
    assert "offered, at most 10" in text


def test_percentiles_round_a_fault_are_those_of_all_its_transactions(tmp_path: Path) -> None:
    """Before, during and after are added up from the log, not guessed from the middle second."""
    seen = Seen(made(a_load_folder(tmp_path)))

    told = seen.within("periods")
    assert "middle second" not in told
    assert "before 20 20 0 100 ms 200 ms 200 ms" in told
    assert "during 200 200 0 900 ms 900 ms 900 ms" in told
    assert "after" in told
    assert f"before {BACK_S}.0 s after the last fault" in seen.words


def test_programs_are_told_what_a_fault_did(tmp_path: Path) -> None:
    """The same figures as on the page, as numbers, and the seconds until p95 was back."""
    told = periods.figures(scenes.scenes(reading.read(a_load_folder(tmp_path))))

    assert told is not None
    broken = convert(told, results.Broken)
    assert [each.name for each in broken.periods] == ["before", "during", "after"]
    before, during, _ = broken.periods
    assert (before.final, before.p95_ms) == (20, pytest.approx(200, rel=0.01))
    assert (during.final, during.p50_ms) == (200, pytest.approx(900, rel=0.01))
    assert broken.back_s == pytest.approx(BACK_S, abs=1)


def test_where_nothing_was_broken_there_is_nothing_to_tell(tmp_path: Path) -> None:
    """Nor where no log of latencies says what became of them."""
    folder = a_load_folder(tmp_path)
    (folder / "latencies.hlog").unlink()

    assert periods.figures(scenes.scenes(reading.read(folder))) is None
    assert periods.figures([]) is None


def test_a_latency_that_stays_high_is_said_not_to_have_come_back(tmp_path: Path) -> None:
    """Nobody takes the end of a run for the way back."""
    folder = a_load_folder(tmp_path)
    rows = [json.loads(line) for line in (folder / "load.jsonl").read_text().splitlines()]
    forged_run.write(folder, "load.jsonl", [{**row, "p95_ms": None} for row in rows])

    assert "did not come back to 1.2 times that of before" in Seen(made(folder)).words


def test_without_a_log_the_middle_second_stands_for_a_period(tmp_path: Path) -> None:
    """And is named so."""
    folder = a_load_folder(tmp_path)
    (folder / "latencies.hlog").unlink()

    seen = Seen(made(folder))

    assert "p95, middle second" in seen.within("periods")
    assert "after the last fault" not in seen.words


@pytest.mark.parametrize(
    "damage", ["Tag=to_final,1,1,1,HISTFAAA", "Tag=to_final,x", "Tag=to_final,"]
)
def test_a_damaged_log_costs_its_rows_and_is_told(tmp_path: Path, damage: str) -> None:
    """The rest is shown."""
    folder = a_load_folder(tmp_path)
    with (folder / "latencies.hlog").open("a") as file:
        file.write(damage + "\n")

    seen = Seen(made(folder))

    assert "latencies.hlog: 1 rows cannot be read" in seen.words
    assert "before 20 20 0 100 ms 200 ms 200 ms" in seen.within("periods")


def test_a_damaged_result_costs_its_tables_and_is_told(tmp_path: Path) -> None:
    """Also one whose histogram is none."""
    folder = a_load_folder(tmp_path)
    whole = a_result()
    whole["to_final"]["histogram"]["hdr"] = "HISTnothing"
    (folder / "result.json").write_text(json.dumps(whole))
    assert 'class="spread"' not in made(folder)

    (folder / "result.json").write_text('{"rates": 3}')
    seen = Seen(made(folder))
    assert "result.json cannot be read" in seen.words
    assert seen.within("rates") == ""


def test_the_page_of_an_hour_stays_small(tmp_path: Path) -> None:
    """3,600 seconds of load fit on a page that opens offline."""
    folder = forged_run.a_folder(tmp_path)
    forged_run.write(folder, "load.jsonl", forged_run.load(3_600))
    (folder / "result.json").write_text(json.dumps(a_result()))

    assert len(made(folder).encode()) < BYTES_MAX
