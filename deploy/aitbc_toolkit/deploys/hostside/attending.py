"""How does a host make the steps of a run? One process attends to them, and each is a fork of it.

To start Python and to import what a step is written in costs a host more than most steps do, so a
run pays for that once. The attendant keeps the deadline of each step and touches nothing else: it
holds no lock, and ends with its standard input. Standard library only.
"""

import gc
import json
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any, NoReturn

from aitbc_toolkit.deploys.hostside import program

END = "aitbc-end "
"""Behind everything that a step has said; its exit status follows."""
IDLE_S = 600
"""Whoever gives no step for so long is gone, even where nobody has told this host."""


def attend(modules: dict[str, tuple[str, str]]) -> NoReturn:
    """Make one step after the other, each a line of JSON, until nobody is there to give any.

    A step brings along those of its `modules` that no step before it has brought. Whoever starts
    this looks for no garbage; a step does, which may go on for minutes.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever started this may have ignored it
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    with suppress(BrokenPipeError):
        while job := _next():
            modules |= {name: tuple(each) for name, each in job["modules"].items()}
            with suppress(Exception):  # it fails in the step as well, which tells it
                program.function(job["step"])
            status = _make(job)
            # What a step or a child of it wrote last may have no end of line.
            sys.stdout.write(f"\n{END}{status}\n")
            sys.stdout.flush()
    os._exit(0)  # taking everything apart that was imported helps nobody


def _next() -> dict[str, Any]:
    signal.alarm(IDLE_S)
    line = sys.stdin.buffer.readline()
    signal.alarm(0)
    return json.loads(line) if line.endswith(b"\n") else {}


def _make(job: dict[str, Any]) -> int:
    """Make a step in a process group of its own; at the deadline ask all of it to end, then kill.

    The group is killed only while the step is there, so the step stays until its own children are
    gone.
    """
    step = os.fork()
    if not step:
        _be(job)
    with suppress(OSError):  # it does so itself; whoever comes second is told that it is done
        os.setpgid(step, step)
    for number, patience_s in (
        (signal.SIGTERM, job["deadline_s"]),
        (signal.SIGKILL, job["kill_after_s"]),
    ):
        if _has_ended(step, patience_s):
            break
        os.killpg(step, number)
    return os.waitstatus_to_exitcode(os.waitpid(step, 0)[1])


def _be(job: dict[str, Any]) -> NoReturn:
    """Be the step, and leave with its status; nothing of the attendant goes on here."""
    status = 1
    try:
        os.setpgid(0, 0)
        gc.freeze()
        gc.enable()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        # What a step starts must not read the steps that come after it.
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        # Should the attendant be killed, nobody else keeps the deadline.
        signal.signal(signal.SIGALRM, _end_group)
        signal.setitimer(signal.ITIMER_REAL, job["deadline_s"] + job["kill_after_s"])
        program.run(job["step"], job["params"])
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        os._exit(status)


def _end_group(_number: int, _frame: object) -> None:
    os.killpg(0, signal.SIGKILL)


def _has_ended(process: int, patience_s: float) -> bool:
    """Wait for a child, which stays to be asked for its status."""
    deadline = time.monotonic() + patience_s
    while os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return False
        signal.sigtimedwait({signal.SIGCHLD}, left_s)
    return True
