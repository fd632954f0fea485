"""Workers on other hosts: sent there with their packages, followed over SSH, gone at the end."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from pretend_swarm import a_fake_mesh, a_swarm, an_order, is_believed, played_whole

from aitbc_load.histograms import Latencies
from aitbc_toolkit import paths
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import audit, safekeeping
from aitbc_toolkit.release.allowed import Allowed
from aitbc_toolkit.suites import lodging, outposts, packing
from aitbc_toolkit.suites.swarm import Swarm

HOSTS = ("localhost", "aitbc1")
"""One is this machine, the other is reached by the stand-in for SSH."""

SSH = """#!{python}
# Stands for SSH: what it runs ends with it only by the end of its input, as on a host.
import os, signal, subprocess, sys, threading
def leave(*_):
    print("Connection to aitbc1 closed by remote host.", file=sys.stderr, flush=True)
    os._exit(255)
signal.signal(signal.SIGTERM, leave)
with open({pids!r}, "a") as file:
    print(os.getpid(), file=file)
child = subprocess.Popen(["sh", "-c", sys.argv[-1]], stdin=-1, stdout=-1)
def pump(source, target):
    while piece := os.read(source, 65536):
        while piece:
            piece = piece[os.write(target, piece):]
def down():
    try:
        pump(0, child.stdin.fileno())
    finally:
        child.stdin.close()
threading.Thread(target=down, daemon=True).start()
pump(child.stdout.fileno(), 1)
sys.exit(child.wait())
"""


@pytest.fixture(scope="module")
def parcel(tmp_path_factory: pytest.TempPathFactory) -> packing.Parcel:
    """Write once what all tests send."""
    return packing.pack(tmp_path_factory.mktemp("parcel") / "parcel.tar.gz")


@pytest.fixture
def connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parcel: packing.Parcel
) -> Callable[[], list[int]]:
    """Have a stand-in for SSH, and tell its processes; hosts put things below the test's folder."""
    monkeypatch.setattr(packing, "pack", lambda _target: parcel)
    program, pids = tmp_path / "bin" / "ssh", tmp_path / "pids"
    program.parent.mkdir()
    program.write_text(SSH.format(python=sys.executable, pids=str(pids)))
    program.chmod(0o755)
    host = tmp_path / "host"
    host.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(host))
    return lambda: [int(line) for line in pids.read_text().splitlines()]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Give a mesh of two hosts whose Python is ours, and on which anybody may do anything."""
    found = Inventory.load("staging", folder=paths.inventories(), state=tmp_path / "state")
    hosts = tuple(replace(host, python=sys.executable) for host in found.hosts)
    return replace(found, hosts=hosts, rules=structs.replace(found.rules, source="forge"))


def left_on_hosts(tmp_path: Path) -> list[str]:
    """List what is left of workers: folders, and processes that run from them."""
    folders = [str(path) for path in (tmp_path / "host").glob(f"{lodging.NAME}*")]
    here = str(tmp_path / "host" / lodging.NAME).encode()
    commands = Path("/proc").glob("[0-9]*/cmdline")
    return [*folders, *(str(path) for path in commands if here in _read(path))]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_workers_on_two_hosts_make_one_run(
    tmp_path: Path, environment: Environment, connections: Callable[[], list[int]]
) -> None:
    """Their books add up exactly, what they wrote comes back, and nothing of them stays."""
    tried = list[Path]()

    def play() -> dict[str, Any]:
        tried.append(tmp_path / f"run-{len(tried)}")
        tried[-1].mkdir()
        with (
            a_fake_mesh(strict=True) as ports,
            outposts.stationed(environment, HOSTS, 2) as ways,
        ):
            order = an_order(tried[-1], ports, rate=60.0, for_s=2.0, workers=2)
            return a_swarm({**order, "ways": ways}, []).run()

    result = played_whole(play)
    folder = tried[-1]

    assert {each["outcome"] for each in result["checks"]} == {"held"}, result["checks"]
    assert (result["books"]["sent"], result["books"]["final"]) == (120, 120)
    assert Latencies.from_wire(result["to_final"]["histogram"]).count == 120
    rows = [(each["host"], each["sent"], each["lost"]) for each in result["workers"]]
    assert rows == [("localhost", 60, ""), ("aitbc1", 60, "")]
    assert all(each["clock_offset_ms"] is not None for each in result["workers"])
    for number in range(2):
        kept = folder / f"worker-{number}"
        assert "Tag=to_final" in (kept / "latencies.hlog").read_text()
        assert (kept / "swarm.log").exists()
    assert len(connections()) == 2 * len(tried), "one that keeps it, one that is the worker"
    assert left_on_hosts(tmp_path) == []


def keep(what: bytes, head: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Send something to a host; return what it says."""
    host = tmp_path / "host"
    host.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-I", "-S", lodging.__file__],
        input=json.dumps(head).encode() + b"\n" + what,
        env={"TMPDIR": str(host)},
        capture_output=True,
        check=True,
        timeout=120,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_host_unpacks_nothing_but_what_was_sent(tmp_path: Path) -> None:
    """Another hash, and another kind of Python, are refused with their reason; nothing stays."""
    head = {"bytes": 3, "sha256": "0" * 64, "kind": packing.kind()}

    changed = keep(b"abc", head, tmp_path)
    foreign = keep(b"", {**head, "kind": ["cpython-999", "linux-abacus"]}, tmp_path)

    assert "what arrived is not what was sent" in changed["error"]
    assert "here runs cpython-999 on linux-abacus" in foreign["error"]
    assert left_on_hosts(tmp_path) == []


