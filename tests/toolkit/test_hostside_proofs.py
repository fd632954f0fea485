"""What shows that a clock is another one, and that a log is shorter? Measured, not asked for."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.deploys.hostside import biting


class OneProcess:
    """Be the manager of one process."""

    def __init__(self, pid: int, *, is_active: bool = True) -> None:
        self.pid = pid
        self.is_active = is_active

    def state(self, _instance: dict[str, Any]) -> dict[str, Any]:
        return {"pid": self.pid, "active": self.is_active, "word": "running"}


def lines(*offsets: float, every_s: float = 1.0) -> str:
    """Write a journal: one line every so often, whose own time is off by so much."""
    told = [
        {
            "__REALTIME_TIMESTAMP": f"{int((1000 + number * every_s) * 1e6)}",
            "MESSAGE": json.dumps({"time_ms": int((1000 + number * every_s + offset) * 1000)}),
        }
        for number, offset in enumerate(offsets)
    ]
    words = {"__REALTIME_TIMESTAMP": "1", "MESSAGE": "Started a node"}
    return "\n".join(json.dumps(each) for each in [words, *told])


@pytest.mark.parametrize(
    ("shows", "journal", "bites"),
    [
        ({"offset_s": 30}, lines(0, 30.02), True),
        ({"offset_s": -30}, lines(-29.9), True),
        ({"offset_s": 30}, lines(0, -0.02), False),
        ({"offset_s": 30}, lines(15), False),
        ({"offset_s": 30}, lines(), False),
        ({"swing_s": 30}, lines(0, -30, 0), True),
        ({"swing_s": 30}, lines(0, 0.01, 0), False),
        ({"gain": 0.1}, lines(0, 0.1, 0.2), True),
        ({"gain": -0.5}, lines(0, -0.5, -1), True),
        ({"gain": 0.1}, lines(0, 0, 0.01), False),
        ({"gain": 0.1}, lines(0, -0.1, -0.2), False),
        ({"gain": 0.1}, lines(0, 0.05, every_s=0.5), False),
    ],
)
def test_a_clock_is_proved_by_the_times_that_the_node_writes(
    monkeypatch: pytest.MonkeyPatch, shows: dict[str, float], journal: str, *, bites: bool
) -> None:
    """Not by the order to have another one: a node that writes the host's time has the host's."""
    monkeypatch.setattr(biting.services, "manager", lambda _: OneProcess(7))
    monkeypatch.setattr(biting, "_said", lambda *_: journal)
    proof = {"what": "clock", "node": "v1", **shows}

    told = biting.prove(
        {"instances": [{"name": "v1", "unit": "u"}], "within_s": 0, "proofs": [proof]}
    )

    assert told["bites"] == bites, told


@pytest.mark.parametrize(
    ("now", "is_active", "bites"),
    [(900, False, True), (1000, False, False), (1100, False, False), (900, True, False)],
)
def test_a_log_is_proved_shorter_by_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: int, *, is_active: bool, bites: bool
) -> None:
    """That its node is down shows no more than that it was killed."""
    state = OneProcess(7 if is_active else 0, is_active=is_active)
    monkeypatch.setattr(biting.services, "manager", lambda _: state)
    path, before = tmp_path / "journal.log", tmp_path / "before"
    path.write_bytes(b"x" * now)
    before.write_text("1000\n")
    words = {"path": str(path), "before": str(before), "bytes": 100}
    proof = {"what": "shorter", "node": "v1", **words}

    told = biting.prove(
        {"instances": [{"name": "v1", "unit": "u"}], "within_s": 0, "proofs": [proof]}
    )

    assert told["bites"] == bites, told
    assert f"{now} bytes, were 1000" in told["evidence"]["v1 shorter"]


def test_a_clock_that_nobody_tells_is_said_not_to_be_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who reads a long log first writes nothing: what it was started with is all that is known."""
    child = subprocess.Popen(["sleep", "60"], env={"FAKETIME": "+30s"}, executable="/bin/sleep")
    try:
        monkeypatch.setattr(biting.services, "manager", lambda _: OneProcess(child.pid))
        monkeypatch.setattr(biting, "_said", lambda *_: "")
        proof = {"what": "clock", "node": "v1", "offset_s": 30}
        told = biting.prove(
            {"instances": [{"name": "v1", "unit": "u"}], "within_s": 0, "proofs": [proof]}
        )
    finally:
        child.kill()
        child.wait()

    assert told["evidence"]["v1 clock"].startswith("not measured")
    assert not told["bites"], "the library that gives the clock is not loaded"
