"""What does a bare host install from? A folder of Debian packages and wheels of this machine.

It stands in for the package mirror and the package index that hosts elsewhere have: made once with
debootstrap and pip, which check signatures and hashes, then mounted read-only into bare hosts. Do
not add how a host installs anything: that is the bootstrap's.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path

from aitbc_toolkit import paths, shell
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.lab import commands, recipes
from aitbc_toolkit.lab.image import proxy
from aitbc_toolkit.lab.locking import locked
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.lab.requirements import Progress
from aitbc_toolkit.lab.sources import Mirror, find_mirror
from aitbc_toolkit.locks import requirement
from aitbc_toolkit.needs import HOST_PACKAGES

_TIMEOUT_S = 600.0
_READ_BYTES = 1 << 20


def ensure_supplies(places: Places, *, progress: Progress) -> Path:
    """Make the supplies of bare hosts unless they are there; return their folder.

    Raises: AitbcError when a download fails; then nothing of it stays.
    """
    recipe = recipes.bare()
    uv = requirement(paths.project_root(), "uv")
    content = repr((recipe.suite, recipe.packages, HOST_PACKAGES, uv))
    folder = places.cache / "supplies" / hashlib.sha256(content.encode()).hexdigest()[:12]
    if folder.is_dir():
        return folder
    with locked(places.cache / "build.lock", timeout_s=_TIMEOUT_S, what="the lab's supplies"):
        if not folder.is_dir():
            progress("supplies      fetching the packages that bare hosts install")
            _fetch(folder, cache=places.cache, uv=uv)
    return folder


def download_argv(*, mirror: Mirror, suite: str, cache: Path, tree: Path) -> list[str]:
    """Write the command that fetches the packages of a bootstrapped host, checked by debootstrap.

    What a bare host has already is fetched too: apt wants to see it in the index.
    """
    return [
        *commands.WRAPPER,
        *("debootstrap", "--download-only", "--variant=minbase", f"--cache-dir={cache}"),
        *([f"--keyring={mirror.keyring}"] if mirror.keyring else []),
        f"--include={','.join([*recipes.bare().packages, *HOST_PACKAGES])}",
        *(suite, str(tree), mirror.uri),
    ]


def wheel_argv(*, requirements: Path, wheels: Path) -> list[str]:
    """Write the command that fetches one pinned wheel, by its hashes."""
    return [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--dest", str(wheels), "--requirement", str(requirements)),
    ]


def index_entry(control: str, package: Path) -> str:
    """Write what apt wants to know about one package: its control fields, place and hash."""
    digest = hashlib.sha256()
    with package.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    place = f"Filename: ./{package.name}\nSize: {package.stat().st_size}\n"
    return f"{control.strip()}\n{place}SHA256: {digest.hexdigest()}\n"


def _fetch(folder: Path, *, cache: Path, uv: str) -> None:
    work = cache / f"unfinished-supplies-{os.getpid()}"
    for leftover in cache.glob("unfinished-supplies-*"):
        shutil.rmtree(leftover)  # of a run that was killed: we hold the lock
    packages, wheels, tree = work / "packages", work / "wheels", work / "tree"
    for each in (packages, wheels, cache / "packages"):
        each.mkdir(parents=True, exist_ok=True)
    suite = recipes.bare().suite
    argv = download_argv(
        mirror=find_mirror(suite), suite=suite, cache=cache / "packages", tree=tree
    )
    _run(argv, what="debootstrap could not fetch packages", work=work)
    for package in tree.glob("var/cache/apt/archives/*.deb"):
        package.rename(packages / package.name)
    shutil.rmtree(tree)
    entries = [
        index_entry(shell.run(["dpkg-deb", "--field", package]).stdout, package)
        for package in sorted(packages.glob("*.deb"))
    ]
    (packages / "Packages").write_text("\n".join(entries), encoding="utf-8")
    pinned = work / "uv.lock"
    pinned.write_text(uv, encoding="ascii")
    _run(wheel_argv(requirements=pinned, wheels=wheels), what="pip could not fetch uv", work=work)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work.rename(folder)


def _run(argv: list[str], *, what: str, work: Path) -> None:
    result = shell.run(argv, env=proxy(), timeout_s=_TIMEOUT_S, check=False)
    if not result.ok:
        shutil.rmtree(work)
        raise AitbcError(
            f"lab supplies failed: {what}\n{result.tail}",
            hint="apt-get update   # does this machine reach its own package sources?",
        )
