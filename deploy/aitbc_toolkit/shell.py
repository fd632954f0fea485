"""How is another program run? argv in, result out, always with a deadline.

No shell ever parses what we pass, nothing outlives its deadline, and a failure arrives as one
`AitbcError`. Do not add knowledge of any particular program here.
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aitbc_toolkit.errors import AitbcError, Exit

_TAIL_LINES = 5


@dataclass(frozen=True, slots=True)
class Result:
    """Hold what a program answered; `status` is negative when a signal ended it."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    took_s: float

    @property
    def ok(self) -> bool:
        """Tell whether the program ended with status 0."""
        return self.status == 0

    @property
    def tail(self) -> str:
        """Give the last lines that say why it failed."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float = 60.0,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
    hint: str = "",
) -> Result:
    """Run a program to its end; `env` is added to our own environment.

    Raises: AitbcError when it is missing, when its deadline passes (its whole process group is
    ended), and, with `check`, when its status is not 0.
    """
    words = tuple(str(word) for word in argv)
    began = time.monotonic()
    try:
        child = subprocess.Popen(  # noqa: S603 - argv never passes through a shell
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "PATH": search_path(), **(env or {})},
            cwd=cwd,
            process_group=0,
        )
    except FileNotFoundError as missing:
        raise AitbcError(
            f"{words[0]} is not here: {missing.filename}",
            exit_status=Exit.CONFIG,
            hint=hint or f"install {Path(words[0]).name}, or name its folder in PATH",
        ) from missing
    with child:
        stdout, stderr = _converse(child, words=words, stdin=stdin, timeout_s=timeout_s)
    took_s = time.monotonic() - began
    result = Result(words, child.returncode, stdout, stderr, took_s)
    if check and not result.ok:
        raise AitbcError(_failure(result), hint=hint or "try it by hand to see all that it says")
    return result


def attach(argv: Sequence[str | Path]) -> int:
    """Run a program on our own terminal until it ends; return its status as a shell would."""
    status = subprocess.run([str(word) for word in argv], check=False).returncode  # noqa: S603 - argv never passes through a shell
    return status if status >= 0 else 128 - status


def search_path() -> str:
    """Give the folders where programs are looked for.

    System programs are found also where the operator's own path leaves their folders out, as it
    does after a plain `su`.
    """
    return os.pathsep.join([*os.get_exec_path(), "/usr/sbin", "/sbin"])


def detach(argv: Sequence[str | Path], *, log: Path) -> None:
    """Start a program that outlives us, in a session of its own, with its output in `log`."""
    with log.open("ab") as output:
        subprocess.run(  # noqa: S603 - argv never passes through a shell
            ["setsid", "--fork", *(str(word) for word in argv)],  # noqa: S607 - found on PATH like all system programs
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PATH": search_path()},
            cwd="/",
            check=True,
        )


def quoted(argv: Sequence[str | Path]) -> str:
    """Write a command as a person could paste it."""
    return shlex.join(str(word) for word in argv)


def _converse(
    child: subprocess.Popen[str], *, words: tuple[str, ...], stdin: str, timeout_s: float
) -> tuple[str, str]:
    try:
        return child.communicate(stdin, timeout=timeout_s)
    except subprocess.TimeoutExpired as late:
        _end_group(child)
        raise AitbcError(
            f"{words[0]} did not end within {timeout_s:.0f} s: {quoted(words)[:200]}",
            hint=f"try it by hand: {quoted(words)[:200]}",
            exit_status=Exit.DEADLINE,
        ) from late
    except BaseException:
        _end_group(child)
        raise


def _end_group(child: subprocess.Popen[str]) -> None:
    """End the program and what it started; the group exists until we wait for its leader."""
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _failure(result: Result) -> str:
    first = f"{quoted(result.argv)[:200]} ended with status {result.status}"
    return f"{first}\n{result.tail}" if result.tail else first
