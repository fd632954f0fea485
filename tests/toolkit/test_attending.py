"""One program on a host makes all steps of a run: started once, and none of its own making left."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pretend_hosts import PretendHosts, attended

from aitbc_toolkit import worker
from aitbc_toolkit.deploys import bundle
from aitbc_toolkit.deploys.hostside import attending
from aitbc_toolkit.deploys.hostside.attending import END
from aitbc_toolkit.deploys.hostside.program import MARK

_DEADLINE_S = 90.0
COUNTED = """\
#!/bin/sh
echo started >> {starts}
exec {python} "$@"
"""


@pytest.fixture
def host(tmp_path: Path) -> PretendHosts:
    """One host that is a folder."""
    return PretendHosts(tmp_path / "hosts", ("a",))


@contextmanager
def speaking(log: Path) -> Iterator["subprocess.Popen[str]"]:
    """Speak with the child that speaks pyinfra; the one host that it knows is this machine."""
    child = worker.take(json.dumps({"hosts": {"a": {}}, "log": str(log)}))
    try:
        yield child
    finally:
        child.communicate(timeout=_DEADLINE_S)


def row(
    child: "subprocess.Popen[str]", step: str, params: Mapping[str, Any], *, deadline_s: int = 60
) -> Mapping[str, Any]:
    """Let the host make one step, and give what came of it."""
    assert child.stdin is not None
    assert child.stdout is not None
    job = {"job": 1, "step": step, "params": {"a": params}, "deadline_s": deadline_s}
    child.stdin.write(json.dumps(job) + "\n")
    child.stdin.flush()
    told: Mapping[str, Any] = json.loads(child.stdout.readline())["rows"]["a"]
    return told


def counted(tmp_path: Path) -> Path:
    """Give a Python that writes down each of its starts."""
    python = tmp_path / "python"
    python.write_text(COUNTED.format(starts=tmp_path / "starts", python=sys.executable))
    python.chmod(0o755)
    return python


def test_a_host_starts_one_python_for_all_steps_of_a_run(
    host: PretendHosts, tmp_path: Path
) -> None:
    """To start it and to import costs more than most steps; a lost one is started anew."""
    params = {**host.params("a"), "python": str(counted(tmp_path)), "lines": 1}
    starts = tmp_path / "starts"

    with speaking(tmp_path / "log") as child:
        usual = [row(child, step, params) for step in ("watch", "configured", "observe", "watch")]
        once = starts.read_text()
        odd = {**params, "layout": {}}
        failed = row(child, "observe", odd)  # the step fails, and the program goes on
        still = starts.read_text()

    assert [each["ok"] for each in usual] == [True] * 4
    assert (failed["ok"], failed["kind"]) == (False, "bug")
    assert once == still == "started\n"


def test_a_program_that_is_gone_is_started_anew(host: PretendHosts, tmp_path: Path) -> None:
    """What becomes of a step whose program dies is unknown; the next one has another program."""
    params = {**host.params("a"), "lines": 1}
    dying = tmp_path / "dying"
    dying.write_text("#!/bin/sh\necho no python today\n")
    dying.chmod(0o755)

    with speaking(tmp_path / "log") as child:
        lost = row(child, "watch", {**params, "python": str(dying)})
        found = row(child, "watch", {**params, "python": sys.executable})

    assert (lost["kind"], lost["error"]) == ("unknown", "no python today")
    assert found["ok"]


def test_a_python_that_is_not_there_is_named(host: PretendHosts, tmp_path: Path) -> None:
    """The row says why nothing was made, where no shell says it."""
    missing = str(tmp_path / "missing")

    with speaking(tmp_path / "log") as child:
        lost = row(child, "watch", {**host.params("a"), "lines": 1, "python": missing})

    assert lost["error"] == f"[Errno 2] No such file or directory: '{missing}'"


@pytest.mark.parametrize("dies", [False, True])
def test_what_ends_without_an_end_of_line_hides_no_answer(tmp_path: Path, *, dies: bool) -> None:
    """Answer and end of a step stand at the start of a line, whatever was written before."""
    text = "import os\ndef watch(_):\n    os.write(1, b'partial')\n"
    text += "    os.kill(os.getpid(), 9)\n" if dies else "    return {}\n"
    job = json.loads(bundle.job("watch", {}, deadline_s=60))
    (module,) = (name for name in job["modules"] if name.endswith(".switching"))
    job["modules"] = {module: ["", bundle._pack(text.encode())]}

    done = subprocess.run(
        bundle.attendant(sys.executable),
        input=bundle.opening() + json.dumps(job).encode() + b"\n",
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )

    answer = [f"{END}-9"] if dies else [f'{MARK}{{"ok": true}}', f"{END}0"]
    assert [line for line in done.stdout.decode().splitlines() if line] == ["partial", *answer]


def test_a_step_leaves_nothing_to_the_next(host: PretendHosts) -> None:
    """Each is a process of its own: what one has read, set or opened is gone with it."""
    params = {**host.params("a"), "lines": 1}

    said = attended(("watch", params), ("watch", params))

    answer = f'{MARK}{{"ok": true, "services": {{}}}}'
    assert [line for line in said.splitlines() if line] == [answer, f"{END}0", answer, f"{END}0"]


def test_only_a_step_looks_for_garbage_and_nothing_is_taken_apart(tmp_path: Path) -> None:
    """What is imported is never garbage, and ends with the process: a host has better to do."""
    text = "import atexit, gc\natexit.register(print, 'apart')\nbefore = gc.isenabled()\n"
    text += "def watch(_):\n    return {'before': before, 'now': gc.isenabled()}\n"
    job = json.loads(bundle.job("watch", {}, deadline_s=60))
    (module,) = (name for name in job["modules"] if name.endswith(".switching"))
    job["modules"] = {module: ["", bundle._pack(text.encode())]}

    done = subprocess.run(
        bundle.attendant(sys.executable),
        input=bundle.opening() + json.dumps(job).encode() + b"\n",
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )

    answer = f'{MARK}{{"ok": true, "before": false, "now": true}}'
    assert [line for line in done.stdout.decode().splitlines() if line] == [answer, f"{END}0"]


def test_what_a_step_starts_does_not_read_the_steps_after_it(tmp_path: Path) -> None:
    """A program that reads its input to the end finds nothing there."""
    reads = "import subprocess\ndef watch(_):\n    return {'read': subprocess.getoutput('cat')}\n"
    job = json.loads(bundle.job("watch", {}, deadline_s=60))
    (module,) = (name for name in job["modules"] if name.endswith(".switching"))
    job["modules"] = {module: ["", bundle._pack(reads.encode())]}
    line = json.dumps(job).encode() + b"\n"

    done = subprocess.run(
        bundle.attendant(sys.executable),
        input=bundle.opening() + line + line,
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )

    answer = f'{MARK}{{"ok": true, "read": ""}}'
    assert [line for line in done.stdout.decode().splitlines() if line] == [answer, f"{END}0"] * 2


def test_a_program_that_nobody_gives_a_step_ends() -> None:
    """A machine that is gone without a word leaves no process behind on a host."""
    text = bundle.opening().decode().partition("\n")[2]
    call = "attend(Carried.modules)\n"
    impatient = text.replace(call, f"import {attending.__name__} as own\nown.IDLE_S = 1\n{call}")
    program = subprocess.Popen(
        bundle.attendant(sys.executable), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert program.stdin is not None
    program.stdin.write(b"%d\n%b" % (len(impatient), impatient.encode()))
    program.stdin.flush()  # it stays open

    status = program.wait(_DEADLINE_S)
    program.communicate()

    assert status < 0
