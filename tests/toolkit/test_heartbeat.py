"""A heart that stops is noticed: by the process itself, with where it hangs, and by systemd."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aitbc_node import heartbeat
from aitbc_node.heartbeat import ALARM_S, Heart
from aitbc_toolkit.render import RestartPolicy

HANGS = """
import time
from aitbc_node.heartbeat import Heart

def where_it_hangs():
    while True:
        pass

Heart("", alarm_s=0.3).beat()
where_it_hangs()
"""

WAKES_LATE = """
import time
from aitbc_node import heartbeat

heart = heartbeat.Heart("")
heart.beat()
now = time.monotonic() + heartbeat.ALARM_S
heartbeat.time.monotonic = lambda: now

def where_it_wakes():
    heart.beat()

where_it_wakes()
"""

LOADS = """
import faulthandler
import sys

alarms = []
faulthandler.dump_traceback_later = lambda *_limit, **_end: alarms.append("set")

class Loader:
    def find_spec(self, name, path=None, target=None):
        if name == "aitbc_node.process":
            print("alarms:", len(alarms))
            raise SystemExit(3)

sys.meta_path.insert(0, Loader())
from aitbc_node.__main__ import main
main(["run", "--config", "node.toml"])
"""


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    """Be what systemd is to its services."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(60)
        yield sock


def heard(sock: socket.socket) -> list[str]:
    """Return what has been told so far."""
    found = []
    sock.settimeout(0)
    try:
        while True:
            found.append(sock.recv(100).decode())
    except BlockingIOError:
        return found


def test_beats_are_told_seldom(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heart that beats a thousand times a second tells systemd every four seconds."""
    now = [1000.0]
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now[0])
    heart = Heart(listening.getsockname())

    heart.ready()
    for _ in range(13_000):
        heart.beat()
        now[0] += 0.001
    heart.rest()

    assert heard(listening) == ["READY=1", *["WATCHDOG=1"] * 4, "STOPPING=1"]


def test_waiting_on_purpose_is_no_silence(listening: socket.socket) -> None:
    """The wait between two starts may be a minute; whoever waits for beats hears them."""
    heart = Heart(listening.getsockname(), alarm_s=0.3)

    heart.sleep(0.5)
    heart.rest()

    assert heard(listening).count("WATCHDOG=1") >= 4


def test_an_abstract_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Systemd may give a name that is no file."""
    name = f"aitbc-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)

        Heart(heartbeat.notify_address()).ready()

        assert heard(sock) == ["READY=1"]


def test_nobody_listens(tmp_path: Path) -> None:
    """A manager that is gone, or none at all, is no reason to end a node."""
    for address in ("", str(tmp_path / "gone")):
        heart = Heart(address)
        heart.ready()
        heart.beat()
        heart.rest()


def test_no_alarm_waits_for_code_that_is_being_loaded(listening: socket.socket) -> None:
    """Loading takes longer than an alarm on a busy machine, and who ends for it begins anew."""
    environment = {**os.environ, "NOTIFY_SOCKET": listening.getsockname()}

    done = subprocess.run(
        [sys.executable, "-c", LOADS], env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (3, "alarms: 0\n", "")
    assert heard(listening) == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    ("program", "where"),
    [(HANGS, "where_it_hangs"), (WAKES_LATE, "where_it_wakes")],
    ids=["hangs", "was stopped and beats before its alarm runs"],
)
def test_a_process_that_was_silent_ends_and_says_where(program: str, where: str) -> None:
    """Status 1, so that it is restarted, and the stack of every thread in the log."""
    began = time.monotonic()

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )

    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert where in done.stderr
    assert time.monotonic() - began < 20


def test_the_alarm_comes_before_the_kill_and_both_in_time() -> None:
    """What hangs gets into the log first; silence and restart are within the promised 20 s."""
    policy = RestartPolicy()

    assert policy.silence_s > ALARM_S
    assert policy.silence_s + policy.delay_s < 20
