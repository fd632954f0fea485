"""Fast exits: waits double, a minute with five of them is the end, a long life forgets all."""

import json
from pathlib import Path

import pytest

from aitbc_node import restarts
from aitbc_node.errors import ConfigError, Exit
from aitbc_node.restarts import FastExits, delay_after

pytestmark = pytest.mark.integration
NOW_S = 1_000_000.0


@pytest.mark.proves("D13")
def test_the_wait_doubles_up_to_its_cap() -> None:
    """Base x 2^n, capped at a minute, and no wait after a long life."""
    long_ago = NOW_S - 1000

    waits = [delay_after((long_ago,) * count, now_s=NOW_S).seconds for count in range(15)]

    assert waits[:5] == [0.0, 0.2, 0.4, 0.8, 1.6]
    assert waits[9:] == [51.2, 60.0, 60.0, 60.0, 60.0, 60.0]


@pytest.mark.proves("D13")
def test_five_in_a_minute_are_the_end() -> None:
    """Older ones make it wait, not give up; a clock that was set back does not count against it."""
    for deaths, gives_up in (
        ((NOW_S - 1,) * 4, False),
        ((NOW_S - 1,) * 5, True),
        ((NOW_S - 61,) * 5, False),
        ((NOW_S + 61,) * 5, False),
        ((NOW_S - 61, NOW_S - 59, NOW_S - 9, NOW_S - 5, NOW_S - 1, NOW_S), True),
    ):
        assert delay_after(deaths, now_s=NOW_S).gives_up is gives_up, deaths


def test_lives_are_counted_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count survives the process, a long life clears it, an orderly end takes itself out."""
    clock = iter(range(1000, 2000))
    monkeypatch.setattr(restarts.time, "time", lambda: float(next(clock)))
    for count in range(3):
        assert FastExits(tmp_path / "run").begin().seconds == (0.0, 0.2, 0.4)[count]

    orderly = FastExits(tmp_path / "run")
    orderly.begin()
    orderly.ended_orderly()
    assert len(json.loads((tmp_path / "run" / "fast_exits.json").read_text("utf-8"))) == 3

    FastExits(tmp_path / "run").begin()
    last = FastExits(tmp_path / "run")
    last.begin()
    with pytest.raises(ConfigError, match="5 starts within 60 s") as caught:
        FastExits(tmp_path / "run").begin()
    assert caught.value.exit_status == Exit.CONFIG

    last.lived()
    assert FastExits(tmp_path / "run").begin().seconds == 0.0


def test_a_life_that_was_asked_to_end_is_no_crash(tmp_path: Path) -> None:
    """Stopped by its operator ten times, killed in the end or not, a node starts without a wait."""
    for _ in range(10):
        life = FastExits(tmp_path)
        assert life.begin().seconds == 0.0
        life.ended_orderly()


def test_a_kill_without_a_word_counts(tmp_path: Path) -> None:
    """Out of memory looks like any other SIGKILL, and five in a minute burn a host as well."""
    for _ in range(5):
        FastExits(tmp_path).begin()

    with pytest.raises(ConfigError, match="5 starts"):
        FastExits(tmp_path).begin()


def test_a_spoilt_file_is_no_reason_not_to_start(tmp_path: Path) -> None:
    """The count is a help, not a lock."""
    for text in ("", "{}", "[1, null]", "\0", '{"a": 1}'):
        (tmp_path / "fast_exits.json").write_text(text, encoding="utf-8")

        assert FastExits(tmp_path).begin().seconds == 0.0