def test_what_a_killed_host_left_is_removed_by_the_next_run(tmp_path: Path) -> None:
    """Its keeper is dead, so that nobody holds its folder any more."""
    dead = tmp_path / "host" / f"{lodging.NAME}deadhost"
    dead.mkdir(parents=True)
    (dead / "held").touch()

    told = keep(b"", {"bytes": 0, "sha256": "0" * 64, "kind": packing.kind()}, tmp_path)

    assert "its hash is another one" in told["error"]
    assert left_on_hosts(tmp_path) == []


def test_what_others_put_where_folders_are_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mark that is a link, a folder that is one, a shorter name: whoever sweeps may be root."""
    host, secret, elsewhere = tmp_path / "host", tmp_path / "secret", tmp_path / "elsewhere"
    linked, short = host / f"{lodging.NAME}linkheld", host / lodging.NAME
    for folder in (linked, short, elsewhere):
        folder.mkdir(parents=True)
    secret.write_text("kept")
    (linked / "held").symlink_to(secret)
    (short / "held").touch()
    (elsewhere / "held").touch()
    (host / f"{lodging.NAME}linkfold").symlink_to(elsewhere)
    monkeypatch.setattr(tempfile, "tempdir", str(host))

    lodging._sweep()
    assert secret.read_text() == "kept"
    assert all((each / "held").exists() for each in (linked, short, elsewhere))

    owned = host / f"{lodging.NAME}strangers"[: len(lodging.NAME) + 8]
    owned.mkdir()
    (owned / "held").touch()
    monkeypatch.setattr(os, "geteuid", lambda: owned.stat().st_uid + 1)
    lodging._sweep()
    assert (owned / "held").exists()


def test_a_host_that_is_ready_waits_for_the_others(
    environment: Environment,
    connections: Callable[[], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It hears beats while another one still unpacks: it would take silence for our end."""
    assert connections
    settle, beat = outposts.Outpost.settle, outposts.Outpost.beat
    heard, is_enough = list[str](), threading.Event()

    def slowly(outpost: outposts.Outpost, parcel: packing.Parcel) -> None:
        settle(outpost, parcel)
        if outpost.host.name == "aitbc1":
            assert is_enough.wait(60), "the other one hears nothing meanwhile"

    def counted(outpost: outposts.Outpost) -> None:
        beat(outpost)
        if outpost.folder and outpost.host.name == "localhost":
            heard.append("")
            if len(heard) > 1:
                is_enough.set()

    monkeypatch.setattr(outposts.Outpost, "settle", slowly)
    monkeypatch.setattr(outposts.Outpost, "beat", counted)
    with outposts.stationed(environment, HOSTS, 2) as ways:
        assert [way["host"] for way in ways] == [*HOSTS]


def test_a_host_that_refuses_is_told_at_once(
    tmp_path: Path, environment: Environment, connections: Callable[[], list[int]]
) -> None:
    """Nobody waits for the others to unpack, and none of them keeps anything."""
    assert connections
    (tmp_path / "bin" / "ssh").write_text("#!/bin/sh\nexec sleep 600\n")
    wrong = tuple(
        replace(host, python="/bin/false") if host.name == "localhost" else host
        for host in environment.hosts
    )
    began = time.monotonic()

    with (
        pytest.raises(AitbcError, match="localhost takes no workers"),
        outposts.stationed(replace(environment, hosts=wrong), HOSTS, 2),
    ):
        pass
    assert time.monotonic() - began < 200, "not until the other one is given up"


