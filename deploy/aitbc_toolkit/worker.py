"""How does the child process start that speaks pyinfra? Early, where a command will surely ask.

Importing pyinfra takes as long as importing everything else that a command needs, so the two go
side by side. What the child is asked stands in `remote`. Standard library only: this module is
imported before all others.
"""

import subprocess
import sys

_spare: list[subprocess.Popen[str]] = []


def start_early() -> None:
    """Start the child that the first caller of `take` gets.

    One that nobody takes ends with its standard input, when this process does.
    """
    _spare.append(_start())


def take() -> subprocess.Popen[str]:
    """Give a child that listens: the one that was started early, or a new one."""
    return _spare.pop() if _spare else _start()


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
