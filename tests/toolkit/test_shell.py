"""Running other programs: deadlines hold, failures are one error with what was said."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, Exit

pytestmark = pytest.mark.integration


def test_result_carries_both_streams_and_the_status() -> None:
    """What the program said is kept apart, and nothing is raised unless asked."""
    result = shell.run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)

    assert (result.status, result.stdout, result.stderr) == (3, "out\n", "err\n")
    assert not result.ok


def test_no_shell_reads_an_argument() -> None:
    """Words pass as they are."""
    assert shell.run(["printf", "%s", "$(id) ; * 'x'"]).stdout == "$(id) ; * 'x'"


def test_failure_is_one_error_with_the_last_words() -> None:
    """The message holds the command, its status and why."""
    with pytest.raises(AitbcError, match="status 4\ndisk full") as failure:
        shell.run(["sh", "-c", "echo disk full >&2; exit 4"], hint="df -h")

    assert failure.value.hint == "df -h"


def test_missing_program_is_named() -> None:
    """No traceback for a program that is not installed."""
    with pytest.raises(AitbcError, match="no-such-program is not here"):
        shell.run(["no-such-program"])


def test_missing_folder_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    """The message names what is really missing."""
    with pytest.raises(AitbcError, match="gone"):
        shell.run(["true"], cwd=tmp_path / "gone")


def test_deadline_ends_the_program_and_all_it_started(
    tmp_path: Path, eventually: Callable[..., object]
) -> None:
    """Nothing outlives its deadline, not even a grandchild."""
    note = tmp_path / "pid"

    with pytest.raises(AitbcError, match=r"did not end within 2 s") as late:
        shell.run(["sh", "-c", f"sleep 60 & echo $! > {note}; wait"], timeout_s=2)

    assert late.value.exit_status == Exit.DEADLINE
    pid = int(note.read_text())
    eventually("the grandchild is gone", lambda: _is_gone(pid))


def test_input_and_environment_reach_the_program() -> None:
    """Secrets go by standard input; the environment is added to ours."""
    result = shell.run(["sh", "-c", "cat; echo $GREETING"], stdin="in ", env={"GREETING": "hello"})

    assert result.stdout == "in hello\n"


def test_detached_program_outlives_the_call_in_its_own_session(tmp_path: Path) -> None:
    """It writes to its log, and our terminal's signals do not reach it."""
    log = tmp_path / "log"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    shell.detach(["sh", "-c", f"echo begun; ps -o sid= -p $$ > {fifo}"], log=log)

    assert int(fifo.read_text()) != os.getsid(0)
    assert log.read_text() == "begun\n"


def _is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody has waited for yet has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"
