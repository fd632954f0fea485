"""The child process that speaks pyinfra: started early, taken once, gone when nobody asks."""

import json
import select
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pretend_hosts import PretendHosts

from aitbc_toolkit import worker

_DEADLINE_S = 90.0


def hello(folder: Path, **hosts: Mapping[str, Any]) -> str:
    """Name hosts, and a log in a folder."""
    return json.dumps({"hosts": hosts, "log": str(folder / "deploys.log")})


@contextmanager
def dead_end() -> Iterator[tuple[int, list[int]]]:
    """Take calls and hang up on each; give the port, and a list that grows with every call."""
    calls: list[int] = []

    class HangUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            calls.append(1)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), HangUp) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], calls
        server.shutdown()


def test_the_child_that_was_started_early_is_the_one_that_is_taken(tmp_path: Path) -> None:
    """Who asks first gets the early child; who asks next gets another."""
    worker.start_early()
    ((early, _),) = worker._spare

    first, second = worker.take(hello(tmp_path)), worker.take(hello(tmp_path))

    assert first is early
    assert second is not early
    for child in (first, second):
        child.communicate(timeout=_DEADLINE_S)


def test_a_child_that_nobody_asks_ends_with_its_input_and_says_nothing() -> None:
    """A command that came to no host leaves no process and no traceback behind."""
    worker.start_early()
    child, _ = worker._spare.pop()

    said, _ = child.communicate(timeout=_DEADLINE_S)

    assert (child.returncode, said) == (0, "")


def test_what_a_library_says_goes_to_the_environments_log(tmp_path: Path) -> None:
    """Answers alone stand on standard output; the log is where the hello says."""
    child = worker.take(hello(tmp_path))

    said, _ = child.communicate(timeout=_DEADLINE_S)

    assert (child.returncode, said) == (0, "")
    assert (tmp_path / "deploys.log").is_file()


def test_a_child_that_was_greeted_for_other_hosts_is_not_taken(tmp_path: Path) -> None:
    """Whoever asks about one environment gets no child that has connected to another."""
    worker.start_early()
    worker.greet(hello(tmp_path, here={}))
    ((early, _),) = worker._spare

    other = worker.take(hello(tmp_path))
    same = worker.take(hello(tmp_path, here={}))

    assert other is not early
    assert same is early
    for child in (other, same):
        child.communicate(timeout=_DEADLINE_S)


def test_hosts_are_reached_before_anybody_asks(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """The first step goes through the connection that is there; who was not reached is told."""
    (tmp_path / "known_hosts").touch()
    with dead_end() as (port, dialled):
        away = {
            "ssh_hostname": "127.0.0.1",
            "ssh_port": port,
            "ssh_known_hosts_file": str(tmp_path / "known_hosts"),
            "ssh_config_file": "/dev/null",
        }
        worker.start_early()
        worker.greet(hello(tmp_path, here={}, away=away))
        eventually("the early call", lambda: bool(dialled), deadline_s=_DEADLINE_S)
        child = worker.take(hello(tmp_path, here={}, away=away))
        assert child.stdin is not None
        params = PretendHosts(tmp_path, ("here",)).params("here") | {"lines": 1}
        job = {"step": "watch", "params": {"here": params, "away": params}}
        child.stdin.write(json.dumps({"job": 1, "deadline_s": 60, **job}) + "\n")
        said, _ = child.communicate(timeout=_DEADLINE_S)

    rows = json.loads(said)["rows"]
    assert rows["here"]["ok"]
    assert rows["away"]["kind"] == "unreachable"
    assert rows["away"]["error"].startswith("unreachable: ")


def test_a_step_waits_for_no_host_but_its_own(tmp_path: Path) -> None:
    """One that is slow to answer is waited for by whoever asks it, and by nobody else."""
    (tmp_path / "known_hosts").touch()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = {
            "ssh_hostname": "127.0.0.1",
            "ssh_port": silent.getsockname()[1],
            "ssh_known_hosts_file": str(tmp_path / "known_hosts"),
            "ssh_config_file": "/dev/null",
            # Nobody says a word there: to wait for it is to wait for ever.
            "ssh_paramiko_connect_kwargs": {"timeout": 3_600, "banner_timeout": 3_600},
        }
        worker.start_early()
        worker.greet(hello(tmp_path, here={}, away=away))
        child = worker.take(hello(tmp_path, here={}, away=away))
        silent.settimeout(_DEADLINE_S)
        call, _ = silent.accept()
        assert child.stdin is not None
        assert child.stdout is not None
        params = PretendHosts(tmp_path, ("here",)).params("here") | {"lines": 1}
        job = {"job": 1, "step": "watch", "params": {"here": params}, "deadline_s": 60}
        child.stdin.write(json.dumps(job) + "\n")
        child.stdin.flush()
        answered, _, _ = select.select([child.stdout], [], [], _DEADLINE_S)
        rows = json.loads(child.stdout.readline())["rows"] if answered else {}
        call.close()
        child.communicate(timeout=_DEADLINE_S)

    assert rows["here"]["ok"]
