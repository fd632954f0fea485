"""`aitbc report`: which runs there are, how one ended, and where its page is."""

import json
import webbrowser
from pathlib import Path

import forged_run
import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.cli import main
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites import evidence, playing
from aitbc_toolkit.suites.report import page


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give three runs: a pass, a breach, one that was killed; and one of the own tests."""
    monkeypatch.setattr(paths, "state_root", lambda *_override: tmp_path)
    found = tmp_path / "runs"
    left = [{"scenario": "s", "left": "a table on lab4"}]
    broken = [{"scenario": "s", "name": "agreement", "outcome": "broken", "detail": "fork at 7"}]
    parts = [{"name": "s", "verdict": "SAFETY", "line": "fork at 7"}]
    forged_run.a_folder(found / "0001")
    forged_run.a_folder(
        found / "0002",
        verdict="SAFETY",
        checks=broken,
        objectives=[],
        scenarios=parts,
        residues=left,
    )
    (forged_run.a_folder(found / "0010") / "verdict.json").unlink()
    forged_run.write(found / "0011", "junit.xml", [])
    return found


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Type a command; return its status and what it said."""
    status = main.run(["report", *words])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


@pytest.mark.usefixtures("runs")
def test_the_list_begins_with_the_newest(capsys: pytest.CaptureFixture[str]) -> None:
    """Each run of a suite is a row; the one that was killed is UNKNOWN, own tests are none."""
    status, out, _ = run(capsys, "list")

    rows = [line.split()[:2] for line in out.splitlines()[1:]]
    assert (status, rows) == (
        Exit.OK,
        [["0010", "UNKNOWN"], ["0002", "SAFETY"], ["0001", "PASS"]],
    )


def test_a_list_for_programs_is_one_document(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names every record, and the page where there is one."""
    run(capsys, "open", "2")
    _, out, _ = run(capsys, "list", "--json")

    told = json.loads(out)["runs"]
    assert [each["run"] for each in told] == ["0010", "0002", "0001"]
    pages = [each["report"] for each in told]
    assert pages == [None, str(runs / "0002" / "report.html"), None]


@pytest.mark.usefixtures("runs")
def test_what_did_not_hold_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Verdict, reason, how to repeat it, and one next command."""
    _, out, _ = run(capsys, "show", "2")

    assert out.splitlines()[:4] == [
        "SAFETY: s: fork at 7. 0 of 1 scenario passed.",
        "  broken agreement in s: fork at 7",
        "  left of a fault in s: a table on lab4",
        "repeat: ./aitbc test partition -e lab --seed 7",
    ]
    assert out.splitlines()[-1] == "next: aitbc report open 0002"


@pytest.mark.usefixtures("runs")
def test_the_newest_is_meant_where_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Here that is the killed one, which is no pass in words nor for a program."""
    _, out, _ = run(capsys, "show")
    _, document, _ = run(capsys, "show", "--json")

    assert out.startswith("UNKNOWN: The run left no verdict")
    assert (json.loads(document)["run"], json.loads(document)["verdict"]) == ("0010", "UNKNOWN")


def test_what_a_node_said_cannot_redraw_the_terminal(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Control characters are replaced wherever they stand in a record."""
    evil = "\x1b[2Jv1\r\u202e"
    check = {"scenario": evil, "name": evil, "outcome": evil, "detail": evil}
    document = forged_run.a_verdict(suite=evil, environment=evil, repro=evil, checks=[check])
    (runs / "0001" / "verdict.json").write_text(json.dumps(document))

    _, shown, _ = run(capsys, "show", "1")
    _, listed, _ = run(capsys, "list")

    assert not [char for char in shown + listed if not char.isprintable() and char != "\n"]


def test_the_page_is_only_printed_where_nobody_looks(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pipe no browser starts; the page of a killed run is made now."""
    monkeypatch.setattr(webbrowser, "open", lambda _uri: pytest.fail("a browser was started"))

    status, out, _ = run(capsys, "open")

    assert (status, out) == (Exit.OK, f"{runs / '0010' / 'report.html'}\n")
    assert "UNKNOWN" in (runs / "0010" / "report.html").read_text()


def test_a_terminal_gets_the_browser(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told the file's address."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    run(capsys, "open", "0001")

    assert opened == [(runs / "0001" / "report.html").as_uri()]


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("word", ["99", "0011", "last", "9" * 5_000, "../0001"])
def test_a_run_that_is_not_there_is_a_usage_mistake(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hint is the command that lists those that are."""
    status, _, err = run(capsys, "show", word)

    assert (status, err.splitlines()[-1]) == (Exit.USAGE, "hint: aitbc report list")


def test_without_a_run_the_list_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty checkout is no failure to list, and one to show."""
    monkeypatch.setattr(paths, "state_root", lambda *_override: tmp_path)

    listed = run(capsys, "list")
    shown = run(capsys, "show")

    assert listed == (Exit.OK, "no run of a suite is recorded here\n", "")
    assert shown[0] == Exit.FAILED


def test_a_run_writes_its_page_and_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`aitbc test` in the simulator ends with the page, whose clock is the virtual one."""
    monkeypatch.setattr(paths, "state_root", lambda *_override: tmp_path)

    status = main.run(["test", "crash/all-at-once", "-e", "sim", "--seed", "7"])

    written = tmp_path / "runs" / "0001" / "report.html"
    assert (status, f"report    {written}" in capsys.readouterr().out) == (Exit.OK, True)
    text = written.read_text()
    assert "PASS crash/all-at-once on sim" in text
    assert "of virtual time" in text
    assert text.count('class="line"') >= 4
    assert 'class="band"' in text


def test_a_page_that_fails_changes_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends as it would have, its record is whole, and the page is not promised."""
    monkeypatch.setattr(paths, "state_root", lambda *_override: tmp_path)
    monkeypatch.setattr(page, "render", lambda _run: 1 / 0)

    status = main.run(["test", "crash/all-at-once", "-e", "sim", "--seed", "7"])

    shown = capsys.readouterr()
    told = json.loads((tmp_path / "runs" / "0001" / "verdict.json").read_text())
    assert (status, told["verdict"]) == (Exit.OK, "PASS")
    assert "warning: no report of this run: division by zero" in shown.err
    assert "report.html" not in shown.out


def test_a_run_that_is_ended_early_has_a_page_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C leaves no verdict; what was seen until then can be read, as UNKNOWN."""
    monkeypatch.setattr(paths, "state_root", lambda *_override: tmp_path)

    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evidence, "write", interrupted)

    with pytest.raises(KeyboardInterrupt):
        playing.run("crash/all-at-once", "sim", seed=7)

    text = (tmp_path / "runs" / "0001" / "report.html").read_text()
    assert "? UNKNOWN" in text
    assert "crash/all-at-once" in text
