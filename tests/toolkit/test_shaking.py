"""Two builds as two processes: they read each other's examples, and shake hands over real TLS."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from aitbc_node.gossip.messages import Message
from aitbc_node.version import VERSION

SHAKE = ["wire", "shake", "--deadline", "15"]
OTHER_BUILD = """
import sys
import aitbc_node.{module} as changed
changed.{name} = {value}
from aitbc_node.__main__ import main
sys.exit(main())
"""


def a_build(folder: Path, module: str, name: str, value: str) -> list[str]:
    """Return how to run a build in which one thing is different."""
    program = folder / f"{name}.py"
    program.write_text(OTHER_BUILD.format(module=module, name=name, value=value))
    return [sys.executable, str(program)]


THIS = [sys.executable, "-m", "aitbc_node"]


def shaken(acceptor: list[str], dialer: list[str]) -> list[tuple[int, dict[str, Any]]]:
    """Let two builds shake hands; return status and answer of both, the acceptor first."""
    with subprocess.Popen([*acceptor, *SHAKE], stdout=subprocess.PIPE, text=True) as accepting:
        assert accepting.stdout is not None
        invited = json.loads(accepting.stdout.readline())
        argv = [*dialer, *SHAKE, "--dial", invited["address"], "--peer", invited["peer"]]
        dialled = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False, timeout=60)
        answer = accepting.stdout.readline()
        status = accepting.wait(60)
    return [(status, json.loads(answer)), (dialled.returncode, json.loads(dialled.stdout))]


def test_a_build_shakes_hands_with_itself() -> None:
    """Both sides are linked, have read one of each message, and name the other's release."""
    for status, told in shaken(THIS, THIS):
        assert (status, told["ok"], told["refused"]) == (0, True, [])
        assert told["frames"] == len(get_args(Message)) + 1
        assert told["release"] == VERSION


@pytest.mark.parametrize("other_dials", [True, False])
def test_check_20_another_protocol_version_is_refused(tmp_path: Path, *, other_dials: bool) -> None:
    """No link comes about, and both sides end with status 1 and the reason."""
    other = a_build(tmp_path, "transport.handshake", "PROTOCOL_VERSION", "2")

    both = shaken(THIS, other) if other_dials else shaken(other, THIS)

    assert {status for status, _ in both} == {1}
    assert any("protocol version" in told["why"] for _, told in both)


def test_check_20_a_frame_that_the_other_cannot_read_is_named(tmp_path: Path) -> None:
    """The link stands, but one message is not understood."""
    strange = "lambda _release: iter([bytes.fromhex('92a46769667401')])"
    other = a_build(tmp_path, "wire", "frames", strange)

    (status, told), (_, theirs) = shaken(THIS, other)

    assert (status, told["ok"]) == (1, False)
    assert "no message" in told["refused"][0]
    assert theirs["ok"], "the other build does understand this one"


def test_nobody_comes() -> None:
    """A shake that never happens ends at its deadline with status 124, which is no pass."""
    argv = [*THIS, "wire", "shake", "--deadline", "0.2"]

    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 124
    assert "error: no link within" in done.stderr


def test_the_commands_fit_together() -> None:
    """`wire write | wire read` is the gate of a build with itself."""
    document = subprocess.run(
        [*THIS, "wire", "write"], capture_output=True, check=True, timeout=60
    ).stdout

    done = subprocess.run(
        [*THIS, "wire", "read"], input=document, capture_output=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["ok"]
