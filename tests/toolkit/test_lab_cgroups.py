"""Which cgroups a host goes into, on machines of each kind; and what is ended in them."""

import os
from pathlib import Path

import pytest

from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.lab import cgroups
from aitbc_toolkit.lab.model import Limits

pytestmark = pytest.mark.unit

MIXED = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
36 31 0:33 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
MIXED_OWN = """\
4:memory:/outer/limit
3:cpuset:/
1:cpu:/
1:name=systemd:/user.slice/session-1.scope
0::/user.slice/session-1.scope
"""
SHARED = """\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
"""
UNIFIED = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate
"""


def test_host_of_a_mixed_machine_gets_a_folder_in_each_hierarchy() -> None:
    """Our own memory limit holds for hosts; our login session does not end them."""
    folders = cgroups.lab_folders(cgroups.parse(MIXED, MIXED_OWN), tag="67b6e4")

    assert [str(folder) for folder in folders] == [
        "/sys/fs/cgroup/cpu/aitbc-lab/67b6e4",
        "/sys/fs/cgroup/memory/outer/limit/aitbc-lab/67b6e4",
        "/sys/fs/cgroup/systemd/aitbc-lab/67b6e4",
        "/sys/fs/cgroup/unified/aitbc-lab/67b6e4",
    ]


def test_controllers_that_share_a_mount_share_a_folder() -> None:
    """Processor control and accounting are often one hierarchy: one folder, once."""
    folders = cgroups.lab_folders(cgroups.parse(SHARED, "4:cpu,cpuacct:/a\n"), tag="t")

    assert [str(folder) for folder in folders] == ["/sys/fs/cgroup/cpu,cpuacct/a/aitbc-lab/t"]


def test_unified_machine_has_one_folder_at_the_top() -> None:
    """With version 2 alone there is one tree, and the login session's part of it is not ours."""
    folders = cgroups.lab_folders(cgroups.parse(UNIFIED, "0::/user.slice/s.scope\n"), tag="t")

    assert [str(folder) for folder in folders] == ["/sys/fs/cgroup/aitbc-lab/t"]


def test_limits_are_written_for_both_versions() -> None:
    """One record of limits, in each version's words; no processor limit unless asked."""
    limits = Limits(memory_mib=512, disk_mib=128, tasks_max=200)

    assert cgroups.limit_files(limits) == {
        "memory.limit_in_bytes": "536870912",
        "memory.max": "536870912",
        "pids.max": "200",
    }


def test_processor_limit_is_a_share_of_one_core() -> None:
    """A quarter of a core is 25 ms of each 100 ms."""
    files = cgroups.limit_files(Limits(cpu_percent=25))

    assert files["cpu.cfs_quota_us"] == "25000"
    assert files["cpu.max"] == "25000 100000"


def test_limit_goes_only_where_the_hierarchy_has_it(tmp_path: Path) -> None:
    """A folder without a control file stays without one."""
    host = tmp_path / "pids" / "aitbc-lab" / "t" / "lab1"
    host.mkdir(parents=True)
    (host / "pids.max").write_text("max")

    cgroups.make([host.parent], host="lab1", limits=Limits(tasks_max=77))

    assert (host / "pids.max").read_text() == "77"
    assert [path.name for path in host.iterdir()] == ["pids.max"]


def test_machine_without_freezer_says_so(tmp_path: Path) -> None:
    """A fault that this machine cannot make is refused in words, with what works instead."""
    with pytest.raises(AitbcError, match="no freezer cgroup") as refusal:
        cgroups.freeze([tmp_path], host="lab1", frozen=True)

    assert refusal.value.hint == "power-cut it instead"


def test_process_that_only_looks_like_a_hosts_is_left_alone(tmp_path: Path) -> None:
    """Pids are used again: one whose own cgroup is another one is not killed (here: us)."""
    procs = tmp_path / "aitbc-lab" / "t" / "lab1" / "cgroup.procs"
    procs.parent.mkdir(parents=True)
    procs.write_text(f"{os.getpid()}\n")

    with pytest.raises(AitbcError, match="did not end within"):
        cgroups.end_processes([tmp_path / "aitbc-lab" / "t"], timeout_s=0.05)


def test_folders_are_removed_deepest_first_and_twice(tmp_path: Path) -> None:
    """A host leaves some fifteen folders; removing what is gone is no error."""
    lab = tmp_path / "aitbc-lab" / "t"
    (lab / "lab1" / "payload" / "system.slice").mkdir(parents=True)

    cgroups.remove_lab([lab])
    cgroups.remove_lab([lab])

    assert list(tmp_path.iterdir()) == []


def test_end_of_one_lab_leaves_the_parent_to_the_other(tmp_path: Path) -> None:
    """What labs share goes with the last one; the end of a host never touches its lab's folder."""
    first, second = (tmp_path / "aitbc-lab" / tag for tag in ("a", "b"))
    cgroups.make_lab([first, second])
    (first / "lab1").mkdir()

    cgroups.remove([first / "lab1"])
    assert first.is_dir()
    cgroups.remove_lab([first])

    assert second.is_dir()
