"""What does a worker of a swarm need on another host? One archive: our code and its packages.

They are those that this machine runs, compiled modules too, so both ends speak alike whatever runs
on the host. It serves hosts whose Python is of the same kind, and is told apart by its hash. Do not
add how it travels.
"""

import hashlib
import importlib.metadata
import re
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from aitbc_toolkit import paths

OURS = ("loadtests/aitbc_load", "node/aitbc_node")
NEEDED = ("locust", "hdrhistogram", "aitbc-node")
_NOT_PACKED = frozenset(
    {
        "aitbc-node",  # packed from the checkout
        *("pytest", "pluggy", "iniconfig", "pygments"),  # Locust's plugin for pytest
        *("httptools", "uvicorn", "uvloop"),  # servers, which a worker is not
        *("pbr", "pycparser", "setuptools"),  # to build packages
    }
)
"""What no worker imports, which is a third of all bytes and files."""
_LEFT_OUT = frozenset({"tests", ".."})


class Parcel(NamedTuple):
    """Hold an archive and what tells whether it arrived, and who can use it."""

    path: Path
    sha256: str
    kind: tuple[str, str]
    """Which Python and which kind of machine it is for."""


def pack(target: Path) -> Parcel:
    """Write the archive."""
    # Packed well it would take ten times as long to write as it takes to send it.
    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        for name, path in {**dict(_packages()), **dict(_ours())}.items():
            archive.add(path, arcname=name, recursive=False)
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Parcel(target, digest, kind())


def kind() -> tuple[str, str]:
    """Tell which Python this is, and on what kind of machine; as `lodging` tells it."""
    return (str(sys.implementation.cache_tag), sysconfig.get_platform())


def distributions() -> set[str]:
    """Name every package that a worker needs, by what each says that it needs itself."""
    found: set[str] = set()
    open_ = list(NEEDED)
    while open_:
        name = _plain(open_.pop())
        if name not in found:
            found.add(name)
            for text in importlib.metadata.requires(name) or ():
                requirement = Requirement(text)
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    open_.append(requirement.name)
    return found


def _packages() -> Iterator[tuple[str, Path]]:
    for package in sorted(distributions() - _NOT_PACKED):
        for file in importlib.metadata.files(package) or ():
            if not _LEFT_OUT.intersection(file.parts):
                yield from _with_compiled(str(file), Path(str(file.locate())))


def _ours() -> Iterator[tuple[str, Path]]:
    for place in OURS:
        folder = paths.project_root() / place
        for path in sorted(folder.rglob("*.py")):
            yield from _with_compiled(str(path.relative_to(folder.parent)), path)


def _with_compiled(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    """Give a file, and what Python keeps of it so that nobody has to compile it again."""
    if path.is_file():
        yield name, path
    if path.suffix == ".py":
        compiled = Path(cache_from_source(str(path)))
        if compiled.is_file():
            yield str(Path(name).parent / "__pycache__" / compiled.name), compiled


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
