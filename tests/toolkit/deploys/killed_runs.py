"""What the tests of killed runs share: to kill one at a point, to ask for it, and to resume it.

Run as a program it is the controller that is killed: `ROOT POINT COUNT VERB CHOICE`. A process of
its own, so that SIGKILL ends a whole one.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import stand_in_hosts

from aitbc_toolkit import identity
from aitbc_toolkit.release import journal
from aitbc_toolkit.release.deploy import deploy
from aitbc_toolkit.release.inquiry import Inquiry, inquire
from aitbc_toolkit.release.journal import Journal, Point
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.request import Choice, Request
from aitbc_toolkit.release.resuming import resume
from aitbc_toolkit.release.rollback import rollback
from aitbc_toolkit.remote import Hosts


def killed(
    project: Any, point: str, count: int = 1, *, verb: str = "deploy", **choice: Any
) -> None:
    """Run a verb in a process that SIGKILLs itself at a point."""
    how = json.dumps(choice)
    argv = [sys.executable, __file__, str(project.root), point, str(count), verb, how]
    ran = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=180)
    assert ran.returncode == -signal.SIGKILL, ran.stderr


def resumed(project: Any, **request: Any) -> Outcome:
    """Resume the last run of a project; the lease of a killed process is in nobody's way."""
    wanted = Request(checkout=project.checkout, prove=proven, **request)
    return resume(project.environment, wanted, project.records.append)


def forget_everything(project: Any) -> None:
    """Be another machine: no journal, no history and no chain of its own."""
    environment = project.environment
    shutil.rmtree(journal.folder_of(environment))
    for name in ("history.jsonl", "history.jsonl.head", "genesis.json"):
        (environment.folder / name).unlink()


def asked(project: Any) -> Inquiry:
    """Ask for the last run."""
    found = inquire(project.environment)
    assert found is not None
    return found


def pids(project: Any) -> dict[str, int]:
    """Read the process of every node."""
    return {name: row["pid"] for name, row in project.services().items()}


def proven(_environment: Any) -> tuple[str, str]:
    """Stand in for the smoke suite: a stand-in node takes no transactions."""
    return "0 of 0 checks", ""


def run_until(root: Path, point: str, count: int, verb: str, choice: Choice) -> None:
    """Do a verb until the journal has written a point so many times, and die there."""
    write, seen = Journal.write, 0

    def killing(journal: Journal, written: Point, **facts: Any) -> None:
        nonlocal seen
        write(journal, written, **facts)
        seen += written == point
        if seen == count:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.write = killing  # type: ignore[method-assign] # the point of this program
    identity.stranger = lambda *_asked: ""
    Hosts.step = stand_in_hosts.step  # type: ignore[method-assign] # several hosts are one here
    environment = stand_in_hosts.load(root, "dev")
    request = Request(checkout=root / "checkout", choice=choice, prove=proven)
    if verb == "rollback":
        rollback(environment, lambda _record: None, allow_stall=choice.allow_stall, prove=proven)
    {"deploy": deploy, "resume": resume}[verb](environment, request, lambda _record: None)


if __name__ == "__main__":
    words = sys.argv[1:]
    chosen = Choice(**json.loads(words[4]))
    run_until(Path(words[0]), words[1], int(words[2]), words[3], chosen)
