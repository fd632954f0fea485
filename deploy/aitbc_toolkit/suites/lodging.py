"""How does a host keep what workers of a swarm run from? In one folder, while somebody is there.

This program travels over SSH and stays in no file. It takes an archive, says where it has unpacked
it, and waits. When its input ends, or is silent for `SILENT_S`, it kills whatever runs from the
folder and removes it: no worker outlives whoever started it, and nothing of it stays. Standard
library only, and nothing of ours.
"""

import fcntl
import hashlib
import json
import os
import select
import shutil
import signal
import stat
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

SILENT_S = 10.0
NAME = "aitbc-load-"
CODE = "code"
_HELD = "held"
_FOLDERS = f"{NAME}????????"
"""As `mkdtemp` names them: none of the names is the beginning of another."""
_PIECE = 1 << 16
_KILL_S = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Gone(Exception):  # noqa: N818 - a state of whoever asked, and no mistake
    """Nobody is there any more."""


class Unfit(Exception):  # noqa: N818 - what is told, named as it is
    """A host cannot use what it was sent."""


def main() -> None:
    """Keep what comes in on standard input, and tell on standard output where it is."""
    for number in _SIGNALS:
        signal.signal(number, _leave)
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=NAME))
    held: Any = None
    try:
        held = _hold(folder)
        _tell(folder=str(folder), **_unpacked(folder))
        while True:
            _more()
    except Gone:
        pass
    except (Unfit, OSError, ValueError, tarfile.TarError) as wrong:
        _tell(error=str(wrong))
    finally:
        for number in _SIGNALS:  # nothing is left half removed
            signal.signal(number, signal.SIG_IGN)
        _empty(folder)
    del held


def _leave(_number: int, _frame: object) -> NoReturn:
    raise Gone


def _hold(folder: Path) -> Any:
    """Lock a folder for as long as this process lives, and only then give the lock its name."""
    lock = (folder / f".{_HELD}").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / f".{_HELD}").rename(folder / _HELD)
    return lock


def _sweep() -> None:
    """Remove what one of this user's keepers has left that was killed, or whose host was.

    Anybody may make a folder of such a name here: what is a link or another's is not touched.
    """
    for folder in Path(tempfile.gettempdir()).glob(_FOLDERS):
        with suppress(OSError):
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                continue
            lock = os.open(folder / _HELD, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _empty(folder)
            finally:
                os.close(lock)


def _unpacked(folder: Path) -> dict[str, Any]:
    """Take the archive, and unpack it where it is what it should be. Raises: Gone, Unfit."""
    head, rest = _line()
    wanted = json.loads(head)
    own = [sys.implementation.cache_tag, sysconfig.get_platform()]
    if own != wanted["kind"]:
        raise Unfit(f"its Python is {' on '.join(own)}, here runs {' on '.join(wanted['kind'])}")
    path, digest, left = folder / "parcel", hashlib.sha256(), wanted["bytes"]
    with path.open("wb") as file:
        while left:
            piece = (rest or _more())[:left]
            rest = b""
            file.write(piece)
            digest.update(piece)
            left -= len(piece)
    if digest.hexdigest() != wanted["sha256"]:
        raise Unfit("what arrived is not what was sent: its hash is another one")
    with tarfile.open(path) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder / CODE)  # noqa: S202 - its hash is that of what we wrote
    path.unlink()
    return {"sha256": wanted["sha256"]}


def _line() -> tuple[bytes, bytes]:
    data = b""
    while b"\n" not in data:
        data += _more()
    head, _, rest = data.partition(b"\n")
    return head, rest


def _more() -> bytes:
    """Wait for more. Raises: Gone where nothing comes, or never will."""
    ready, _, _ = select.select([0], [], [], SILENT_S)
    piece = os.read(0, _PIECE) if ready else b""
    if not piece:
        raise Gone
    return piece


def _tell(**named: Any) -> None:
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(named) + "\n")
        sys.stdout.flush()


def _empty(folder: Path) -> None:
    """Kill what runs from a folder, and remove it with all that is in it.

    The mark by which the next keeper finds what is left goes last.
    """
    until = time.monotonic() + _KILL_S
    while (running := list(_running(folder))) and time.monotonic() < until:
        for process in running:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.02)
    for path in folder.glob("*"):
        if path.name != _HELD and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != _HELD:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _running(folder: Path) -> Iterator[int]:
    """Find the processes that name the folder in their command, but for those that are dead."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            named = str(folder).encode() in (process / "cmdline").read_bytes()
            if named and int(process.name) != os.getpid():
                yield int(process.name)


if __name__ == "__main__":
    main()
