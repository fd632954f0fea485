"""Can what is fetched from hosts be put where the operator asked? Known before a host is asked."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aitbc_toolkit.errors import UsageError


@contextmanager
def prepared(folder: Path, *, hint: str, private: bool = False) -> Iterator[None]:
    """Have the folder from here on; one that was made here and stays empty goes again.

    Raises: UsageError when it cannot be made, or nothing can be written into it.
    """
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o755)
    except OSError as wrong:
        raise UsageError(f"{folder} cannot be made: {wrong.strerror}", hint=hint) from wrong
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"nothing can be written into {folder}", hint=hint)
    try:
        yield
    finally:
        if is_new:
            with suppress(OSError):  # it holds what was fetched
                folder.rmdir()
