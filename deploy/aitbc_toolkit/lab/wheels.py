"""How do hosts that cannot reach the internet get their packages? From this machine's uv cache.

The cache is filled here, once per lock, and mounted into every host; with `UV_OFFLINE=1` a host
then needs no network. Do not add how a host builds its environment: that is the deploy's.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, ConfigError
from aitbc_toolkit.lab.image import find_uv
from aitbc_toolkit.lab.locking import locked
from aitbc_toolkit.lab.model import UV_CACHE_ON_HOST
from aitbc_toolkit.lab.places import Places

# The interpreter of the image; a wheel for another minor version would not serve the hosts.
PYTHON_VERSION = "3.11"

HOST_ENVIRONMENT = {
    "UV_CACHE_DIR": UV_CACHE_ON_HOST,
    "UV_OFFLINE": "1",
    "UV_LINK_MODE": "copy",  # a hard link never crosses from one mount to another
    "UV_PYTHON_DOWNLOADS": "never",
}

_FILL_TIMEOUT_S = 600.0


def warm_cache(lock_file: Path, *, places: Places | None = None) -> bool:
    """Put everything that a lock names into the cache; return whether there was work to do.

    Raises: ConfigError when there is no such lock, AitbcError when it cannot be installed here.
    """
    where = places or Places.of()
    if not lock_file.is_file():
        raise ConfigError(f"there is no lock {lock_file}", hint="aitbc locks update")
    uv = find_uv()
    filled = where.uv_cache / "filled" / _digest(uv, lock_file)
    if filled.is_file():
        return False
    with locked(where.cache / "uv.lock", timeout_s=_FILL_TIMEOUT_S, what="the wheel cache"):
        if filled.is_file():
            return False
        _fill(uv, lock_file=lock_file, cache=where.uv_cache)
        filled.parent.mkdir(parents=True, exist_ok=True)
        filled.touch()
    return True


def fill_argv(uv: Path, *, lock_file: Path, venv: Path) -> tuple[list[str], list[str]]:
    """Write the two commands that install a lock once, for the sake of the cache."""
    return (
        [str(uv), "venv", "--quiet", "--python", PYTHON_VERSION, str(venv)],
        [
            *(str(uv), "pip", "sync", "--quiet", "--require-hashes"),
            *("--python", f"{venv}/bin/python", str(lock_file)),
        ],
    )


def _digest(uv: Path, lock_file: Path) -> str:
    """Name what was put into the cache; another uv may keep its cache in another shape."""
    version = shell.run([uv, "--version"]).stdout
    return hashlib.sha256(version.encode() + lock_file.read_bytes()).hexdigest()


def _fill(uv: Path, *, lock_file: Path, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    environment = {"UV_CACHE_DIR": str(cache), "UV_PYTHON_DOWNLOADS": "never"}
    for leftover in cache.parent.glob("scratch-*"):
        shutil.rmtree(leftover)  # of a command that was killed: we hold the lock
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix="scratch-") as scratch:
        venv = Path(scratch) / "venv"
        for argv in fill_argv(uv, lock_file=lock_file, venv=venv):
            result = shell.run(argv, env=environment, timeout_s=_FILL_TIMEOUT_S, check=False)
            if not result.ok:
                raise AitbcError(
                    f"packages of {lock_file.name} failed to install\n{result.tail}",
                    hint=f"uv pip sync --require-hashes {lock_file}",
                )
