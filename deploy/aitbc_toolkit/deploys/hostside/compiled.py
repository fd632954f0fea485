"""Is what Python would run of a release compiled from the source that lies beside it?

A compiled module is run without a look at its source, as long as the times fit. So each one that
this Python would take is compared with what the source compiles to. That costs as much as compiling
the release again; so a step that has compiled one writes down, away from the release, what came of
it, and as long as nothing else lies there that is enough. Standard library only.
"""

import hashlib
import json
import marshal
import sys
from collections.abc import Iterator
from pathlib import Path

from aitbc_toolkit.deploys.hostside import files

_HEADER_BYTES = 16
_SEALS = "compiled.json"


def findings(folder: Path, *, seal: str = "") -> list[str]:
    """Name the compiled modules below a folder that are not what their source says.

    With the seal of its release, a folder that still has it is not compiled again. What has become
    of the sources since is for others to see: they are compared with the commit.
    """
    if seal and seal == _seal_of(folder):
        return []
    return [f"M {path.relative_to(folder)}" for path in _believed(folder) if not _is_true(path)]


def keep_seal(state: Path, release: Path, *, commit: str) -> None:
    """Write down what the release of a commit is compiled to, by the step that has just done it.

    Releases that are gone are forgotten.
    """
    known = {name: seal for name, seal in _seals(state).items() if (release.parent / name).is_dir()}
    known[commit] = _seal_of(release)
    files.write(state / _SEALS, json.dumps(known, sort_keys=True))


def seal(state: Path, commit: str) -> str:
    """Read what a release was compiled to; nothing of one that no step has written down."""
    return _seals(state).get(commit, "")


def _seals(state: Path) -> dict[str, str]:
    path = state / _SEALS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}  # then everything is compiled and compared
    return found if isinstance(found, dict) else {}


def _seal_of(folder: Path) -> str:
    """Digest the code of each module that this Python would take, with its place."""
    parts = [
        f"{path.relative_to(folder)} {hashlib.sha256(_code(path)).hexdigest()}"
        for path in _believed(folder)
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _believed(folder: Path) -> Iterator[Path]:
    """List what this Python would take: without a source beside its folder it takes none."""
    for path in sorted(folder.rglob(f"__pycache__/*.{sys.implementation.cache_tag}.pyc")):
        if _source(path).is_file():
            yield path


def _source(path: Path) -> Path:
    return path.parent.parent / f"{path.name.partition('.')[0]}.py"


def _code(path: Path) -> bytes:
    return path.read_bytes()[_HEADER_BYTES:]


def _is_true(path: Path) -> bool:
    source = _source(path)
    try:
        meant = compile(source.read_bytes(), str(source), "exec", dont_inherit=True, optimize=0)
        return bool(marshal.loads(_code(path)) == meant)  # noqa: S302 - root's own folder; what does not load or compile is a finding
    except (EOFError, OverflowError, RecursionError, SyntaxError, TypeError, ValueError):
        return False
