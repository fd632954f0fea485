"""Is what Python would run of a release compiled from the source that lies beside it?

A compiled module is run without a look at its source, as long as the times fit. So each one that
this Python would take is compared with what the source compiles to. Standard library only.
"""

import marshal
import sys
from collections.abc import Iterator
from pathlib import Path

_HEADER_BYTES = 16


def findings(folder: Path) -> list[str]:
    """Name the compiled modules below a folder that are not what their source says."""
    return [f"M {path.relative_to(folder)}" for path in _believed(folder) if not _is_true(path)]


def _believed(folder: Path) -> Iterator[Path]:
    """List what this Python would take: without a source beside its folder it takes none."""
    for path in sorted(folder.rglob(f"__pycache__/*.{sys.implementation.cache_tag}.pyc")):
        if _source(path).is_file():
            yield path


def _source(path: Path) -> Path:
    return path.parent.parent / f"{path.name.partition('.')[0]}.py"


def _is_true(path: Path) -> bool:
    source = _source(path)
    try:
        meant = compile(source.read_bytes(), str(source), "exec", dont_inherit=True, optimize=0)
        return bool(marshal.loads(path.read_bytes()[_HEADER_BYTES:]) == meant)  # noqa: S302 - root's own folder; what does not load or compile is a finding
    except (EOFError, OverflowError, RecursionError, SyntaxError, TypeError, ValueError):
        return False
