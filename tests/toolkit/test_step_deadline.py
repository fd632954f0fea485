"""Nothing of a step outlives its deadline on the host: the real command line, as processes here."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pretend_hosts import PretendHosts

from aitbc_toolkit.deploys import bundle
from aitbc_toolkit.deploys.hostside.attending import END
from aitbc_toolkit.deploys.hostside.program import MARK

pytestmark = pytest.mark.integration

DEADLINE_S = 2
# It refuses to end when asked, and so does the child that it leaves in the background.
STUBBORN = """\
#!/bin/sh
trap '' TERM
echo $$ >> {pids}
sh -c 'trap "" TERM; echo $$ >> {pids}; sleep 600' &
sleep 600
"""

STUBBORN_STEP = """\
import os, signal, subprocess
def watch(params):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sh", "-c", 'trap "" TERM; sleep 600'])
    with open('{pids}', "w") as file:
        file.write(f"{{os.getpid()}}\\n{{child.pid}}\\n")
    child.wait()
"""

Eventually = Callable[..., None]


@pytest.fixture
def host(tmp_path: Path) -> PretendHosts:
    """One host, whose git never ends."""
    (tmp_path / "bin").mkdir()
    git = tmp_path / "bin" / "git"
    git.write_text(STUBBORN.format(pids=tmp_path / "pids"))
    git.chmod(0o755)
    return PretendHosts(tmp_path / "hosts", ("a",))


def alive(path: Path) -> list[int]:
    """List which of the processes that wrote themselves down are there still."""
    pids = [int(word) for word in path.read_text().split()] if path.exists() else []
    states = {pid: state_of(pid) for pid in pids}
    return [pid for pid, state in states.items() if state not in {"", "Z"}]


def state_of(pid: int) -> str:
    """Read the state of a process, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@dataclass
class Begun:
    """A staging that was sent to the host, and the words of the lease that lets it."""

    process: "subprocess.Popen[bytes]"
    program: bytes
    words: dict[str, Any]


def begin(host: PretendHosts, tmp_path: Path, **params: Any) -> Begun:
    """Start staging as a host is told to, with a deadline; it will hang in git."""
    run = host.lease("deploy")
    run.acquire()
    words = run.words(deadline_s=DEADLINE_S)
    told = {**host.params("a"), "lease": words, "commit": "0" * 40, "trust": None, **params}
    process = subprocess.Popen(
        bundle.attendant(sys.executable),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
    )
    job = bundle.job("stage", told, deadline_s=DEADLINE_S)
    return Begun(process, bundle.opening() + job, words)


def test_check_24_children_that_ignore_the_request_to_end_are_killed(
    host: PretendHosts, tmp_path: Path, eventually: Eventually
) -> None:
    """The step says that it was too late, and neither child nor grandchild is left."""
    began_s = time.monotonic()
    step = begin(host, tmp_path)

    said, _ = step.process.communicate(step.program)

    answer = json.loads(said.decode().partition(MARK)[2].splitlines()[0])
    assert (answer["ok"], answer["kind"]) == (False, "deadline")
    assert time.monotonic() - began_s < DEADLINE_S + bundle.KILL_AFTER_S + 5
    assert len((tmp_path / "pids").read_text().split()) == 2
    eventually("the end of all processes", lambda: not alive(tmp_path / "pids"))


def test_check_24_a_controller_that_is_gone_changes_nothing(
    host: PretendHosts, tmp_path: Path, eventually: Eventually
) -> None:
    """Nobody reads any more; the deadline on the host holds, and the host is free after it."""
    step = begin(host, tmp_path)
    assert step.process.stdin is not None
    assert step.process.stdout is not None
    step.process.stdin.write(step.program)
    step.process.stdin.close()
    eventually("git to hang", lambda: len(alive(tmp_path / "pids")) == 2)
    step.process.stdout.close()

    deadline_s = DEADLINE_S + bundle.KILL_AFTER_S + 5.0
    eventually("the end", lambda: not alive(tmp_path / "pids"), deadline_s=deadline_s)
    step.process.wait()

    row = host.change("a", step.words)
    assert row.ok, row.error


def test_check_24_a_step_that_cannot_stop_is_killed(tmp_path: Path, eventually: Eventually) -> None:
    """One that does not even hear the request dies a moment later; the next is made as ever."""
    stubborn = tmp_path / "stubborn.py"
    stubborn.write_text(STUBBORN_STEP.format(pids=tmp_path / "pids"))
    deaf = json.loads(bundle.job("watch", {}, deadline_s=DEADLINE_S))
    (module,) = (name for name in deaf["modules"] if name.endswith(".switching"))
    deaf["modules"] = {module: ["", bundle._pack(stubborn.read_bytes())]}
    good = bundle.job("configured", {"instances": []}, deadline_s=60)

    done = subprocess.run(
        bundle.attendant(sys.executable),
        input=bundle.opening() + json.dumps(deaf).encode() + b"\n" + good,
        capture_output=True,
        check=False,
    )

    ends = [line for line in done.stdout.decode().splitlines() if line.startswith(END)]
    assert ends == [f"{END}{-signal.SIGKILL}", f"{END}0"]
    assert len((tmp_path / "pids").read_text().split()) == 2
    eventually("the end of all processes", lambda: not alive(tmp_path / "pids"))


def test_check_24_a_step_whose_attendant_is_killed_keeps_its_deadline(
    tmp_path: Path, eventually: Eventually
) -> None:
    """Nobody is there to end it; it ends itself, with what it has started."""
    stubborn = STUBBORN_STEP.format(pids=tmp_path / "pids").encode()
    deaf = json.loads(bundle.job("watch", {}, deadline_s=DEADLINE_S))
    (module,) = (name for name in deaf["modules"] if name.endswith(".switching"))
    deaf["modules"] = {module: ["", bundle._pack(stubborn)]}
    attendant = subprocess.Popen(
        bundle.attendant(sys.executable), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert attendant.stdin is not None
    attendant.stdin.write(bundle.opening() + json.dumps(deaf).encode() + b"\n")
    attendant.stdin.flush()
    pids = tmp_path / "pids"
    eventually("the step", lambda: pids.exists() and len(pids.read_text().split()) == 2)

    attendant.kill()
    attendant.communicate()

    eventually("the end of all processes", lambda: not alive(tmp_path / "pids"))


def test_check_24_packages_that_take_too_long_are_stopped(
    host: PretendHosts, tmp_path: Path, eventually: Eventually
) -> None:
    """The one step in sh stays until apt has ended, so apt cannot be left behind."""
    for name, text in {"id": "echo 0", "dpkg-query": "exit 1"}.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "bin" / "git").rename(tmp_path / "bin" / "apt-get")
    told = {**host.params("a"), "packages": "git", "look_only": "no"}
    step = subprocess.Popen(
        bundle.command(deadline_s=DEADLINE_S),
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
    )

    step.communicate(bundle.script("provision", told))

    assert len((tmp_path / "pids").read_text().split()) >= 2
    eventually("the end of all processes", lambda: not alive(tmp_path / "pids"))
