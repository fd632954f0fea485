"""A run on a real terminal: one region redrawn in place, and the terminal is given back."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

DEADLINE_S = 90.0

PROGRAM = """
import sys, threading
from aitbc_toolkit.cli.narration import narrate
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.progress import note, step

def work(tell):
    with step(tell, "stage", "1 host"):
        pass
    node = {"host": "lab1", "role": "validator", "power": 1, "from": "", "to": "c41d9aa"}
    tell({"type": "course", "action": "deploy", "environment": "lab", "run": "3e9f10aa",
          "commit": "c41d9aa", "waves": [["v1"]], "arrived": [], "nodes": {"v1": node}})
    note(tell, "a remark")
    fields = {"type": "wave", "nodes": ["v1"], "place": "wave 1/1"}
    tell({**fields, "state": "begin", "text": "wave 1/1 v1 restart"})
    if "wait" in sys.argv:
        threading.Event().wait()
    tell({**fields, "state": "done", "text": "wave 1/1 v1 ok voted in 3 heights", "took_s": 1.0})
    return Outcome(Exit.OK, ["Deployed c41d9aa to lab"])

sys.exit(narrate("deploy", work, as_json=False, waves=True))
"""

LOAD = """
import sys
from types import SimpleNamespace
from aitbc_toolkit.cli import swarm_view

asked = SimpleNamespace(scenario="load/steady", rate=50.0, for_s=30.0, seed=7)
second = dict.fromkeys(("offered", "accepted", "final", "refused", "pending", "height"), 5)
second |= dict.fromkeys(("p50_ms", "p95_ms", "p99_ms", "lag_p99_ms"), 2.5)
with swarm_view.shown(asked, "dev") as tell:
    for at_s in (1.0, 2.0):
        tell("second", {**second, "at_s": at_s, "verdict": "PASS", "heights": {"v1": 18_204}})
print("load/steady on dev: PASS")
"""


@dataclass
class Terminal:
    """Be the terminal of one child, and keep what it wrote."""

    master: int
    slave: int
    said: str = ""
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(
        self, *words: str, program: str = PROGRAM, term: str = "xterm", **more: str
    ) -> subprocess.Popen[bytes]:
        """Start a program with all three streams on this terminal."""
        keep = {name: text for name, text in os.environ.items() if name not in {"COLUMNS", "LINES"}}
        child = subprocess.Popen(
            [sys.executable, "-c", program, *words],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env={**keep, "TERM": term, **more},
        )
        self.children.append(child)
        return child

    def read_until(self, condition: Callable[[], bool], what: str) -> None:
        """Read what is written until the condition holds, then the rest that is there."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition() or select.select([self.master], [], [], 0)[0]:
            assert time.monotonic() < deadline, f"waited for {what}, saw {self.said!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.said += os.read(self.master, 65536).decode()

    def screen(self) -> list[str]:
        """Give the lines that stand there now, as a terminal draws what was written."""
        lines, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[[?0-9;]*[a-zA-Z]|[\r\n]|[^\x1b\r\n]+", self.said):
            if part == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            elif part == "\r":
                column = 0
            elif part == "\x1b[2K":
                lines[row] = ""
            elif part[0] == "\x1b":
                row -= int(part[2:-1] or 1) if part[-1] == "A" else 0
            else:
                lines[row] = lines[row][:column].ljust(column) + part
                column += len(part)
        return [line.rstrip() for line in lines]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A terminal of 80 columns and 24 rows; what ran on it is gone afterwards."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    made = Terminal(master, slave)
    yield made
    for child in made.children:
        child.kill()
        child.wait()
    os.close(master)
    os.close(slave)


def test_the_last_picture_stands_above_the_result(terminal: Terminal) -> None:
    """What was redrawn leaves one picture; a note was kept above it; the result comes last."""
    child = terminal.run()

    terminal.read_until(lambda: child.poll() is not None, "the end of the run")

    text = re.sub(r"\d+\.\d s|\d:\d\d", "N", "\n".join(terminal.screen()))
    assert child.returncode == 0
    assert text.splitlines() == [
        "a remark",
        "Deploy lab: c41d9aa    run 3e9f10a",
        "  stage N",
        "",
        "  wave  host  node  release  state",
        "  1 ok  lab1  v1    c41d9aa  voted in 3 heights",
        "",
        "  elapsed  N",
        "",
        "Deployed c41d9aa to lab",
    ]


def test_ctrl_c_gives_the_terminal_back(terminal: Terminal) -> None:
    """The cursor is shown again, modes are as before, and the picture so far stays."""
    before = termios.tcgetattr(terminal.slave)
    child = terminal.run("wait")
    terminal.read_until(lambda: "restarting" in terminal.said, "the wave")

    child.send_signal(signal.SIGINT)
    terminal.read_until(lambda: child.poll() is not None, "the end of the run")

    assert terminal.said.rindex("\x1b[?25h") > terminal.said.rindex("\x1b[?25l")
    assert termios.tcgetattr(terminal.slave) == before
    assert any("restarting" in line for line in terminal.screen())


def test_no_colour_where_none_is_wanted(terminal: Terminal) -> None:
    """`NO_COLOR` leaves words only; the region is redrawn all the same."""
    child = terminal.run(NO_COLOR="1")

    terminal.read_until(lambda: child.poll() is not None, "the end of the run")

    codes = {
        code for told in re.findall(r"\x1b\[([0-9;]*)m", terminal.said) for code in told.split(";")
    }
    assert not {code for code in codes if code.startswith(("3", "4", "9")) and len(code) > 1}
    assert any("voted in 3 heights" in line for line in terminal.screen())


def test_a_dumb_terminal_gets_plain_lines(terminal: Terminal) -> None:
    """Nothing is redrawn where the terminal cannot."""
    child = terminal.run(term="dumb")

    terminal.read_until(lambda: child.poll() is not None, "the end of the run")

    assert "wave 1/1 v1 ok voted in 3 heights" in terminal.said
    assert "\x1b[?25l" not in terminal.said


@pytest.mark.nightly
def test_a_load_run_is_redrawn_in_place(terminal: Terminal) -> None:
    """One picture of its last second is left above the result."""
    child = terminal.run(program=LOAD)

    terminal.read_until(lambda: child.poll() is not None, "the end of the run")

    assert child.returncode == 0
    text = "\n".join(terminal.screen())
    assert "\x1b[?25l" in terminal.said
    assert text.count("load/steady on dev: 50 a second for 30 s, seed 7") == 1
    assert "  heights    v1 18,204" in text
    assert "  so far     PASS" in text
    assert text.splitlines()[-1] == "load/steady on dev: PASS"
    assert "Ctrl-C" not in text


@pytest.mark.nightly
def test_a_load_run_on_a_dumb_terminal_is_a_line_a_second(terminal: Terminal) -> None:
    """Nothing is redrawn where the terminal cannot."""
    child = terminal.run(program=LOAD, term="dumb")

    terminal.read_until(lambda: child.poll() is not None, "the end of the run")

    assert terminal.said.count("height 18,204") == 2
    assert "\x1b[?25l" not in terminal.said
