"""How do the other repositories of a release come to lie inside its folder?

`release.toml` of the commit names each with its exact commit, so whoever vouches for the commit
vouches for them. They lie below `components/` of the release and switch with it, by its one rename:
all of them, or, when one cannot be had, none. Standard library only.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import mirrors
from aitbc_toolkit.deploys.hostside.trouble import Trouble

FOLDER = "components"

_MANIFEST = "release.toml"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def check_out(params: dict[str, Any], fresh: Path) -> None:
    """Fetch and check out what the release's own manifest names, into a folder still being made.

    Raises: Trouble that names the repository which cannot be had.
    """
    sources = params.get("components", {})
    for name, url, commit in _named(fresh):
        mirror = _mirror(fresh, name)
        mirrors.make(mirror)
        if not mirrors.has_commit(mirror, commit):
            told: Mapping[str, str] = sources.get(name, {"url": url, "ref": commit})
            try:
                mirrors.fetch(
                    mirror,
                    commit,
                    source=told["url"],
                    refs=[f"+{told['ref']}:refs/heads/release/{commit}"],
                    ssh_config=params["git_ssh_config"],
                )
            except Trouble as failure:
                text = f"component {name}: {failure.message}"
                raise Trouble(text, hint=failure.hint, kind=failure.kind) from failure
        folder = fresh / FOLDER / name
        folder.mkdir(parents=True)
        mirrors.check_out(mirror, commit, folder)


def drift(release: Path) -> list[str]:
    """List what differs from the components' commits, with their folders in front."""
    found = []
    for name, _url, commit in _named(release):
        folder = release / FOLDER / name
        if not folder.is_dir():
            found.append(f"D {FOLDER}/{name}")
            continue
        for line in mirrors.drift(_mirror(release, name), folder, commit, ours=(".index",)):
            what, _, path = line.partition(" ")
            found.append(f"{what} {FOLDER}/{name}/{path}")
    return found


def _named(release: Path) -> Iterator[tuple[str, str, str]]:
    path = release / _MANIFEST
    if not path.is_file():
        return
    for name, entry in tomllib.loads(path.read_text(encoding="utf-8"))["repositories"].items():
        if not _NAME.fullmatch(name) or not _COMMIT.fullmatch(entry["commit"]):
            raise Trouble(f"{_MANIFEST} names {name!r} at {entry['commit']!r}, which is no commit")
        yield name, entry["url"], entry["commit"]


def _mirror(release: Path, name: str) -> Path:
    return release.parent.parent / FOLDER / f"{name}.git"
