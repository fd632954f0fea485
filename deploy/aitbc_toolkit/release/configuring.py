"""Which configuration does each node get, from the keys that an earlier run learned?

Rendering is pure; what is kept here are public parts of keys only, so that a run that changes
nothing can know it without asking for keys again.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aitbc_toolkit import render
from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import founding, masking
from aitbc_toolkit.release.founding import Founded
from aitbc_toolkit.render import Configuration

GENESIS_FILE = "genesis.json"

_PLACEHOLDER = "0" * 40

PublicKeys = Mapping[str, Mapping[str, Any]]
"""The public parts of each node's keys, by its name."""


def rehearse(environment: Environment, commit: str) -> None:
    """Render everything once with stand-ins: a broken template stops here, before any host.

    Raises: ConfigError for a template that is broken or writes a secret.
    """
    stand_ins = {each.name: _PLACEHOLDER for each in environment.instances}
    for ready in render.configurations(
        environment, commit=commit, peer_ids=stand_ins, genesis=_PLACEHOLDER
    ).values():
        for name, text in ready.files.items():
            if found := masking.secrets(text):
                raise ConfigError(
                    f"{name} of {ready.instance} would hold {found[0]} itself",
                    hint="edit templates   # name the file that holds a secret, as *_file",
                )


def configurations(
    environment: Environment, commit: str, public: PublicKeys, founded: Founded
) -> dict[str, Configuration]:
    """Render every node of an environment with its peers' real ids."""
    peer_ids = {name: str(parts["peer_id"]) for name, parts in public.items()}
    return render.configurations(
        environment, commit=commit, peer_ids=peer_ids, genesis=founded.text
    )


def foreseen(
    environment: Environment, commit: str, learned: tuple[PublicKeys, Founded] | None = None
) -> tuple[dict[str, Configuration], str]:
    """Render by the keys and the genesis that are known here, or were learned while staging.

    Return also the genesis' hash. Before the first deploy there are no keys, so there is nothing.
    """
    public, founded = learned or (known_keys(environment), founding.read(environment))
    if founded is None or public is None:
        return {}, founded.hash if founded else ""
    return configurations(environment, commit, public, founded), founded.hash


def known_keys(environment: Environment) -> dict[str, dict[str, Any]] | None:
    """Read what an earlier run learned; nothing when some node of the inventory is new."""
    path = _path(environment)
    if not path.is_file():
        return None
    public: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return public if all(each.name in public for each in environment.instances) else None


def remember(environment: Environment, public: PublicKeys) -> None:
    """Keep the public parts of all keys."""
    path = _path(environment)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(json.dumps(public, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    fresh.rename(path)


def shown(files: Mapping[str, str], *, commit: str) -> dict[str, str]:
    """Write files as a plan compares them.

    The commit is left out, as from the configuration's hash; of a genesis only its hash is shown.
    """
    texts = {name: text.replace(commit, "(commit)") for name, text in files.items()}
    if GENESIS_FILE in texts:
        digest = hashlib.sha256(files[GENESIS_FILE].encode()).hexdigest()
        texts[GENESIS_FILE] = f"sha256 {digest}\n"
    return {name: masking.masked(text) for name, text in texts.items()}


def _path(environment: Environment) -> Path:
    return environment.folder / "public_keys.json"
