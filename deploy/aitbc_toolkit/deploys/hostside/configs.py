"""Is the configuration of a node what the hash in its folder's name says? Standard library only."""

import hashlib
import json
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import linking
from aitbc_toolkit.deploys.hostside.trouble import Trouble

_HASH_CHARS = 16


def texts(folder: Path) -> dict[str, str]:
    """Read the files of a configuration; none where there is no such folder."""
    if not folder.is_dir():
        return {}
    return {
        path.name: path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


def content_hash(found: dict[str, str], *, commit: str) -> str:
    """Name a configuration by its content, as the controller did when it rendered it."""
    plain = {name: text.replace(commit, "") for name, text in found.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:_HASH_CHARS]


def refuse_edited(params: dict[str, Any], instance: dict[str, Any], release: Path) -> None:
    """Refuse to switch a node to a configuration that somebody has edited."""
    folder = linking.config_folder(release, instance)
    if content_hash(texts(folder), commit=release.name) == instance["config_hash"]:
        return
    name = params["layout"]["environment"]
    raise Trouble(
        f"{folder} was edited: its content is not what its name says",
        hint=f"aitbc drift {name}   # shows the edits\n"
        f"aitbc drift {name} --restage   # keeps a copy of them",
        kind="drift",
    )
