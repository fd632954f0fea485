"""How the deploying verbs end on the command line: lines, records, statuses, no prompt."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping

import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.cli import environment as choice
from aitbc_toolkit.cli.narration import Plain, RunError, narrate
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import Tell, note, step

GOOD = Outcome(Exit.OK, ["Deployed"], changed=["v1"], took_s=1.0)
BAD = Outcome(
    Exit.ROLLED_BACK, ["  mesh  as before"], error="deploy failed: v1", hint="aitbc env list"
)


def aitbc(*words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line without a terminal."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "aitbc_toolkit.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
    )


def work(outcome: Outcome) -> Callable[[Tell], Outcome]:
    """Tell a step and a note, then end in some way."""

    def run(tell: Tell) -> Outcome:
        with step(tell, "stage", "4 hosts") as now:
            now.say("4 hosts: release made")
        note(tell, "a remark")
        return outcome

    return run


@pytest.mark.proves("E53")
@pytest.mark.parametrize("verb", ["deploy", "rollback", "up", "down", "status", "history"])
def test_an_unknown_environment_ends_every_verb_with_64(verb: str) -> None:
    """One line, the nearest name, the list; nothing on stdout."""
    ran = aitbc(verb, "stagin")

    assert ran.returncode == Exit.USAGE
    assert ran.stdout == ""
    assert ran.stderr.splitlines() == [
        "error: unknown environment 'stagin', the nearest is staging",
        "hint: the environments are dev, lab, production, staging and lab-NAME",
    ]


@pytest.mark.parametrize("verb", ["deploy", "rollback"])
def test_without_a_terminal_nothing_is_asked(verb: str) -> None:
    """Where others depend on the answer the refusal names the flag, at once."""
    ran = aitbc(verb, "staging")

    assert ran.returncode == Exit.USAGE
    assert ran.stderr.splitlines()[-1] == "hint: repeat the command with --yes"


@pytest.mark.parametrize(("outcome", "status"), [(GOOD, 0), (BAD, 21)])
def test_json_begins_with_start_and_ends_with_the_status(
    capsys: pytest.CaptureFixture[str], outcome: Outcome, status: int
) -> None:
    """Each line of stdout is a record; the last one says what the process leaves with."""
    left = narrate("deploy", work(outcome), as_json=True)

    out, err = capsys.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert records[0] == {"type": "start", "schema": 1, "command": "deploy"}
    assert records[-1]["type"] == "result"
    assert records[-1]["exit"] == left == status
    assert err == ""


def test_json_tells_a_refusal_as_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    """What stops a verb before it began is a result too, with message and hint."""

    def refuse(_tell: Tell) -> Outcome:
        raise AitbcError("refused", hint="aitbc env list", exit_status=Exit.REFUSED)

    left = narrate("deploy", refuse, as_json=True)

    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert left is Exit.REFUSED
    assert (last["exit"], last["error"], last["hint"]) == (20, "refused", "aitbc env list")


def test_json_tells_of_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupted run still ends its stream."""

    def interrupted(_tell: Tell) -> Outcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        narrate("deploy", interrupted, as_json=True)

    assert json.loads(capsys.readouterr().out.splitlines()[-1])["exit"] == Exit.INTERRUPTED


def test_plain_narration_goes_to_stderr_and_the_result_to_stdout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Piped away, either can be read alone; neither has a control byte."""
    narrate("deploy", work(GOOD), as_json=False)

    out, err = capsys.readouterr()
    assert out.splitlines() == ["", "Deployed"]
    assert err.splitlines()[0].startswith("  stage         4 hosts: release made")
    assert err.splitlines()[1] == "a remark"
    assert not set(out + err) & {"\x1b", "\r"}


def test_a_failed_run_is_an_error_with_what_was_undone(capsys: pytest.CaptureFixture[str]) -> None:
    """Error, evidence, what was undone and the hint are one block, with the run's own status."""
    with pytest.raises(RunError) as failed:
        narrate("deploy", work(BAD), as_json=False)

    assert failed.value.message == "deploy failed: v1\n  mesh  as before"
    assert failed.value.exit_status is Exit.ROLLED_BACK
    assert capsys.readouterr().out == ""


def test_a_failing_step_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """The line of a step that raises is told before the error."""

    def fail(tell: Tell) -> Outcome:
        with step(tell, "stage", "4 hosts"):
            raise AitbcError("no")

    with pytest.raises(AitbcError):
        narrate("deploy", fail, as_json=False)

    assert "failed: 4 hosts" in capsys.readouterr().err


def test_the_environments_are_listed() -> None:
    """Each has its size, pace and chain; the chosen one is marked."""
    ran = aitbc("env", "list", "--json")

    rows = {row["name"]: row for row in json.loads(ran.stdout)}
    assert set(rows) == {"dev", "lab", "production", "staging"}
    assert rows["production"]["validators"] == 10


@pytest.mark.proves("E53")
def test_the_variable_chooses_an_environment() -> None:
    """`AITBC_ENV` stands for the argument that was not given."""
    ran = aitbc("env", "show", "--json", env={"AITBC_ENV": "development"})

    assert json.loads(ran.stdout)["chain"]["id"] == "aitbc-dev-1"


def test_an_argument_wins_over_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was typed is meant."""
    monkeypatch.setenv("AITBC_ENV", "staging")

    assert choice.chosen("dev") == "dev"
    assert choice.chosen() == "staging"


def test_what_the_command_line_imports_leaves_gevent_out() -> None:
    """Only the child process has pyinfra and gevent."""
    modules = sorted(
        f"aitbc_toolkit.cli.{path.stem}"
        for path in (paths.project_root() / "deploy/aitbc_toolkit/cli").glob("*.py")
        if path.stem != "__init__"
    )
    program = f"import sys, {', '.join(modules)}; print('gevent' in sys.modules)"

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert ran.stdout.strip() == "False"


def test_json_ends_with_what_each_step_took(capsys: pytest.CaptureFixture[str]) -> None:
    """The result has every step and wave with its time, in the order in which they ended."""

    def waves(tell: Tell) -> Outcome:
        fields = {"type": "wave", "nodes": ["v1"], "place": "wave 1/1", "text": "wave 1/1 v1"}
        tell({**fields, "state": "begin"})
        tell({**fields, "state": "done", "took_s": 3.1})
        return work(GOOD)(tell)

    narrate("deploy", waves, as_json=True)

    steps = json.loads(capsys.readouterr().out.splitlines()[-1])["steps"]
    assert [(each["step"], each["state"]) for each in steps] == [
        ("wave 1/1", "done"),
        ("stage", "done"),
    ]
    assert steps[0]["took_s"] == 3.1


def test_a_log_is_never_silent_for_long(capsys: pytest.CaptureFixture[str]) -> None:
    """Every 15 s of silence end with a line that names what is at work, and since when."""
    now = [0.0]
    plain = Plain(lambda: now[0])
    plain.tell({"type": "step", "step": "stage", "state": "begin", "text": "4 hosts"})

    for second in range(61):
        now[0] = float(second)
        plain.beat()

    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"  stage         4 hosts, still at work after {took}"
        for took in ("15.0 s", "30.0 s", "45.0 s", "1 min 0 s")
    ]


def test_what_only_a_picture_shows_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A log gets one line for each change of state, none for each block."""
    plain = Plain()
    for kind in ("course", "mesh", "gate", "lease"):
        plain.tell({"type": kind, "nodes": {}})

    assert capsys.readouterr().err == ""
