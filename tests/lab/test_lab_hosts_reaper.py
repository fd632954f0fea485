"""Nothing of a lab is left behind, whatever is killed; and labs leave each other alone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aitbc_toolkit import lab as labs
from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.lab import Lab, LabSpec, claims
from aitbc_toolkit.lab.places import Places

pytestmark = pytest.mark.lab


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    """Keep the state in the test's folder, and clear what a failed test leaves."""
    where = Places(state=tmp_path)
    yield where
    for state in labs.list_labs(places=where):
        labs.destroy(state.lab.name, places=where)


def a_lab(places: Places, name: str, *, hosts: int = 1) -> Lab:
    """Bring up a small lab that ends with this process at the latest."""
    spec = LabSpec(name, hosts)
    return labs.bring_up(spec, progress=print, places=places, owner_pid=os.getpid())


def remains(tag: str) -> dict[str, list[str]]:
    """List everything in the kernel, the process table and the run folder that bears the tag."""
    found = {
        "links": [each.name for each in Path("/sys/class/net").iterdir() if tag in each.name],
        "cgroups": [
            folder for folder, _, _ in os.walk("/sys/fs/cgroup") if f"aitbc-lab/{tag}" in folder
        ],
        "mounts": [
            line for line in Path("/proc/mounts").read_text().splitlines() if f"/{tag}/" in line
        ],
        "processes": [
            path.parent.name
            for path in Path("/proc").glob("[0-9]*/cgroup")
            if _is_of(path.parent, tag)
        ],
        "files": [
            *(str(path) for path in Path("/run/aitbc-lab").glob(f"*{tag}*")),
            *(str(path) for path in Path("/run/aitbc-lab/claims").glob(f"*{tag}*")),
            *(str(path) for path in Path("/run/systemd/nspawn/propagate").glob(f"{tag}-*")),
        ],
    }
    return {kind: names for kind, names in found.items() if names}


def test_running_lab_is_seen_by_the_search_for_remains(places: Places) -> None:
    """The search that the other tests trust finds a lab that is there, and not one that is not."""
    lab = a_lab(places, "seen")

    assert set(remains(lab.tag)) == {"links", "cgroups", "processes", "files"}
    labs.take_down("seen", places=places)
    assert remains(lab.tag) == {}


def test_killed_holder_takes_its_hosts_with_it_and_the_rest_is_reaped(places: Places) -> None:
    """After SIGKILL no process of a host survives; the next command clears what is left."""
    lab = a_lab(places, "holder")

    os.kill(_holder(places, lab), signal.SIGKILL)
    _await(lambda: "processes" not in remains(lab.tag), "the hosts are gone")
    states = [state.state for state in labs.list_labs(places=places)]

    assert states == ["down"]
    assert remains(lab.tag) == {}


def test_frozen_host_of_a_killed_holder_is_reaped_as_well(places: Places) -> None:
    """A frozen process does not die until it is thawed: the reaper has to think of that."""
    lab = a_lab(places, "frozen")
    labs.freeze(lab, "lab1", places=places)

    os.kill(_holder(places, lab), signal.SIGKILL)
    _await(lambda: _stale(places, lab), "the holder is dead")
    labs.list_labs(places=places)

    assert remains(lab.tag) == {}


def test_killed_lab_comes_up_again_at_once(places: Places) -> None:
    """`up` needs no cleaning by hand, and keeps the lab's keys."""
    lab = a_lab(places, "again")
    os.kill(_holder(places, lab), signal.SIGKILL)

    again = a_lab(places, "again")

    assert again.machines == lab.machines
    assert labs.exec_in(again, "lab1", ["systemctl", "is-system-running"]).stdout == "running\n"


def test_killed_host_is_down_and_leaves_no_process(places: Places) -> None:
    """SIGKILL of one host's own init ends that host alone."""
    lab = a_lab(places, "oneinit", hosts=2)
    [init] = [pid for pid in _pids(lab, "lab1") if _is_init(pid)]

    os.kill(init, signal.SIGKILL)
    _await(lambda: not _pids(lab, "lab1"), "lab1 has no process left")
    # A process leaves its group a moment before its parent can see that it has ended.
    _await(lambda: not labs.list_labs(places=places)[0].running["lab1"], "lab1 is seen to be down")

    [state] = labs.list_labs(places=places)
    assert state.running == {"lab1": False, "lab2": True, "forge": True}


def test_command_killed_halfway_leaves_no_lab(places: Places) -> None:
    """A lab belongs to the command that makes it until every host is ready."""
    maker = _start_cli(places, "lab", "up", "halfway", "--hosts", "1")
    tag = places.tag("halfway")
    _await(lambda: "links" in remains(tag), "the lab is being made")

    maker.kill()
    maker.wait()

    _await(lambda: "processes" not in remains(tag), "the hosts are gone")
    _await(lambda: claims.read_claim(places, tag) is None, "the holder has cleared the lab")
    assert remains(tag) == {}


def test_interrupted_command_leaves_no_lab(places: Places) -> None:
    """Ctrl-C while hosts boot takes them down again before the command ends with 130."""
    maker = _start_cli(places, "lab", "up", "ctrlc", "--hosts", "1")
    tag = places.tag("ctrlc")
    _await(lambda: "links" in remains(tag), "the lab is being made")

    maker.send_signal(signal.SIGINT)

    assert maker.wait(timeout=30) == 130
    assert remains(tag) == {}


