"""Are the pinned dependencies current, and how are they renewed?

`uv` resolves; this module only says which lock is compiled from what, and judges the result
without a network. The old lock is an input, so that a new release of somebody else's package
changes nothing until `upgrade` is asked for.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from aitbc_toolkit import shell

_OWN = frozenset({"aitbc-node", "aitbc-toolkit"})
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")
_PYTHON_OLDEST = "3.11"


class Lock(NamedTuple):
    """What a lock is compiled from: a project and groups of the root one, held to other locks."""

    project: str
    groups: tuple[str, ...] = ()
    held_to: tuple[str, ...] = ()


# In the order of compiling: a later lock repeats the versions of those that it is held to.
LOCKS: Mapping[str, Lock] = {
    "bootstrap": Lock(project="", groups=("bootstrap",)),
    "node": Lock(project="node/pyproject.toml", held_to=("bootstrap",)),
    "toolkit": Lock(project="pyproject.toml", held_to=("node",)),
    "dev": Lock(project="pyproject.toml", groups=("dev",), held_to=("toolkit", "bootstrap")),
}


def compile_argv(name: str, lock: Lock, *, uv: Path, upgrade: bool) -> list[str | Path]:
    """Build the command that writes one lock; it runs in the checkout's top folder."""
    argv: list[str | Path] = [uv, "pip", "compile", "--quiet", "--universal", "--no-annotate"]
    argv += ["--python-version", _PYTHON_OLDEST, "--generate-hashes"]
    argv += ["--no-emit-package", "aitbc-node"]
    argv += ["--custom-compile-command", "./aitbc locks update"]
    argv += [lock.project] if lock.project else []
    for group in lock.groups:
        argv += ["--group", f"pyproject.toml:{group}"]
    for other in lock.held_to:
        argv += ["--constraints", f"locks/{other}.lock"]
    argv += ["--upgrade"] if upgrade else []
    return [*argv, "--output-file", f"locks/{name}.lock"]


def update(root: Path, *, uv: Path, upgrade: bool) -> list[str]:
    """Compile every lock again; return the names of those that changed."""
    changed = []
    for name, lock in LOCKS.items():
        path = root / "locks" / f"{name}.lock"
        before = path.read_bytes() if path.exists() else b""
        argv = compile_argv(name, lock, uv=uv, upgrade=upgrade)
        shell.run(argv, cwd=root, timeout_s=300, hint="check the network, then run it again")
        if path.read_bytes() != before:
            changed.append(name)
    return changed


def findings(root: Path) -> Iterator[str]:
    """Yield what is wrong with the committed locks, judged without a network."""
    pins = {name: pinned(_text(root, name)) for name in LOCKS}
    for name, lock in LOCKS.items():
        yield from _bad_lines(name, _text(root, name))
        for requirement in declared(root, lock):
            yield from _unmet(f"locks/{name}.lock", pins[name], requirement)
        for other in lock.held_to:
            for package in pins[name].keys() & pins[other].keys():
                if pins[name][package] != pins[other][package]:
                    yield f"locks/{name}.lock and locks/{other}.lock pin two versions of {package}"


def pinned(text: str) -> dict[str, str]:
    """Read the versions that a lock pins, by normalised name."""
    matches = (_PIN.match(line) for line in text.splitlines())
    return {canonicalize_name(match[1]): match[2] for match in matches if match}


def requirement(root: Path, package: str) -> str:
    """Give what the bootstrap lock says about one package: its version and its hashes."""
    for block in re.split(r"\n(?=\S)", _text(root, "bootstrap")):
        if canonicalize_name(block.partition("==")[0]) == package:
            return block.rstrip() + "\n"
    raise AssertionError(f"locks/bootstrap.lock does not pin {package}")


def declared(root: Path, lock: Lock) -> list[Requirement]:
    """List what the projects and groups behind a lock ask for by name."""
    texts: list[str] = []
    if lock.project:
        texts += _toml(root / lock.project)["project"]["dependencies"]
        texts += _toml(root / "node/pyproject.toml")["project"]["dependencies"]
    groups = _toml(root / "pyproject.toml")["dependency-groups"]
    for group in lock.groups:
        texts += _group(groups, group)
    requirements = (Requirement(text) for text in texts)
    return [wanted for wanted in requirements if canonicalize_name(wanted.name) not in _OWN]


def _group(groups: Mapping[str, list[Any]], name: str) -> list[str]:
    """Spell out one dependency group; groups that it includes do not nest further."""
    own = [entry for entry in groups[name] if isinstance(entry, str)]
    included = [entry["include-group"] for entry in groups[name] if isinstance(entry, dict)]
    return own + [text for other in included for text in groups[other]]


def _unmet(where: str, pins: Mapping[str, str], wanted: Requirement) -> Iterator[str]:
    version = pins.get(canonicalize_name(wanted.name))
    if version is None:
        yield f"{where} does not pin {wanted.name}"
    elif not wanted.specifier.contains(version, prereleases=True):
        yield f"{where} pins {wanted.name} {version}, but {wanted.specifier} is declared"


def _bad_lines(name: str, text: str) -> Iterator[str]:
    """Find what must not stand in a lock: addresses, options, and pins without a hash."""
    for block in re.split(r"\n(?=\S)", text):
        first = block.splitlines()[0] if block else ""
        if first.startswith("#"):
            continue
        if "://" in block or " @ " in first or first.startswith("-"):
            yield f"locks/{name}.lock names an address or an option: {first[:60]}"
        elif not _PIN.match(first):
            yield f"locks/{name}.lock has a line that pins nothing: {first[:60]}"
        elif "--hash=sha256:" not in block:
            yield f"locks/{name}.lock pins {first.split()[0]} without a hash"


def _text(root: Path, name: str) -> str:
    path = root / "locks" / f"{name}.lock"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))
