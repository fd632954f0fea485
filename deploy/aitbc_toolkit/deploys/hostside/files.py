"""How are files written on a host so that a kill at any moment leaves the old or the new one?

Temporary name, fsync, rename, fsync of the folder. Standard library only; nothing here knows what
the files mean.
"""

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aitbc_toolkit.deploys.hostside.trouble import Trouble

_LOCK_POLL_S = 0.05
# What `env` leaves with when there is no such program.
_NOT_FOUND = 127


def write(path: Path, text: str, *, mode: int = 0o644, owner: str = "") -> bool:
    """Put `text` at `path`; tell whether anything changed.

    The folder may belong to somebody else: no link that he has put there is followed.
    """
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        if owner:
            shutil.chown(file.fileno(), owner, owner)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    sync_folder(path.parent)
    return True


def append_line(path: Path, line: str) -> None:
    """Add one whole line to a file that only grows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def point(link: Path, target: str) -> bool:
    """Make `link` point to `target` with one rename; tell whether that is a change."""
    if link.is_symlink() and os.readlink(link) == target:  # noqa: PTH115 - the text, not a path
        return False
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.rename(link)
    sync_folder(link.parent)
    return True


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder that becomes `path` when the block ends well, and nothing when not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.*.new"):
        shutil.rmtree(leftover)  # of a run that was killed; the lock says that nobody is at it
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    fresh.mkdir()
    try:
        yield fresh
        # One call for the whole file system costs less than an fsync of a thousand files.
        subprocess.run(["sync", "-f", fresh], check=True)  # noqa: S603, S607 - fixed words
        fresh.rename(path)
        sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, timeout_s: float = 5.0) -> Iterator[None]:
    """Hold the environment's lock on this host; the kernel drops it with this process.

    Raises: Trouble (busy) when another step holds it for longer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_s
    with path.open("a", encoding="ascii") as lock:
        while True:
            try:
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Trouble(f"another step holds {path}", kind="busy") from None
                time.sleep(_LOCK_POLL_S)
        yield


def call(
    argv: Sequence[str | Path],
    *,
    env: dict[str, str] | None = None,
    user: str = "",
    cwd: Path | None = None,
    stdin: str = "",
    timeout_s: float = 120.0,
) -> str:
    """Run a program to its end and return its output.

    Raises: Trouble with its last lines when it fails, is missing, or takes too long.
    """
    variables = {"LC_ALL": "C.UTF-8", **(env or {})}
    words = ["env", *(f"{name}={value}" for name, value in variables.items()), *map(str, argv)]
    program = str(argv[0])
    try:
        done = subprocess.run(  # noqa: S603 - argv never passes through a shell
            words,
            user=user or None,
            group=user or None,
            extra_groups=[] if user else None,
            cwd=cwd,
            input=stdin.encode(),
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise Trouble(f"{program} did not end within {timeout_s:.0f} s") from late
    if done.returncode == _NOT_FOUND:
        raise Trouble(f"{program} is not on this host", kind="missing")
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).decode(errors="replace")
        tail = "\n".join(said.splitlines()[-4:])
        raise Trouble(f"{' '.join(map(str, argv[:3]))} ended with {done.returncode}: {tail}")
    return done.stdout.decode(errors="replace")


def succeeds(
    argv: Sequence[str | Path], *, env: dict[str, str] | None = None, stdin: str = ""
) -> bool:
    """Tell whether a program ended with status 0.

    Raises: Trouble (missing) when it is not on this host, which is no answer.
    """
    try:
        call(argv, env=env, stdin=stdin)
    except Trouble as failure:
        if failure.kind == "missing":
            raise
        return False
    return True
