"""Into which cgroups does a lab host go, and how is everything in them ended?

Each host has its own folder in every hierarchy: hosts that share one would see each other's
units in it. Version 1, hybrid and version 2 machines are told apart by what is mounted. Do not
start processes here.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.lab.model import Limits

PARENT = "aitbc-lab"
FROZEN_TIMEOUT_S = 5.0

_MIB = 2**20
_CPU_PERIOD_US = 100_000
_POLL_S = 0.01
# cpuset is left out: a fresh folder of it takes no process until it is filled in.
_WANTED = frozenset({"cpu", "cpuacct", "freezer", "memory", "name=systemd", "pids"})


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Name one mounted hierarchy: what it controls, and the folder under which labs go."""

    controllers: frozenset[str]
    base: Path


def hierarchies() -> tuple[Hierarchy, ...]:
    """Find the hierarchies of this machine that a host needs a folder in."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    own = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    return parse(mounts, own)


def parse(mounts: str, own: str) -> tuple[Hierarchy, ...]:
    """Read the hierarchies out of /proc/self/mountinfo and /proc/self/cgroup (cgroups(7)).

    A version 1 controller's folder goes below our own, so that a limit on us holds for hosts
    too. The systemd and unified trees carry no limits here, and our own folder there may be a
    login session that ends with the login, so those start at the top.
    """
    ours = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            ours[controller] = path.lstrip("/")
    found = {}
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        mount_point = Path(left.split()[4])
        kind, _, options = right.split()[:3]
        if kind == "cgroup2":
            found[mount_point] = Hierarchy(frozenset({"unified"}), mount_point)
        elif kind == "cgroup":
            controllers_here = _WANTED & set(options.split(","))
            limits = sorted(controllers_here - {"name=systemd"})
            base = mount_point / ours.get(limits[0], "") if limits else mount_point
            if controllers_here:
                found[mount_point] = Hierarchy(frozenset(controllers_here), base)
    return tuple(found.values())


def lab_folders(trees: Iterable[Hierarchy], *, tag: str) -> tuple[Path, ...]:
    """List the folders of a lab, one per hierarchy."""
    return tuple(tree.base / PARENT / tag for tree in trees)


def make_lab(folders: Iterable[Path]) -> None:
    """Make a lab's own folders; the caller holds the machine's lock.

    While they exist, the end of another lab cannot take the shared parent away from under us.
    """
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)


def make(labs: Iterable[Path], *, host: str, limits: Limits) -> tuple[Path, ...]:
    """Make a host's folders below the lab's and write its limits; return the folders."""
    made = []
    for lab in labs:
        folder = lab / host
        base = lab.parent.parent
        if (base / "cgroup.controllers").exists():
            _delegate(base, folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in limit_files(limits).items():
            if (folder / name).exists():
                (folder / name).write_text(value, encoding="ascii")
        made.append(folder)
    return tuple(made)


def limit_files(limits: Limits) -> dict[str, str]:
    """Give the control files of both versions that carry the limits; a machine has some of them."""
    memory = str(limits.memory_mib * _MIB)
    files = {
        "memory.limit_in_bytes": memory,
        "memory.max": memory,
        "pids.max": str(limits.tasks_max),
    }
    if limits.cpu_percent:
        quota_us = limits.cpu_percent * _CPU_PERIOD_US // 100
        files["cpu.cfs_quota_us"] = str(quota_us)
        files["cpu.max"] = f"{quota_us} {_CPU_PERIOD_US}"
    return files


def freeze(folders: Iterable[Path], *, host: str, frozen: bool) -> None:
    """Stop or go on with every process of a host, below the lab's `folders`.

    Raises: AitbcError when this machine has no freezer, or when it does not obey in time.
    """
    freezer = next(
        (f for lab in folders for f in _freezers(lab / host) if f.control.exists()), None
    )
    if freezer is None:
        raise AitbcError(f"{host}: this machine has no freezer cgroup", hint="power-cut it instead")
    deadline = time.monotonic() + FROZEN_TIMEOUT_S
    while freezer.answers[frozen] not in freezer.status.read_text(encoding="ascii").splitlines():
        if time.monotonic() > deadline:
            wanted = freezer.answers[frozen]
            raise AitbcError(
                f"{host}: not {wanted} after {FROZEN_TIMEOUT_S:.0f} s", hint="aitbc lab list"
            )
        freezer.control.write_text(freezer.words[frozen], encoding="ascii")
        time.sleep(_POLL_S)


@dataclass(frozen=True, slots=True)
class _Freezer:
    """Say how a version freezes: the words and answers are for go on, then for stop."""

    control: Path
    words: tuple[str, str]
    status: Path
    answers: tuple[str, str]


def _freezers(host: Path) -> tuple[_Freezer, _Freezer]:
    """Name version 1's freezer first: a hybrid machine's processes are in that one as well."""
    state = host / "freezer.state"
    return (
        _Freezer(state, ("THAWED", "FROZEN"), state, ("THAWED", "FROZEN")),
        _Freezer(
            host / "cgroup.freeze", ("0", "1"), host / "cgroup.events", ("frozen 0", "frozen 1")
        ),
    )


def end_processes(folders: Iterable[Path], *, timeout_s: float) -> None:
    """SIGKILL whatever runs below `folders` until nothing does; thaw it first, or it would stay.

    Raises: AitbcError when something outlives the deadline.
    """
    roots = tuple(folders)
    deadline = time.monotonic() + timeout_s
    while pids := frozenset(_pids(roots)):
        for control in (found for root in roots for found in root.rglob("freezer.state")):
            _write(control, "THAWED")
        for pid in pids:
            _end(pid, roots)
        if time.monotonic() > deadline:
            raise AitbcError(
                f"processes {sorted(pids)} did not end within {timeout_s:.0f} s",
                hint=f"ps -o pid,stat,wchan,cmd -p {','.join(map(str, sorted(pids)))}",
            )
        time.sleep(_POLL_S)


def remove(folders: Iterable[Path], *, timeout_s: float = 2.0) -> None:
    """Remove the folders and all below, deepest first; the kernel may need a moment to let go."""
    deadline = time.monotonic() + timeout_s
    for root in folders:
        while not _removed(root) and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def remove_lab(folders: Iterable[Path]) -> None:
    """Remove a lab's folders, and with the last lab the parent; we hold the machine's lock."""
    roots = tuple(folders)
    remove(roots)
    for root in roots:
        with contextlib.suppress(OSError):
            root.parent.rmdir()


def _removed(root: Path) -> bool:
    for folder, _, _ in os.walk(root, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not root.exists()


def _pids(roots: Iterable[Path]) -> Iterator[int]:
    for root in roots:
        for folder, _, files in os.walk(root):
            if "cgroup.procs" in files:
                with contextlib.suppress(OSError):
                    text = Path(folder, "cgroup.procs").read_text(encoding="ascii")
                    yield from (int(word) for word in text.split())


def _end(pid: int, roots: Iterable[Path]) -> None:
    """Kill a process only if it is still in the lab: pids are used again.

    A pid of 0 is a process that our own pid namespace does not show.
    """
    with contextlib.suppress(OSError):
        held = os.pidfd_open(pid)
        try:
            lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
            if any(f"{_within(root)}/" in f"{line}/" for root in roots for line in lines):
                signal.pidfd_send_signal(held, signal.SIGKILL)
        finally:
            os.close(held)


def _within(root: Path) -> str:
    """Give the part of a folder's path that /proc shows whatever the hierarchy is mounted on."""
    return "/" + "/".join(root.parts[root.parts.index(PARENT) :])


def _delegate(base: Path, folder: Path) -> None:
    """Hand the controllers of a version 2 machine down to the host's folder, where it has any."""
    for parent in reversed([path for path in folder.parents if path.is_relative_to(base)]):
        parent.mkdir(exist_ok=True)
        for controller in ("cpu", "memory", "pids"):
            _write(parent / "cgroup.subtree_control", f"+{controller}")


def _write(control: Path, word: str) -> None:
    with contextlib.suppress(OSError):
        control.write_text(word, encoding="ascii")