def test_lab_ends_with_the_process_it_was_tied_to(places: Places) -> None:
    """A test runner that is killed leaves no lab, without any further command."""
    owner = subprocess.Popen(["sleep", "600"])
    lab = labs.bring_up(LabSpec("tied", 1), progress=print, places=places, owner_pid=owner.pid)
    assert remains(lab.tag)

    owner.kill()
    owner.wait()

    _await(lambda: not remains(lab.tag), "everything is cleared")


def test_two_labs_live_side_by_side(places: Places, tmp_path: Path) -> None:
    """Same host names, other networks and keys; the end of one does not touch the other.

    The second lab belongs to another checkout and has the same name.
    """
    elsewhere = Places(state=tmp_path / "other-checkout")
    first, second = a_lab(places, "twin"), a_lab(elsewhere, "twin")
    try:
        assert first.slot != second.slot
        assert {host.ipv4 for host in first.machines}.isdisjoint(h.ipv4 for h in second.machines)
        assert first.hosts[0].host_key != second.hosts[0].host_key
        reach = ["ping", "-c1", "-W1", second.hosts[0].ipv4]
        assert not labs.exec_in(first, "lab1", reach).ok

        labs.take_down("twin", places=places)

        assert labs.exec_in(second, "lab1", ["hostname"]).stdout == "lab1\n"
    finally:
        labs.destroy("twin", places=elsewhere)


def test_lab_of_a_deleted_checkout_is_reaped_by_any_other(places: Places, tmp_path: Path) -> None:
    """Claims are the machine's: a checkout that is gone leaves no bridge for ever."""
    gone = Places(state=tmp_path / "gone")
    lab = a_lab(gone, "orphan")
    os.kill(_holder(gone, lab), signal.SIGKILL)
    (lab.folder / "lab.json").unlink()
    _await(lambda: "processes" not in remains(lab.tag), "the hosts are gone")

    labs.list_labs(places=places)

    assert remains(lab.tag) == {}


def test_lab_that_is_down_has_no_hosts_to_load(places: Places) -> None:
    """What is down is named as down, with the command that brings it up."""
    a_lab(places, "later")
    assert labs.take_down("later", places=places)
    assert not labs.take_down("later", places=places)

    with pytest.raises(UsageError, match="lab later is down") as refusal:
        labs.load_lab("later", places=places)

    assert refusal.value.hint == "aitbc lab up later"


def test_destroyed_lab_is_unknown(places: Places) -> None:
    """Keys and records go too; a second destroy says that there is no such lab."""
    lab = a_lab(places, "never")
    labs.destroy("never", places=places)

    assert not lab.folder.exists()
    with pytest.raises(UsageError, match="no lab is called 'never'"):
        labs.destroy("never", places=places)


def test_host_that_cannot_boot_is_an_error_with_its_log(places: Places) -> None:
    """When the holder fails, the command says so in words and nothing runs on."""
    blocked = LabSpec("blocked", 1)
    tag = places.tag(blocked.name)
    bridge = f"al-block-{tag}"
    subprocess.run(["ip", "link", "add", "name", bridge, "type", "bridge"], check=True)

    with pytest.raises(AitbcError, match=r"its holder ended early(.|\n)*File exists"):
        labs.bring_up(blocked, progress=print, places=places, owner_pid=os.getpid())

    assert remains(tag) == {}


def test_two_commands_for_one_lab_do_not_meet(places: Places) -> None:
    """While one command makes a lab, the other waits and finds it made."""
    maker = _start_cli(places, "lab", "up", "busy", "--hosts", "1")

    other = _start_cli(places, "lab", "up", "busy", "--hosts", "1")

    assert other.wait(timeout=60) == 0
    assert maker.wait(timeout=60) == 0
    assert labs.load_lab("busy", places=places).hosts


def _start_cli(places: Places, *words: str) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-m", "aitbc_toolkit.cli.main", *words]
    environment = {**os.environ, "AITBC_STATE": str(places.state)}
    return subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)


def _holder(places: Places, lab: Lab) -> int:
    claim = claims.read_claim(places, lab.tag)
    assert claim is not None
    assert claim.held
    return claim.holder.pid


def _stale(places: Places, lab: Lab) -> bool:
    claim = claims.read_claim(places, lab.tag)
    return claim is not None and claim.stale


def _pids(lab: Lab, host: str) -> list[int]:
    inside = f"aitbc-lab/{lab.tag}/{host}"
    found = Path("/proc").glob("[0-9]*/cgroup")
    return [int(path.parent.name) for path in found if inside in _read(path)]


def _is_init(pid: int) -> bool:
    """Tell whether a process is pid 1 of a host: the innermost of its pids is 1, and not nspawn."""
    status = _read(Path(f"/proc/{pid}/status"))
    numbers = [line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")]
    return bool(numbers) and len(numbers[0]) == 3 and numbers[0][-1] == "1"


def _is_of(process: Path, tag: str) -> bool:
    """Tell whether a process belongs to a lab; a dead one that init has to wait for does not."""
    if " Z " in _read(process / "stat"):
        return False
    named = f"{tag}-" in _read(process / "cmdline")
    return named or f"aitbc-lab/{tag}" in _read(process / "cgroup")


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _await(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
