"""How does the child process start that speaks pyinfra? Early, where a command will surely ask.

Importing pyinfra takes as long as importing everything else that a command needs, so the two go
side by side. What the child is asked stands in `remote`. Standard library only: this module is
imported before all others.
"""

import json
import subprocess
import sys
from contextlib import suppress
from typing import NamedTuple

CONNECT = json.dumps({"connect": "all"})
"""What a child is told that is to reach its hosts before it is asked anything."""


class _Spare(NamedTuple):
    """Hold a child that nobody has taken, and with what it was greeted; nothing yet is empty."""

    process: subprocess.Popen[str]
    hello: str = ""


_spare: list[_Spare] = []


def keep_compiled() -> None:
    """Let Python keep what it compiles from here on, also where the shell's variable forbids it.

    To compile some four hundred modules in every run takes longer than most runs take without.
    """
    sys.dont_write_bytecode = False


def start_early() -> None:
    """Start the child that the first caller of `take` gets.

    One that nobody takes ends with its standard input, when this process does.
    """
    _spare.append(_Spare(_start()))


def waits() -> bool:
    """Tell whether a child was started early that nobody has greeted."""
    return bool(_spare) and not _spare[-1].hello


def greet(hello: str) -> None:
    """Tell the child that was started early which hosts there are; it connects meanwhile."""
    if waits():
        process = _spare.pop().process
        _say(process, hello)
        _say(process, CONNECT)
        _spare.append(_Spare(process, hello))


def take(hello: str) -> subprocess.Popen[str]:
    """Give a child that was greeted so: the one that was started early, or a new one."""
    if _spare and _spare[-1].hello in {"", hello}:
        process, told = _spare.pop()
    else:
        process, told = _start(), ""
    if not told:
        _say(process, hello)
    return process


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # that it has ended is noticed when it is asked
        process.stdin.write(line + "\n")
        process.stdin.flush()


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "aitbc_toolkit.deploys"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C reaches the whole foreground group: the worker has to finish its step, so that we
        # can tell what was done and undo it.
        process_group=0,
    )
