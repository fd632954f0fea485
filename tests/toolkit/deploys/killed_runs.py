"""What the tests of killed runs share: to kill one at a point, to ask for it, and to resume it."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from aitbc_toolkit.release import journal
from aitbc_toolkit.release.inquiry import Inquiry, inquire
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.request import Request
from aitbc_toolkit.release.resuming import resume

HERE = Path(__file__).parent


def killed(
    project: Any, point: str, count: int = 1, *, verb: str = "deploy", **choice: Any
) -> None:
    """Run a verb in a process that SIGKILLs itself at a point."""
    program, how = str(HERE / "killed_run.py"), json.dumps(choice)
    argv = [sys.executable, program, str(project.root), point, str(count), verb, how]
    ran = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=180)
    assert ran.returncode == -signal.SIGKILL, ran.stderr


def resumed(project: Any, **request: Any) -> Outcome:
    """Resume the last run of a project; the lease of a killed process is in nobody's way."""
    wanted = Request(
        checkout=project.checkout,
        prove=lambda _environment: ("0 of 0 checks", ""),
        **request,
    )
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
