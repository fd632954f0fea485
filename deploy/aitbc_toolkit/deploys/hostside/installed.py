"""Is an environment what its lock names, and are its files those that its packages brought?

Packages are judged by the lock whose hash is the environment's name, files by what each package
recorded of them. Standard library only.
"""

import base64
import csv
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

_FINDINGS = 20
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s\\;]+)[ ]*(;)?", re.MULTILINE)
_HASH_CHARS = 16
# What uv puts into each environment before any package.
_OF_THE_VENV = ("_virtualenv.pth", "_virtualenv.py")


def findings(venv: Path, base: Path) -> list[str]:
    """Compare an environment with the lock that names it, and its files with their records."""
    lock = _lock_of(venv, base)
    found = [] if lock is None else list(_packages(venv, lock))
    found += _edited_files(venv)
    found += _added_files(venv)
    more = len(found) - _FINDINGS
    return [*found[:_FINDINGS], *([f"and {more} more"] if more > 0 else [])]


def _lock_of(venv: Path, base: Path) -> str | None:
    """Find the text of the lock whose hash is the environment's name."""
    for path in base.glob("releases/*/locks/node.lock"):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest()[:_HASH_CHARS] == venv.name:
            return content.decode()
    return None


def _packages(venv: Path, lock: str) -> Iterator[str]:
    pinned = [(_plain(name), version, marker) for name, version, marker in _PINNED.findall(lock)]
    wanted = {name: version for name, version, _ in pinned}
    # What is pinned behind a marker may be meant for another kind of machine.
    needed = {name for name, _, marker in pinned if not marker}
    there = {}
    for folder in venv.glob("lib/python*/site-packages/*.dist-info"):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        there[_plain(name)] = version
    for name in sorted(needed - there.keys()):
        yield f"{name} {wanted[name]} is missing"
    for name in sorted(there.keys() - wanted.keys()):
        yield f"{name} {there[name]} is not in the lock"
    for name in sorted(there.keys() & wanted.keys()):
        if there[name] != wanted[name]:
            yield f"{name} is {there[name]}, the lock says {wanted[name]}"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _edited_files(venv: Path) -> Iterator[str]:
    for record in sorted(venv.glob("lib/python*/site-packages/*.dist-info/RECORD")):
        packages = record.parent.parent
        with record.open(encoding="utf-8", newline="") as lines:
            for name, digest, _size in csv.reader(lines):
                if digest.startswith("sha256=") and not _is_recorded(packages / name, digest):
                    yield f"{name} is not as its package has it"


def _added_files(venv: Path) -> Iterator[str]:
    """Find what no package brought: Python runs a `.pth` or `sitecustomize.py` unasked."""
    for packages in sorted(venv.glob("lib/python*/site-packages")):
        brought = {packages / name for name in _OF_THE_VENV}
        for record in packages.glob("*.dist-info/RECORD"):
            with record.open(encoding="utf-8", newline="") as lines:
                brought |= {packages / row[0] for row in csv.reader(lines) if row}
        for path in sorted(packages.rglob("*")):
            compiled = path.parent.name == "__pycache__"
            if not path.is_dir() and not compiled and path not in brought:
                yield f"{path.relative_to(packages)} was brought by no package"


def _is_recorded(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    found = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
    return digest.removeprefix("sha256=") == found.rstrip("=")
