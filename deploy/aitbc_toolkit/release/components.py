"""Which other repositories does a release consist of, and where do hosts fetch them from?

`release.toml` in the checkout names each with its address and exact commit. It is part of the
commit, so one signature and one approval cover all of them. Without the file a release is this
repository alone. Do not run anything on hosts here.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from aitbc_toolkit import entries, shell
from aitbc_toolkit.declared import nearest
from aitbc_toolkit.entries import Entry, MistakenError
from aitbc_toolkit.errors import AitbcError, ConfigError, Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import labs, signatures

FILE = "release.toml"

_REMOTE_S = 120.0
_SHORT = 12

OWN = "aitbc"
"""How this project itself is called in manifests."""

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")]


class Component(Entry, frozen=True, kw_only=True):
    """Name one repository of a release, and the commit of it."""

    url: Annotated[str, Meta(pattern=r"^[^-\s]\S*\Z")]
    commit: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}\Z")]


class _Manifest(Entry, frozen=True, kw_only=True):
    repositories: dict[Name, Component]


def parse(text: str, *, where: str) -> dict[str, Component]:
    """Judge the text of a manifest.

    Raises: ConfigError that names every mistake.
    """
    try:
        found = dict(entries.read(_Manifest, tomllib.loads(text)).repositories)
    except tomllib.TOMLDecodeError as wrong:
        raise ConfigError(f"{where} is not TOML: {wrong}", hint=f"edit {FILE}") from wrong
    except MistakenError as wrong:
        lines = "\n  ".join(wrong.found)
        raise ConfigError(f"{where}: {lines}", hint=f"edit {FILE}") from wrong
    if OWN in found:
        raise ConfigError(f"{where}: {OWN} is the commit itself", hint=f"edit {FILE}")
    return found


def here(root: Path) -> dict[str, Component]:
    """Read the manifest of a checkout as it lies there; empty without one."""
    path = root / FILE
    return parse(path.read_text(encoding="utf-8"), where=FILE) if path.is_file() else {}


def of_commit(commit: str, *, root: Path) -> dict[str, Component]:
    """Read the manifest as a commit has it."""
    argv = ["git", "-C", str(root), "show", f"{commit}:{FILE}"]
    shown = shell.run(argv, env=signatures.GIT_ENVIRONMENT, check=False)
    return parse(shown.stdout, where=f"{FILE} of {commit[:_SHORT]}") if shown.ok else {}


def clone_of(environment_state: Path, name: str) -> Path:
    """Find where a component is cloned on this machine."""
    return environment_state / "repos" / name


def publish(environment: Environment, commit: str, *, root: Path) -> dict[str, dict[str, str]]:
    """Say where hosts fetch each component; into a lab's forge it is pushed from its clone.

    Raises: AitbcError (refused) when a lab's forge does not take one.
    """
    sources = {}
    for name, component in of_commit(commit, root=root).items():
        clone = clone_of(environment.state, name)
        match environment.rules.source:
            case "forge":
                sources[name] = _push(environment, name, component, clone)
            case "checkout" if clone.is_dir():
                sources[name] = {"url": str(clone), "ref": component.commit}
            case _:
                sources[name] = {"url": component.url, "ref": component.commit}
    return sources


def steps(component: Component, clone: Path) -> list[tuple[str, ...]]:
    """List the git commands that bring a clone to the commit of the manifest; none when it is."""
    git = ("git", "-C", str(clone))
    found: list[tuple[str, ...]] = []
    if not clone.is_dir():
        found.append(("git", "clone", "--quiet", "--no-checkout", component.url, str(clone)))
    elif _answer(clone, "rev-parse", "--verify", "--quiet", "HEAD") == component.commit:
        return []
    if not clone.is_dir() or not _has(clone, component.commit):
        found.append((*git, "fetch", "--quiet", component.url, component.commit))
    found.append((*git, "checkout", "--quiet", "--detach", component.commit))
    return found


def chosen(known: Mapping[str, Component], name: str) -> dict[str, Component]:
    """Choose one component by its name, or all.

    Raises: UsageError with the nearest name.
    """
    if not name:
        return dict(known)
    if name not in known:
        near = nearest(name, known)
        raise UsageError(
            f"{FILE} names no repository {name!r}" + (f", the nearest is {near}" if near else ""),
            hint=f"it names {', '.join(known) or 'none'}",
        )
    return {name: known[name]}


def _push(environment: Environment, name: str, component: Component, clone: Path) -> dict[str, str]:
    found = labs.of(environment)
    ref = f"refs/heads/component/{name}/{component.commit}"
    refused = f"deploy {environment.name} refused: component {name}"
    if not clone.is_dir() or not _has(clone, component.commit):
        raise AitbcError(
            f"{refused} is not cloned here at {component.commit[:_SHORT]}",
            hint=f"aitbc repos sync {name}",
            exit_status=Exit.REFUSED,
        )
    argv = ["git", "-C", str(clone), "push", "--quiet", found.git_url, f"{component.commit}:{ref}"]
    pushed = shell.run(argv, env=found.git_environment, timeout_s=_REMOTE_S, check=False)
    if not pushed.ok:
        raise AitbcError(
            f"{refused}: the forge did not take it\n{pushed.tail}",
            hint=f"aitbc lab up {environment.lab}",
            exit_status=Exit.REFUSED,
        )
    return {"url": found.git_url, "ref": ref}


def _has(clone: Path, commit: str) -> bool:
    return bool(_answer(clone, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"))


def _answer(clone: Path, *words: str) -> str:
    return shell.run(["git", "-C", str(clone), *words], check=False).stdout.strip()
