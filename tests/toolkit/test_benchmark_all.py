"""All benchmarks run in turn; what fails is told, and costs no other part its figures."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitbc_toolkit.benchmarks import whole
from aitbc_toolkit.benchmarks.whole import Part
from aitbc_toolkit.cli import benchmark
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.suites.verdicts import Verdict

GOOD = {"verdict": "PASS", "committed_tps": 1_000}


def a_part(name: str, ended: dict[str, Any] | BaseException) -> Part:
    """Make one that ends like this."""

    def measure(_folder: Path, _tell: object) -> dict[str, Any]:
        if isinstance(ended, BaseException):
            raise ended
        return ended

    return Part(name, "made up", measure)


def measured(folder: Path, *parts: Part) -> dict[str, Any]:
    """Measure these, and see that the disk holds what is returned."""
    told: list[Any] = []

    found = whole.measure(parts, evidence=folder, tell=told.append)

    assert json.loads((folder / "all.json").read_text()) == json.loads(json.dumps(found))
    assert next(row["step"] for row in told if row["state"] == "begin") == parts[0].name
    return found


def test_each_figure_tells_of_which_machine_and_commit_it_is(tmp_path: Path) -> None:
    """Cores, versions and commit stand beside the figures of every part."""
    found = measured(tmp_path, a_part("first", GOOD), a_part("second", GOOD))

    assert found["verdict"] == Verdict.PASS
    for part in found["parts"].values():
        assert part["figures"] == GOOD
        where = part["circumstances"]
        assert where["machine"]["cores"] >= 1
        assert len(where["commit"]) == 40
        assert {"python", "locust", "gevent", "msgspec", "uvloop"} <= where["versions"].keys()
        assert where["versions"]["msgspec"] == msgspec.__version__


def test_a_part_that_fails_costs_its_own_figures_only(tmp_path: Path) -> None:
    """The others are measured, and the whole says that it is not whole."""
    failure = AitbcError("there is no lab here", hint="aitbc lab up")

    found = measured(tmp_path, a_part("deploy", failure), a_part("other", GOOD))

    assert found["verdict"] == Verdict.INFRA
    lost = found["parts"]["deploy"]
    assert (lost["figures"], lost["verdict"]) == (None, Verdict.INFRA)
    assert lost["error"] == {"message": "there is no lab here", "hint": "aitbc lab up"}
    assert found["parts"]["other"]["figures"] == GOOD


@pytest.mark.parametrize("verdict", ["OBJECTIVE", "INVALID", "SAFETY"])
def test_the_worst_part_is_the_verdict(tmp_path: Path, verdict: str) -> None:
    """What was missed in one part is not hidden by the others."""
    missed = {**GOOD, "verdict": verdict}

    found = measured(tmp_path, a_part("first", GOOD), a_part("second", missed))

    assert found["verdict"] == verdict


def test_what_nobody_judges_is_not_called_a_pass(tmp_path: Path) -> None:
    """Its figures are told without a verdict, and the others' is that of the whole."""
    figures = {"noop_s": 2.0}
    deploys = dataclasses.replace(a_part("deploy", figures), is_judged=False)

    alone = measured(tmp_path / "alone", deploys)
    beside = measured(tmp_path / "beside", deploys, a_part("other", GOOD))

    assert (alone["verdict"], alone["parts"]["deploy"]["verdict"]) == (None, None)
    assert alone["parts"]["deploy"]["figures"] == figures
    assert (beside["verdict"], beside["parts"]["deploy"]["verdict"]) == (Verdict.PASS, None)
    assert [each.name for each in whole.every() if not each.is_judged] == ["ledger", "deploy"]
    with pytest.raises(KeyError):
        measured(tmp_path / "silent", a_part("other", figures))


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path) -> None:
    """Nothing more is begun, and what was not measured says so."""
    found = measured(
        tmp_path,
        a_part("first", GOOD),
        a_part("second", KeyboardInterrupt()),
        a_part("third", GOOD),
    )

    assert found["verdict"] == Verdict.INCONCLUSIVE
    assert found["parts"]["first"]["figures"] == GOOD
    assert found["parts"]["second"]["error"]["message"] == "it was ended by hand"
    assert found["parts"]["third"]["error"]["message"] == "not measured"


def test_a_bug_of_ours_is_no_result(tmp_path: Path) -> None:
    """It ends the command as every bug does; what was measured before it is on the disk."""
    with pytest.raises(AssertionError):
        whole.measure(
            [a_part("first", GOOD), a_part("second", AssertionError())],
            evidence=tmp_path,
            tell=lambda _: None,
        )

    kept = json.loads((tmp_path / "all.json").read_text())
    assert kept["parts"]["first"]["figures"] == GOOD
    assert kept["verdict"] == Verdict.INCONCLUSIVE


def test_the_command_measures_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its exit status is the verdict's; one document, or a few lines for people."""
    parts = whole.every()
    names = ["performance", "ledger", "throughput", "generator", "deploy"]
    assert [each.name for each in parts] == names
    paces: dict[str, Any] = {
        "verdict": "OBJECTIVE",
        "paths": [
            {
                "name": "read",
                "about": "decode",
                "us_per_tx": 4.0,
                "of_a_verification": 0.1,
                "allowed": 0.05,
                "within": False,
            }
        ],
    }
    made = [a_part(each.name, paces if each.name == "performance" else GOOD) for each in parts]
    monkeypatch.setattr(whole, "every", lambda: made)
    monkeypatch.setenv("AITBC_STATE", str(tmp_path))

    assert run(["benchmark", "all", "--only", "performance", "--json"]) == Exit.OBJECTIVE
    document = json.loads(capsys.readouterr().out)
    assert list(document["parts"]) == ["performance"]

    assert run(["benchmark", "all", "--only", "performance"]) == Exit.OBJECTIVE
    said = capsys.readouterr().out
    monkeypatch.setattr(
        whole, "every", lambda: [Part("deploy", "", lambda *_: {}, is_judged=False)]
    )
    monkeypatch.setattr(benchmark, "_deploys", lambda _: ["figures"])
    assert run(["benchmark", "all", "--only", "deploy"]) == Exit.OK
    assert capsys.readouterr().out.startswith("deploy: not judged\nfigures\nall: not judged, ")
    assert "performance: OBJECTIVE" in said
    assert "more than 0.05 of it" in said
