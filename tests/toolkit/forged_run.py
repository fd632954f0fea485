"""Records of a run, made by hand: what a report is tested on."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

BEGAN = 1_700_000_000.0
NAMES = ("v1", "v2", "v3", "v4")


def a_verdict(**changes: Any) -> dict[str, Any]:
    """Make the document of a run of one scenario that passed."""
    name = "partition/minority"
    return {
        "schema": 1,
        "suite": "partition",
        "scenario": name,
        "environment": "lab",
        "seed": 7,
        "verdict": "PASS",
        "exit": 0,
        "repro": "./aitbc test partition -e lab --seed 7",
        "started": "2026-11-22T01:13:24+00:00",
        "ended": "2026-11-22T01:13:51+00:00",
        "took_s": 27.9,
        "commit": "704a17340bc0a3cbcd6c37a791a429d06f43c25e",
        "dirty": False,
        "machine": {"cores": 2, "kernel": "6.1.0"},
        "versions": {"python": "3.11.7"},
        "scenarios": [{"name": name, "verdict": "PASS", "line": "all well", "took_s": 27.6}],
        "checks": [{"scenario": name, "name": "agreement", "outcome": "held", "detail": ""}],
        "objectives": [a_figure("t_all_at_tip", 1.861)],
        "faults": [a_fault()],
        "left_out": [],
        **changes,
    }


def a_figure(name: str, measured: float, **changes: Any) -> dict[str, Any]:
    """Make a figure that is as it should be."""
    figure = {"scenario": "partition/minority", "name": name, "measured": measured}
    return {**figure, "allowed": "at most 10s", "met": True, **changes}


def a_fault(**changes: Any) -> dict[str, Any]:
    """Make a cut that was proved and ended."""
    return {
        "scenario": "partition/minority",
        "fault": "net.cut",
        "targets": ["v4"],
        "lease_s": 20.0,
        "began": BEGAN + 2,
        "bitten_at": BEGAN + 3,
        "ended": BEGAN + 22,
        "evidence": {"lab4": {"packets": 25}},
        **changes,
    }


def events(name: str = "partition/minority", *, node: str = "v4") -> list[dict[str, Any]]:
    """Tell a scenario of 30 seconds with a cut from the 2nd second to the 22nd."""
    cut = {"id": "loner", "fault": "net.cut"}
    return [
        {"at": BEGAN, "mono": 5, "kind": "step", "scenario": name, "name": "begin"},
        {"at": BEGAN + 2, "kind": "fault.begin", **cut, "targets": [node], "lease_s": 20.0},
        {"at": BEGAN + 3, "kind": "fault.bitten", **cut},
        {"at": BEGAN + 22, "kind": "fault.end", **cut},
        {
            "at": BEGAN + 30,
            "kind": "step",
            "scenario": name,
            "name": "end",
            "verdict": "PASS",
            "line": "all well",
        },
    ]


def heights(names: Iterable[str] = NAMES, *, seconds: int = 30) -> Iterable[dict[str, Any]]:
    """Let every node tell a block a second."""
    for second in range(seconds):
        for name in names:
            yield {"at": BEGAN + second, "node": name, "height": 100 + second, "round": 0}


def load(seconds: int = 30) -> list[dict[str, Any]]:
    """Let five transactions be final each second, but for the third, when nothing was."""
    return [
        {
            "at": BEGAN + second,
            "accepted": 5,
            "final": 0 if second == 3 else 5,
            "refused": 0,
            "p50_ms": None if second == 3 else 100.0 + second,
            "p95_ms": None if second == 3 else 200.0,
            "p99_ms": None if second == 3 else 250.0,
        }
        for second in range(seconds)
    ]


def write(folder: Path, name: str, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as the run itself does."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def a_folder(folder: Path, **changes: Any) -> Path:
    """Write a whole run; `changes` are of its verdict."""
    write(folder, "events.jsonl", events())
    write(folder, "heights.jsonl", heights())
    write(folder, "load.jsonl", load())
    (folder / "verdict.json").write_text(json.dumps(a_verdict(**changes)))
    (folder / "junit.xml").write_text("<testsuites/>")
    return folder
