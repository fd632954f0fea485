"""`aitbc trace` misses a feature that no test proves, and a scenario that no suite plays."""

import json
import shutil
from pathlib import Path

import pytest

from aitbc_toolkit import features, junit, paths
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.junit import Case, Outcome
from aitbc_toolkit.suites import catalogue, live, runs

pytestmark = pytest.mark.proves("B19")

REQUIRED = [
    each.id for each in features.load(paths.project_root() / "docs" / "features.toml").required()
]


@pytest.fixture
def scenarios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a copy of the built-in scenarios, and a state without any run."""
    folder = tmp_path / "scenarios"
    shutil.copytree(catalogue.folder(), folder)
    monkeypatch.setattr(catalogue, "folder", lambda: folder)
    monkeypatch.setattr(paths, "state_root", lambda *_override: tmp_path / "state")
    return folder


def a_run(proved: list[str], outcome: Outcome = Outcome.PASSED) -> None:
    """Leave a run of the tests in which each of these was proved by a test of its own."""
    folder = runs.begin(paths.state_root())
    junit.write(folder / "unit.xml", "unit", [Case(f"of_{x}", outcome, "", (x,)) for x in proved])
    runs.mark_last(folder)


@pytest.mark.usefixtures("scenarios")
def test_every_required_feature_has_a_test(capsys: pytest.CaptureFixture[str]) -> None:
    """All of P0 and P1 of the milestones that are done: then 0, and each with its test."""
    a_run(REQUIRED)

    assert run(["trace", "--json"]) == Exit.OK
    told = json.loads(capsys.readouterr().out)
    assert (told["unproved"], told["scenarios"]) == ([], [])
    assert [each["id"] for each in told["features"] if each["tests"]] == REQUIRED


@pytest.mark.usefixtures("scenarios")
@pytest.mark.parametrize("how", ["missing", "failed", "skipped"])
def test_one_that_is_proved_by_none_is_named(capsys: pytest.CaptureFixture[str], how: str) -> None:
    """A test that failed or did not run proves nothing: 1, and the feature's id."""
    a_run(REQUIRED[1:])
    if how != "missing":
        folder = runs.last(paths.state_root())
        assert folder is not None
        outcome = Outcome.FAILED if how == "failed" else Outcome.SKIPPED
        junit.write(folder / "lab.xml", "lab", [Case("x", outcome, "y", (REQUIRED[0],))])

    assert run(["trace", "--json"]) == Exit.FAILED
    assert json.loads(capsys.readouterr().out)["unproved"] == REQUIRED[:1]


@pytest.mark.usefixtures("scenarios")
def test_who_would_prove_it_is_named_with_why_it_did_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A reader of an unproved feature is told of its tests, as people and as JSON."""
    folder = runs.begin(paths.state_root())
    lacking = (REQUIRED[0],)
    skipped = Case("swarm", Outcome.SKIPPED, "not part of tier ci", lacking)
    junit.write(folder / "mesh.xml", "mesh", [skipped, Case("blocks", Outcome.FAILED, "", lacking)])
    runs.mark_last(folder)

    assert run(["trace"]) == Exit.FAILED
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"{REQUIRED[0]} "))
    assert "UNPROVED" in lines[at]
    assert [line.strip() for line in lines[at + 1 : at + 3]] == [
        "skipped: mesh.swarm, not part of tier ci",
        "failed: mesh.blocks",
    ]
    assert run(["trace", "--json"]) == Exit.FAILED
    told = {each["id"]: each for each in json.loads(capsys.readouterr().out)["features"]}
    assert told[REQUIRED[0]]["tests"] == []
    assert len(told[REQUIRED[0]]["unproved_by"]) == 2


def a_copy(folder: Path, to: str) -> None:
    """Write a scenario somewhere else, under the name of that place."""
    text = (folder / "partition" / "minority.yaml").read_text(encoding="utf-8")
    path = folder / to
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.replace("partition/minority", to.removesuffix(".yaml"), 1))


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("weather/rain.yaml", "weather/rain.yaml is of a family that no suite lists"),
        ("partition/minority.yml", "partition/minority.yml is no FAMILY/NAME.yaml: nothing"),
        ("stray.yaml", "stray.yaml is no FAMILY/NAME.yaml: nothing plays it"),
        (f"{next(iter(live.SMOKE))}.yaml", f"2 scenarios are called {next(iter(live.SMOKE))}"),
    ],
)
def test_a_scenario_that_nobody_plays_or_two_of_one_name_are_told(
    scenarios: Path, capsys: pytest.CaptureFixture[str], to: str, said: str
) -> None:
    """Each is played in one way, by one name: 1, though every feature is proved."""
    a_run(REQUIRED)
    a_copy(scenarios, to)

    assert run(["trace"]) == Exit.FAILED
    assert f"scenario: {said}" in capsys.readouterr().out


def test_a_family_of_two_suites_or_without_scenarios_is_told(
    scenarios: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`all` would play it twice, or a suite would pass with nothing."""
    shutil.rmtree(scenarios / "clock")
    monkeypatch.setattr(
        catalogue,
        "FAMILIES",
        {**catalogue.FAMILIES, "security": ("byzantine", "economic", "crash")},
    )

    assert list(catalogue.faults()) == [
        "crash is listed by 2 suites",
        "clock is listed and has no scenario",
    ]
