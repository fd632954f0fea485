"""Is this release older than the newest signed one that ran here? An old signature stays valid.

So a signature alone would let anybody who can start a deploy bring an old, known fault back. The
host remembers the newest signed release that became healthy; a rollback goes back without asking
here. Standard library only.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from aitbc_toolkit.deploys.hostside import files
from aitbc_toolkit.deploys.hostside.trouble import Trouble

_GIT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_NO_REPLACE_OBJECTS": "1",
}
_NUMBER = re.compile(r"rel/[a-z0-9-]+/([1-9][0-9]*)")


class Signed(NamedTuple):
    """Name a release that somebody vouched for: a commit and, where it has one, its tag."""

    commit: str
    tag: str

    @property
    def number(self) -> int:
        """Give the number of the release tag, 0 where there is none."""
        found = _NUMBER.fullmatch(self.tag)
        return int(found[1]) if found else 0


def refuse_older(params: dict[str, Any]) -> None:
    """Refuse to stage a release that is older than the newest signed one that ran here.

    Raises: Trouble (downgrade).
    """
    trust, newest = params["trust"], _newest(params["layout"])
    if not trust or not trust["in_order"] or newest is None:
        return
    wanted = Signed(params["commit"], trust["tag"])
    if not _is_older(wanted, newest, mirror=params["layout"]["mirror"]):
        return
    name = params["layout"]["environment"]
    raise Trouble(
        f"{wanted.tag or wanted.commit[:12]} is older than {newest.tag or newest.commit[:12]}, "
        "the newest signed release that ran here",
        hint=f"aitbc rollback {name}   # the way back to the release before\n"
        f"aitbc deploy {name} --ref {wanted.tag or wanted.commit[:12]} --allow-downgrade",
        kind="downgrade",
    )


def remember(params: dict[str, Any]) -> None:
    """Keep a signed release that became healthy as the newest, unless a newer one ran already."""
    record, layout = params["record"], params["layout"]
    if (record["action"], record["outcome"]) != ("deploy", "healthy"):
        return
    path = Path(layout["base"]) / "releases" / record["commit"] / "manifest.json"
    if not path.is_file():
        return  # a deploy to single nodes of other hosts
    manifest = json.loads(path.read_text(encoding="utf-8"))
    now, newest = Signed(record["commit"], manifest.get("tag", "")), _newest(layout)
    if not manifest.get("proof"):
        return
    if newest is None or not _is_older(now, newest, mirror=layout["mirror"]):
        text = json.dumps({"commit": now.commit, "tag": now.tag}, sort_keys=True)
        files.write(_path(layout), text + "\n")


def _newest(layout: dict[str, Any]) -> Signed | None:
    path = _path(layout)
    return Signed(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _path(layout: dict[str, Any]) -> Path:
    return Path(layout["state"]) / "newest.json"


def _is_older(one: Signed, other: Signed, *, mirror: str) -> bool:
    """Compare the numbers of two release tags; without them, a commit that the other contains."""
    if one.commit == other.commit:
        return False
    if one.number and other.number:
        return one.number < other.number
    git = ["git", f"--git-dir={mirror}", "merge-base", "--is-ancestor", one.commit, other.commit]
    return files.succeeds(git, env=_GIT)
