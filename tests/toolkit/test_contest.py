"""`aitbc load compare` on recorded runs: found by number or by commit, told, and an exit status."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as changed

from aitbc_toolkit.asking import Silence
from aitbc_toolkit.cli import contest
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.suites import fingerprint, foreseen, loads, present, repertoire, stepping

OLD, NEW = "8b1f3c2" + "0" * 33, "c41d9aa" + "0" * 33
FIRST, SECOND = "1,4,5,8,9", "2,3,6,7,10"
Forge = Callable[..., None]


@pytest.fixture
def forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forge:
    """Write runs on the disk that took turns: the first, fourth, fifth ... ran the old build."""
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda *_: tmp_path)

    def write(times: float, **changed: Any) -> None:
        for number in range(1, 11):
            is_new = number in {2, 3, 6, 7, 10}
            p95 = (800.0 + number) * (times if is_new else 1.0)
            circumstances = {
                "machine": {"cores": 2, "load": [number]},
                "versions": {},
                "configuration": "c0",
                "builds": [NEW if is_new else OLD],
            }
            percentiles = {"p50": p95 / 2, "p95": p95, "p99": p95 * 2}
            result = {
                "scenario": "load/steady",
                "seed": 7,
                "to_final": {"percentiles_ms": percentiles},
                "submit": {"percentiles_ms": {"p95": 3.0}},
                "rates": {"committed": 50.0},
                "circumstances": circumstances,
                **changed,
            }
            verdict = {"verdict": "PASS", "started": f"2026-11-22T01:{number:02d}:00+00:00"}
            folder = tmp_path / "runs" / f"{number:04d}"
            folder.mkdir(parents=True)
            for name, written in (("order", {}), ("result", result), ("verdict", verdict)):
                (folder / f"{name}.json").write_text(json.dumps(written))

    return write


@pytest.mark.parametrize(
    ("sides", "times", "status"),
    [
        ((FIRST, SECOND), 1.2, Exit.OBJECTIVE),
        ((SECOND, FIRST), 1.2, Exit.OK),
        ((OLD[:7], NEW[:7]), 1.2, Exit.OBJECTIVE),
        ((FIRST, SECOND), 1.0, Exit.OK),
    ],
)
def test_a_worse_version_is_an_exit_status(
    forge: Forge,
    capsys: pytest.CaptureFixture[str],
    sides: tuple[str, str],
    times: float,
    status: Exit,
) -> None:
    """By numbers or by the commit of the nodes; better and alike are no failure."""
    forge(times)

    assert run(["load", "compare", *sides, "--json"]) == status

    told = json.loads(capsys.readouterr().out)
    assert told["is_worse"] is (status is Exit.OBJECTIVE)
    assert sorted(map(len, told["runs"])) == [5, 5]
    assert set(told["builds"]) == {OLD, NEW}


def test_people_get_a_table_and_a_sentence(
    forge: Forge, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every figure with both medians; what each side was; and what follows, last."""
    forge(1.2)

    run(["load", "compare", FIRST, SECOND])

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["FIGURE", "final_p50", "final_p95"]
    assert "805.0 ms" in lines[2]
    assert lines[2].endswith("worse")
    assert any("nodes of c41d9aa00000" in line for line in lines)
    assert lines[-1].startswith("B is worse: its final_p95 is 1.2")


def test_steps_are_part_of_what_is_compared(forge: Forge, tmp_path: Path) -> None:
    """Played on both meshes, and in the hash that tells runs with faults from those without."""
    forge(1.0)
    asked = contest.asked("load/flood", "dev", seed=7, for_s=None)
    environment = Inventory.load("dev", state=tmp_path)
    plan = {"rate": asked.rate, "seed": 7}

    assert asked.beside is not None
    assert asked.beside == repertoire.case("load/flood")
    with_steps = fingerprint.configuration(environment, plan, [], beside=asked.beside)
    assert with_steps != fingerprint.configuration(environment, plan, [])
    fewer = changed(asked.beside, steps=asked.beside.steps[1:])
    assert with_steps != fingerprint.configuration(environment, plan, [], beside=fewer)


def test_limits_and_shared_hosts_are_part_of_what_is_compared(tmp_path: Path) -> None:
    """Nodes on hosts of their own, or without bounds, bear more; other names are no difference."""
    there = Inventory.load("dev", state=tmp_path)
    bench = changed(there.profile, limits="bench")
    renamed = [replace(each, host="elsewhere") for each in there.instances]
    apart = [replace(each, host=f"host{place}") for place, each in enumerate(there.instances)]

    def told(environment: Environment) -> tuple[str, str]:
        whole = fingerprint.configuration(environment, {}, [])
        return whole, fingerprint.of_mesh(environment, "all")

    plain = told(there)
    assert told(replace(there, instances=tuple(renamed))) == plain
    for other in (replace(there, profile=bench), replace(there, instances=tuple(apart))):
        assert all(a != b for a, b in zip(told(other), plain, strict=True))


