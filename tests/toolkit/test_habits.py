"""Bots that keep the rules and use a mesh badly get what is theirs, and traders sell in bursts."""

from pathlib import Path
from typing import Any

import pytest
from pretend_swarm import a_fake_mesh, a_swarm, an_order

from aitbc_load.mustering import MISUSING, TRADER, family_of
from aitbc_toolkit.suites import loads

QUICK_S = 0.2


def asked(parts: list[dict[str, Any]], *, for_s: float) -> loads.Wanted:
    """Ask for a few honest transfers beside these."""
    return loads.Wanted(
        scenario="load/fake",
        rate=4.0,
        for_s=for_s,
        batch=1,
        seed=3,
        objectives={},
        phases=({"name": "day", "for_s": for_s, "rate": 4.0, "parts": parts},),
    )


def bots(*roles: str) -> list[dict[str, Any]]:
    """Let one bot of each of these come."""
    return [{"role": role, "bots": 1, "pause_s": QUICK_S} for role in roles]


@pytest.mark.proves("B9")
def test_bad_habits_are_served_rightly_and_harm_nobody(fake_mesh: Any, tmp_path: Path) -> None:
    """On a real ledger: no act of theirs fails, and every check of the run holds.

    What is handed in nine times is made once, what nobody owns is not spent, and what expires soon
    is in time, or never.
    """
    fake_mesh.tell_fates()
    wanted = asked(bots(*sorted(MISUSING), TRADER), for_s=2.0)

    told = loads.play(fake_mesh.environment, wanted, tmp_path, tell=lambda *_: None).told

    assert told is not None
    assert {row["outcome"] for row in told["checks"]} == {"held"}, told["checks"]
    roles = {row["role"]: row for row in told["roles"]}
    assert roles.keys() == {*MISUSING, TRADER}
    assert not any(row["failures"] for row in roles.values()), roles
    assert {name: row["family"] for name, row in roles.items()} == {
        name: family_of(name) for name in roles
    }
    acts = {name: set(row["acts"]) for name, row in roles.items()}
    known = {
        "overspender": {"refused", "in vain"},
        "hurried": {"in time", "too late", "expired"},
        "reconnector": {"asked", "left"},
        "poller": {"polled"},
        "impatient": {"repeated"},
        TRADER: {"burst"},
    }
    assert all(found <= known[name] for name, found in acts.items()), acts
    assert all(acts.values()), f"of some nothing was seen: {acts}"
    assert roles["impatient"]["in_blocks"] == roles["impatient"]["acts"].get("repeated", 0)


@pytest.mark.nightly
@pytest.mark.proves("B9")
@pytest.mark.parametrize(
    ("options", "role", "failure"),
    [
        ({}, "overspender", "TakenError"),
        ({"strict": True, "bug": "replays"}, "impatient", ""),
        ({"bug": "overcharges"}, "poller", ""),
    ],
)
def test_a_mesh_that_serves_bad_habits_wrongly_is_caught(
    tmp_path: Path, options: dict[str, Any], role: str, failure: str
) -> None:
    """More spent than there was, made twice, or paid too much for: a violation."""
    folder = tmp_path / "run"
    folder.mkdir()
    phases = [{"name": "all", "for_s": 3.0, "rate": 20.0, "parts": bots(role)}]

    with a_fake_mesh(**options) as ports:
        order = an_order(folder, ports, rate=20.0, for_s=3.0, phases=phases, drain_s=60.0)
        result = a_swarm(order, []).run()

    (row,) = result["roles"]
    assert result["verdict"] == "SAFETY", (result["why"], row)
    assert failure in row["failures"] or not failure
