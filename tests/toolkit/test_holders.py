"""Who may be taken for gone, and who not: a lease is taken from the dead only."""

import subprocess
import sys

from aitbc_toolkit.processes import find_process
from aitbc_toolkit.release import holders

CHILD = [sys.executable, "-c", "import sys; print('here', flush=True); sys.stdin.read()"]


def test_only_a_process_that_has_ended_is_gone() -> None:
    """Alive it is not; ended it is, whether or not somebody has waited for it."""
    with subprocess.Popen(CHILD, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        boot, namespace, *_ = holders.own().split()
        name = f"{boot} {namespace} {child.pid} {find_process(child.pid).start}"
        assert not holders.is_gone(name)
        child.kill()
        child.wait()
        assert holders.is_gone(name)


def test_a_pid_that_is_used_again_is_another_process() -> None:
    """We have the pid, but began at another time than the one that is asked for."""
    boot, namespace, pid, start = holders.own().split()

    assert not holders.is_gone(holders.own())
    assert holders.is_gone(f"{boot} {namespace} {pid} {int(start) - 1}")


def test_of_another_machine_boot_or_container_nobody_knows() -> None:
    """No such pid is here, and that says nothing; neither does a lease without a process."""
    boot, namespace, _, start = holders.own().split()
    pid = 2**22 + 1  # above the kernel's limit of pids

    assert holders.is_gone(f"{boot} {namespace} {pid} {start}")
    assert not holders.is_gone(f"another-boot {namespace} {pid} {start}")
    assert not holders.is_gone(f"{boot} pid:[1] {pid} {start}")
    assert not holders.is_gone("")