def test_a_share_of_the_knee_is_one_of_the_first_mesh(forge: Forge, tmp_path: Path) -> None:
    """As `load run` takes it; runs on the disk have none to be known."""
    forge(1.0)
    with pytest.raises(UsageError, match="nobody has looked for the knee"):
        contest.asked("load/fault-at-80", "dev", seed=7, for_s=None)
    knee = {"environment": "dev", "verdict": "PASS", "committed": 100.0, "fails_at": 120.0}
    (tmp_path / "runs" / "0001" / stepping.KNEE).write_text(json.dumps(knee))

    assert contest.asked("load/fault-at-80", "dev", seed=7, for_s=None).rate == 80.0
    assert contest.asked("load/fault-at-80", FIRST, seed=7, for_s=None).beside is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((FIRST, "2,3,6,7,11"), "not all of 2,3,6,7,11 are runs of a swarm"),
        ((FIRST, "dev"), "are not alike"),
        (("fffffff", NEW), "no run of load/steady on nodes of fffffff"),
        (("1,2,3,4,5", "6,7,8,9,10"), "did not alternate"),
        ((FIRST, SECOND, *("--judge", "final_p50") * 7), "too few to judge 7 figures"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    forge: Forge, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    """As a mistake of usage, with the one cause."""
    forge(1.0)

    assert run(["load", "compare", *words]) == Exit.USAGE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("run", "load/fault-at-80", "--rate", "10"),
        ("compare", "dev", "dev", "--scenario", "load/fault-at-80"),
        ("baseline", "keep", "load/fault-at-80"),
    ],
)
def test_a_scenario_that_is_for_other_meshes_is_not_begun(
    forge: Forge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    """Its `backends` are read before, by each command: no folder of a run is made."""
    forge(1.0)
    knee = {"environment": "dev", "verdict": "PASS", "committed": 100.0, "fails_at": 120.0}
    (tmp_path / "runs" / "0001" / stepping.KNEE).write_text(json.dumps(knee))
    monkeypatch.setattr(loads, "play", lambda *_, **__: pytest.fail("it was played"))

    assert run(["load", *words]) == Exit.USAGE

    told = capsys.readouterr().err
    assert "load/fault-at-80 cannot be played on dev: it is for lab, hosts, not for dev" in told
    assert len([*(tmp_path / "runs").iterdir()]) == 10


def test_a_mesh_that_is_not_there_is_told_with_what_brings_it_up(
    tmp_path: Path,
) -> None:
    """Nobody answers: there is none yet. One of several is silent: it is looked at."""
    there = Inventory.load("dev", state=tmp_path)
    silent = Silence("connection refused")

    with pytest.raises(AitbcError, match="no node of dev answers: connection refused") as none:
        present.all_of(there, {"v1": silent, "v2": silent})
    with pytest.raises(AitbcError, match="v2 does not answer: connection refused") as one:
        present.all_of(there, {"v1": msgspec.json.decode(b"{}"), "v2": silent})

    assert (none.value.hint, none.value.exit_status) == ("aitbc up dev", Exit.INFRASTRUCTURE)
    assert one.value.hint == "aitbc network status"


def test_meshes_that_differ_are_not_played_on(
    fake_mesh: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them is throttled: its runs would be refused behind the last of both sides."""
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda *_: tmp_path / "state")
    one = fake_mesh.environment
    other = replace(one, name="other", profile=changed(one.profile, limits="bench"))
    monkeypatch.setattr(loads, "play", lambda *_, **__: pytest.fail("it was played"))
    asked = loads.wanted(repertoire.case("load/steady").written, seed=7, faster=None, longer=None)

    foreseen.require_alike(one, one, asked)

    with pytest.raises(UsageError, match="differ in configuration"):
        foreseen.require_alike(one, replace(other, name=one.name), asked)
    monkeypatch.setattr(foreseen, "configuration", lambda mesh, _asked: mesh.profile.limits)
    meshes = {"one": one, "other": other}
    monkeypatch.setattr(contest, "load_environment", meshes.__getitem__)
    with pytest.raises(UsageError, match="differ in configuration"):
        contest.sides("one", "other", asked, count=5, say=lambda _: None)


def test_a_figure_that_a_run_lacks_is_an_error(
    forge: Forge, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never left out: the run and the figure are named."""
    forge(1.0, rates={"committed": None})

    status = run(["load", "compare", FIRST, SECOND, "--judge", "committed"])

    assert status == Exit.INCONCLUSIVE
    assert "has no committed" in capsys.readouterr().err
