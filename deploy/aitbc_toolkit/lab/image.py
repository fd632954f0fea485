"""What does a lab host boot from? A Debian tree, built once, shared read-only by many hosts.

A tree is named by a hash of its recipe, so a changed recipe is a new tree and an old lab keeps
its own. A build happens under a lock, in a folder that is renamed when it is whole: a killed
build leaves nothing that could be taken for an image. What differs from host to host is not
here: it is seeded onto the host's own disk.
"""

import os
import shutil
import sys
import time
from pathlib import Path

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.lab import commands, recipes
from aitbc_toolkit.lab.locking import locked
from aitbc_toolkit.lab.recipes import Recipe
from aitbc_toolkit.lab.requirements import Progress
from aitbc_toolkit.lab.sources import Mirror, find_mirror

_BUILD_TIMEOUT_S = 900.0


def find_uv() -> Path:
    """Find the uv program that belongs to this Python.

    Raises: AitbcError when it is not installed beside it.
    """
    beside = Path(sys.executable).parent / "uv"
    if beside.is_file():
        return beside
    elsewhere = shutil.which("uv")
    if elsewhere is None:
        raise AitbcError("uv is not installed beside this Python", hint="rm -r .venv && ./aitbc")
    return Path(elsewhere)


def uv_version() -> str:
    """Tell which uv goes into an image, in its own words."""
    return shell.run([find_uv(), "--version"]).stdout.strip()


def ensure_image(cache: Path, *, progress: Progress, bare: bool = False) -> Path:
    """Build an image unless it is in the cache; return the folder of its tree.

    Raises: AitbcError when the build fails; then nothing of it stays.
    """
    recipe = recipes.bare() if bare else recipes.ready(uv_version())
    tree = cache / "images" / recipe.key
    if tree.is_dir():
        return tree
    with locked(cache / "build.lock", timeout_s=_BUILD_TIMEOUT_S, what="the lab image"):
        _clear_unfinished(cache)
        if not tree.is_dir():
            began = time.monotonic()
            progress(f"image         building {recipe.name} once with debootstrap, about a minute")
            _build(recipe, cache=cache, tree=tree)
            progress(f"image         {recipe.key} built in {time.monotonic() - began:.0f} s")
    return tree


def bootstrap_argv(recipe: Recipe, *, mirror: Mirror, cache: Path, tree: Path) -> list[str]:
    """Write the command that makes the tree as Debian has it.

    It runs in its own mount and process namespaces: debootstrap mounts /proc in the tree, and
    these end with it whatever ends it. It ends with us: else a next build would meet it.
    """
    return [
        *commands.WRAPPER,
        *("debootstrap", "--variant=minbase", "--merged-usr", f"--cache-dir={cache}"),
        *([f"--keyring={mirror.keyring}"] if mirror.keyring else []),
        f"--include={','.join(recipe.packages)}",
        *(recipe.suite, str(tree), mirror.uri),
    ]


def _build(recipe: Recipe, *, cache: Path, tree: Path) -> None:
    work = cache / f"unfinished-{recipe.key}-{os.getpid()}"
    packages = cache / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    mirror = find_mirror(recipe.suite)
    argv = bootstrap_argv(recipe, mirror=mirror, cache=packages, tree=work)
    result = shell.run(argv, env=proxy(), timeout_s=_BUILD_TIMEOUT_S, check=False)
    if not result.ok:
        log = work / "debootstrap" / "debootstrap.log"
        lines = log.read_text(errors="replace").splitlines()[-3:] if log.is_file() else []
        _clear_unfinished(cache)
        raise AitbcError(
            "\n  ".join(["lab image failed: debootstrap did not end well", result.tail, *lines]),
            hint="apt-get update   # does this machine reach its own apt sources?",
        )
    _furnish(work, recipe)
    tree.parent.mkdir(parents=True, exist_ok=True)
    work.rename(tree)


def proxy() -> dict[str, str]:
    """Let debootstrap go the way that apt is told to go, which it does not read by itself."""
    asked = ["apt-config", "shell", "proxy", "Acquire::http::Proxy"]
    answer = shell.run(asked, check=False).stdout.strip()
    proxy = answer.partition("=")[2].strip("'\"")
    return {"http_proxy": proxy} if proxy and proxy != "DIRECT" else {}


def _clear_unfinished(cache: Path) -> None:
    for leftover in cache.glob("unfinished-*"):
        shutil.rmtree(leftover)


def _furnish(tree: Path, recipe: Recipe) -> None:
    """Turn a fresh Debian tree into the common part of lab hosts."""
    for name, home, login in recipe.users:
        add = ["useradd", "--system", "--user-group", "--home-dir", home, "--shell", login, name]
        shell.run(["chroot", tree, *add])
        # A password nobody has, instead of a locked account: sshd refuses keys of locked ones.
        shell.run(["chroot", tree, "usermod", "--password", "*", name])
    for name in recipe.dropped:
        shutil.rmtree(tree / name, ignore_errors=True)
    (tree / "var/cache/apt/archives/partial").mkdir(parents=True)
    for stray in [*tree.glob("etc/ssh/ssh_host_*"), tree / "etc/hostname"]:
        stray.unlink(missing_ok=True)
    (tree / "etc/machine-id").write_text("", encoding="ascii")
    for unit in recipe.masked:
        _link(tree / "etc/systemd/system" / unit, "/dev/null")
    for name, target in recipe.enabled:
        _link(tree / name, target)
    for name, content in recipe.files:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(content, encoding="ascii")
    for name in recipe.folders:
        (tree / name).mkdir(parents=True, exist_ok=True)
    if recipe.uv_version:
        shutil.copy2(find_uv(), tree / "usr/local/bin/uv")


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
