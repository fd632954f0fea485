"""Where does an environment's `trust.toml` lie, and how is it read and changed without harm?

A change keeps the comments, is judged before it is written, replaces the file by a rename, leaves
the one before beside it and renews the checksum. In production a file that does not match its
checksum is refused. Do not judge the content here.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import tomlkit
from tomlkit.items import AoT, Table

from aitbc_toolkit import inventory, mistakes
from aitbc_toolkit.declared import nearest
from aitbc_toolkit.errors import ConfigError, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import allowed
from aitbc_toolkit.release.allowed import Allowed

_TWO_PEOPLE = 2

Document = tomlkit.TOMLDocument
Change = Callable[[Document], None]


def folder_of(environment: Environment) -> Path:
    """Find the folder of `trust.toml` and `approvals/`.

    A lab's keys are made with it, so its trust lies in the lab's state, not in the repository.
    """
    if environment.lab:
        return environment.folder
    root = environment.inventories
    return root / inventory.base_name(environment.name, folder=root)


def is_strict(environment: Environment) -> bool:
    """Tell whether the rules of production hold: its name says so, or its two approvals."""
    return environment.name == "production" or environment.profile.approvals >= _TWO_PEOPLE


def load(environment: Environment) -> Allowed:
    """Read what an environment trusts; without a file it trusts nothing.

    Raises: ConfigError for what is wrong inside and, in production, for a wrong checksum.
    """
    return read(folder_of(environment) / allowed.FILE, strict=is_strict(environment))


def read(path: Path, *, strict: bool) -> Allowed:
    """Read one trust file."""
    if not path.is_file():
        return Allowed()
    text = path.read_text(encoding="utf-8")
    if strict:
        _check_sum(path, text)
    return allowed.parse(text, path=path, strict=strict)


def change(path: Path, edit: Change, *, strict: bool) -> Allowed:
    """Edit a trust file; when the result would be refused, nothing is written.

    Raises: ConfigError when the file, or what it would become, is wrong.
    """
    read(path, strict=strict)
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    document = tomlkit.parse(before)
    edit(document)
    text = tomlkit.dumps(document)
    after = allowed.parse(text, path=path, strict=strict)
    _replace(path, text)
    return after


def add(document: Document, table: str, entry: dict[str, object]) -> None:
    """Add an entry to one of the lists of a trust file."""
    fresh = tomlkit.table()
    fresh.update({key: value for key, value in entry.items() if value not in ("", None)})
    rows = _rows(document, table)
    rows.append(fresh)
    document[table] = rows


def remove(document: Document, name: str) -> None:
    """Remove the rule or signer of a name.

    Raises: UsageError with the nearest name.
    """
    known = []
    for table, key in (("rules", "name"), ("signers", "principal")):
        rows = _rows(document, table)
        for at, row in enumerate(rows):
            known.append(str(row.get(key)))
            if row.get(key) == name:
                del rows[at]
                if not rows:  # it would be written as an empty array, which is another thing
                    del document[table]
                return
    near = nearest(name, known)
    raise UsageError(
        f"no rule and no signer is named {name!r}" + (f", the nearest is {near}" if near else ""),
        hint="aitbc trust list",
    )


def take_out(document: Document, name: str, *, revoke: str) -> None:
    """Remove a rule or a signer; with a reason, the signer stays and its key is refused.

    Raises: UsageError for an unknown name.
    """
    if not revoke:
        remove(document, name)
        return
    for row in _rows(document, "signers"):
        if row.get("principal") == name:
            add(document, "revoked", {"key": str(row["key"]), "reason": revoke})
            return
    raise UsageError(f"no signer is named {name!r}, only keys are revoked", hint="aitbc trust list")


def signer(document: Document, principal: str) -> Table | None:
    """Find the entry of a signer, to be edited in its place."""
    return next((row for row in _rows(document, "signers") if row["principal"] == principal), None)


def principals(document: Document) -> list[str]:
    """List the names of the signers."""
    return [str(row["principal"]) for row in _rows(document, "signers")]


def _rows(document: Document, table: str) -> AoT:
    found = document.get(table)
    if found is None:
        return tomlkit.aot()
    if not isinstance(found, AoT):
        raise ConfigError(f"{table} is not written as [[{table}]]", hint=f"edit {allowed.FILE}")
    return found


def sum_path(path: Path) -> Path:
    """Find the file that holds the checksum, as `sha256sum` writes it."""
    return path.with_name(f"{path.name}.sha256")


def _check_sum(path: Path, text: str) -> None:
    where, name = sum_path(path), mistakes.shown(path)
    hint = f"cd {Path(name).parent} && sha256sum {path.name} > {where.name}"
    if not where.is_file():
        raise ConfigError(f"{name}: no checksum, {where.name} is missing", hint=hint)
    said = where.read_text(encoding="utf-8").split()[:1]
    found = _digest(text)
    if said != [found]:
        raise ConfigError(
            f"{name}: changed without its checksum, it has {found[:12]}, "
            f"{where.name} says {said[0][:12] if said else 'nothing'}",
            hint=f"git diff {name}\n{hint}",
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _replace(path: Path, text: str) -> None:
    """Write the new file whole, with the one before beside it; a kill leaves one or the other.

    The checksum comes last: between the two renames production refuses the file, which is safe.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        _write(path.with_name(f"{path.name}.bak"), path.read_text(encoding="utf-8"))
    _write(path, text)
    _write(sum_path(path), f"{_digest(text)}  {path.name}\n")


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