def test_who_may_not_operate_a_mesh_puts_no_workers_on_its_hosts(
    tmp_path: Path,
    environment: Environment,
    connections: Callable[[], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is sent anywhere, and the refusal is in the audit log."""
    assert connections
    own = replace(environment, rules=structs.replace(environment.rules, source="origin"))
    monkeypatch.setattr(safekeeping, "load", lambda _environment: Allowed())

    with (
        pytest.raises(AitbcError, match="needs the role") as refused,
        outposts.stationed(own, HOSTS, 2),
    ):
        pass
    assert refused.value.exit_status is Exit.DENIED
    (entry,) = audit.path_of(own).read_text().splitlines()
    assert "load workers on localhost aitbc1" in entry
    assert not (tmp_path / "pids").exists()


def test_only_hosts_of_the_mesh_take_workers(environment: Environment) -> None:
    """Load comes from nowhere that the inventory does not name."""
    with (
        pytest.raises(UsageError, match="no host"),
        outposts.stationed(environment, ["elsewhere"], 1),
    ):
        pass


def test_a_host_that_cannot_be_reached_is_told_by_its_own_words(
    tmp_path: Path, environment: Environment, connections: Callable[[], list[int]]
) -> None:
    """Nothing has begun then."""
    assert connections
    (tmp_path / "bin" / "ssh").write_text("#!/bin/sh\necho no route to host >&2\nexit 255\n")

    with (
        pytest.raises(AitbcError, match="aitbc1 takes no workers: no route to host"),
        outposts.stationed(environment, HOSTS[1:], 1),
    ):
        pass
    assert left_on_hosts(tmp_path) == []


@pytest.mark.parametrize("command", ["", "ssh 'host"])
def test_what_is_no_command_starts_no_worker(command: str) -> None:
    """It is refused before anything begins."""
    with pytest.raises(UsageError, match="is no command"):
        outposts.started_by([command])


def test_a_worker_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    """Which one, and why; nobody waits for it."""
    ways = outposts.started_by(["no-such-program --now"])
    order = {**an_order(tmp_path, [1]), "ways": ways}

    with pytest.raises(AitbcError, match=r"worker 0 on `no-such-program --now` cannot be started"):
        a_swarm(order, []).run()


def run_while(
    tmp_path: Path, environment: Environment, act: Callable[[], None], **plan: Any
) -> dict[str, Any]:
    """Let a long run begin on both hosts, do something once it sends, and return how it ended."""
    has_begun: list[bool] = []

    def once(_swarm: Swarm) -> None:
        if not has_begun:
            has_begun.append(True)
            act()

    folder = tmp_path / "run"
    folder.mkdir()
    with (
        a_fake_mesh() as ports,
        outposts.stationed(environment, HOSTS, 2) as ways,
    ):
        order = {**an_order(folder, ports, for_s=600.0, workers=2, **plan), "ways": ways}
        return a_swarm(order, [], each_second=once).run()


def worker_on_aitbc1(tmp_path: Path) -> int:
    """Find the process on the host that is the second worker."""
    (found,) = (
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"/worker-1\0" in _read(path) and str(tmp_path).encode() in _read(path)
        if b"aitbc_load" in _read(path) and b"ssh" not in _read(path).split(b"\0")[1]
        if _read(path).split(b"\0")[0] not in {b"sh", b"env"}
    )
    return found


@pytest.mark.nightly
def test_a_cut_ssh_ends_the_run_invalid_and_the_worker(
    tmp_path: Path,
    environment: Environment,
    connections: Callable[[], list[int]],
    eventually: Callable[..., None],
) -> None:
    """Nothing goes through any more in either way, and neither end is told: both notice."""
    worker: list[int] = []

    def cut() -> None:
        worker.append(worker_on_aitbc1(tmp_path))
        for connection in connections():
            os.kill(connection, signal.SIGSTOP)
        eventually("the worker has ended", lambda: not _read(Path(f"/proc/{worker[0]}/cmdline")))

    try:
        result = run_while(tmp_path, environment, cut)
    finally:
        for connection in connections():
            with suppress(ProcessLookupError):
                os.kill(connection, signal.SIGCONT)

    assert result["verdict"] == "INVALID"
    assert "worker 1 on aitbc1 was lost: it said nothing for" in result["why"][0]
    assert result["workers"][0]["sent"] > 0
    eventually("nothing is left", lambda: not left_on_hosts(tmp_path))


@pytest.mark.nightly
def test_a_closed_ssh_ends_the_run_invalid_with_its_words(
    tmp_path: Path,
    environment: Environment,
    connections: Callable[[], list[int]],
    eventually: Callable[..., None],
) -> None:
    """SSH's own last words are the reason."""
    result = run_while(tmp_path, environment, lambda: os.kill(connections()[-1], signal.SIGTERM))

    assert result["verdict"] == "INVALID"
    assert result["why"][0] == (
        "worker 1 on aitbc1 was lost: SSH to it ended: Connection to aitbc1 closed by remote host."
    )
    eventually("nothing is left", lambda: not left_on_hosts(tmp_path))


@pytest.mark.proves("B13")
@pytest.mark.nightly
def test_a_frozen_worker_is_lost_within_five_seconds(
    tmp_path: Path,
    environment: Environment,
    connections: Callable[[], list[int]],
    eventually: Callable[..., None],
) -> None:
    """It lives, its SSH lives, and it answers no beat; it is killed when the run is over."""
    assert connections

    def freeze() -> None:
        os.kill(worker_on_aitbc1(tmp_path), signal.SIGSTOP)

    result = run_while(tmp_path, environment, freeze)

    assert result["verdict"] == "INVALID"
    lost, _, silent_s = result["workers"][1]["lost"].removesuffix(" s").rpartition(" ")
    assert lost == "it said nothing for"
    assert 4.0 < float(silent_s) < 5.0 or not is_believed(result), result["why"]
    eventually("nothing is left", lambda: not left_on_hosts(tmp_path))


CONTROLLER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from dataclasses import replace
from msgspec import structs
from pretend_swarm import a_swarm, an_order
from aitbc_toolkit import paths
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.suites import outposts

folder = Path(sys.argv[2])
found = Inventory.load("staging", folder=paths.inventories(), state=folder / "state")
hosts = tuple(replace(host, python=sys.executable) for host in found.hosts)
found = replace(found, hosts=hosts, rules=structs.replace(found.rules, source="forge"))
with outposts.stationed(found, ["localhost", "aitbc1"], 2) as ways:
    order = {**an_order(folder, [int(sys.argv[3])], for_s=600.0, workers=2), "ways": ways}
    a_swarm(order, [], each_second=lambda _: print("it sends", flush=True)).run()
"""


@pytest.mark.nightly
def test_a_killed_controller_leaves_no_worker(
    tmp_path: Path, connections: Callable[[], list[int]], eventually: Callable[..., None]
) -> None:
    """Hosts hear that nobody is there any more: workers are killed and their folders removed."""
    assert connections
    folder = tmp_path / "run"
    folder.mkdir()
    with a_fake_mesh() as ports:
        argv = [sys.executable, "-c", CONTROLLER, str(Path(__file__).parent), str(folder)]
        with subprocess.Popen([*argv, str(ports[0])], stdout=subprocess.PIPE) as controller:
            try:
                assert controller.stdout is not None
                assert controller.stdout.readline() == b"it sends\n"
                assert left_on_hosts(tmp_path)
            finally:
                controller.kill()

            eventually("nothing is left", lambda: not left_on_hosts(tmp_path))


@pytest.mark.nightly
def test_whoever_starts_workers_by_hand_has_one_run(tmp_path: Path) -> None:
    """`load worker` is all that a command has to be; what it writes comes back."""
    command = f"{paths.project_root()}/aitbc load worker"
    with a_fake_mesh(strict=True) as ports:
        order = an_order(tmp_path, ports, rate=60.0, for_s=2.0, workers=2)
        result = a_swarm({**order, "ways": outposts.started_by([command] * 2)}, []).run()

    assert (result["books"]["sent"], result["books"]["final"]) == (120, 120)
    assert [(each["sent"], each["lost"]) for each in result["workers"]] == [(60, "")] * 2
    assert "Tag=to_final" in (tmp_path / "worker-1" / "latencies.hlog").read_text()
