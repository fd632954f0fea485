"""What does an environment's inventory say under one key, and how is that changed?

A change is judged as the whole file would be, before a byte is written; comments and order stay.
What is in the genesis is the chain's and not a setting. No host and no running node is asked here.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import tomlkit
from tomlkit.items import InlineTable, Table

from aitbc_toolkit import inventory, paths
from aitbc_toolkit.declared import Declared, nearest
from aitbc_toolkit.errors import ConfigError, Exit, UsageError
from aitbc_toolkit.mistakes import parse

DEFAULT, INVENTORY = "default", "inventory"

Value = str | int | bool | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """Hold one key's value, and where it comes from: the file, or the default of the schema."""

    key: str
    value: Value
    layer: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Hold a change that was judged and not yet written."""

    path: Path
    before: str
    after: str

    @property
    def diff(self) -> list[str]:
        """Show what changes in the file."""
        name = self.path.name
        lines = (self.before.splitlines(), self.after.splitlines())
        return list(difflib.unified_diff(*lines, f"a/{name}", f"b/{name}", lineterm="", n=1))

    def write(self) -> None:
        """Replace the file at once, or leave it as it was."""
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}.new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(self.after)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self.path)


def path_of(name: str, *, folder: Path | None = None) -> Path:
    """Find the file of an environment; a lab of any name has that of `lab`.

    Raises: UsageError for a name that does not exist.
    """
    root = folder or paths.inventories()
    return root / inventory.base_name(name, folder=root) / "inventory.toml"


def view(path: Path) -> list[Setting]:
    """List every setting that is in force.

    Raises: ConfigError when the file is wrong.
    """
    text = path.read_text(encoding="utf-8")
    effective = _effective(text, path)
    written = dict(_leaves(tomllib.loads(text)))
    return [
        Setting(key, value, INVENTORY if key in written else DEFAULT)
        for key, value in _leaves(effective)
    ]


def get(path: Path, key: str) -> list[Setting]:
    """Find one setting, or all below a table.

    Raises: UsageError with the nearest key.
    """
    known = view(path)
    found = [each for each in known if each.key == key or each.key.startswith(f"{key}.")]
    if not found:
        near = nearest(key, [each.key for each in known])
        raise UsageError(
            f"there is no setting {key!r}" + (f", the nearest is {near}" if near else ""),
            hint="aitbc config view",
        )
    return found


def change(path: Path, key: str, written: str) -> Edit:
    """Judge the file as it would be with another value under one key.

    Raises: ConfigError (usage) when it would be wrong, ConfigError when the key is the chain's.
    """
    _refuse_chain([key], path)
    parts = key.split(".")

    def edit(document: tomlkit.TOMLDocument) -> None:
        _put(document, parts, _parsed(written))

    known = {each.key for each in view(path)}
    hint = f"aitbc config get {key}   # what it is now" if key in known else "aitbc config view"
    return _judged(path, edit, hint=hint, status=Exit.USAGE)


def export(path: Path) -> dict[str, Any]:
    """Give everything that is in force as one document; keys are never part of an inventory."""
    return _effective(path.read_text(encoding="utf-8"), path)


def take_in(path: Path, text: str) -> Edit:
    """Judge the file as it would be with the values of an exported document, TOML or JSON.

    Only what differs is edited, so that what was exported comes in without a change.

    Raises: ConfigError when it would be wrong, or when it would change the chain.
    """
    before = {each.key: each for each in view(path)}
    wanted = dict(_leaves(_document(text)))
    changed = {key: value for key, value in wanted.items() if _differs(before.get(key), value)}
    gone = [key for key, each in before.items() if key not in wanted and each.layer == INVENTORY]
    _refuse_chain([*changed, *gone], path)

    def edit(document: tomlkit.TOMLDocument) -> None:
        for key in gone:
            _take_away(document, key.split("."))
        for key, value in changed.items():
            _put(document, key.split("."), value)

    hint = "aitbc config export   # what it is now"
    return _judged(path, edit, hint=hint, status=Exit.CONFIG)


def to_toml(document: Mapping[str, Any]) -> str:
    """Write a document as TOML."""
    return tomlkit.dumps(document)


def _effective(text: str, path: Path) -> dict[str, Any]:
    written: Declared = parse(text, path=path)
    found: dict[str, Any] = msgspec.to_builtins(written)
    return found


def _judged(
    path: Path, edit: Callable[[tomlkit.TOMLDocument], None], *, hint: str, status: Exit
) -> Edit:
    """Edit a copy of the file and judge it; what is wrong then is the edit and not the file."""
    before = path.read_text(encoding="utf-8")
    parse(before, path=path)
    document = tomlkit.parse(before)
    edit(document)
    after = tomlkit.dumps(document)
    try:
        parse(after, path=path)
    except ConfigError as wrong:
        message = f"nothing was changed, it would be wrong: {wrong.message}"
        raise ConfigError(message, hint=hint, exit_status=status) from wrong
    return Edit(path, before, after)


def _refuse_chain(keys: list[str], path: Path) -> None:
    own = [key for key in keys if key == "chain" or key.startswith("chain.")]
    if own:
        raise ConfigError(
            f"{', '.join(own)} is the chain's: it went into the genesis, and every node has to "
            "agree on a change\n  a proposal of kind param changes it, nothing on one machine can\n"
            "  changed so far   nothing",
            hint=f"edit inventories/{path.parent.name}/inventory.toml   # before the first deploy",
        )


def _parsed(written: str) -> Any:
    """Read a value as TOML has it; what is none is a text."""
    try:
        return tomllib.loads(f"value = {written}")["value"]
    except tomllib.TOMLDecodeError:
        return written


def _document(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except ValueError as wrong:
        raise ConfigError(
            f"the document is neither TOML nor JSON: {wrong}", hint="aitbc config export"
        ) from wrong
    assert isinstance(found, dict), "both readers give a table for what they take here"
    return found


def _leaves(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Value]]:
    """Walk to every value; the depth of an inventory is that of its schema, four tables."""
    for key, value in table.items():
        name = f"{above}.{key}" if above else key
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, name)
        elif not isinstance(value, Mapping):
            yield name, value


def _differs(known: Setting | None, value: Value) -> bool:
    return known is None or known.value != value or type(known.value) is not type(value)


def _put(document: tomlkit.TOMLDocument, parts: list[str], value: Any) -> None:
    table: Any = document
    for part in parts[:-1]:
        if part not in table:
            table[part] = tomlkit.table()
        table = table[part]
        if not isinstance(table, Table | InlineTable | dict):
            raise ConfigError(f"{part} is a value, not a table", hint="aitbc config view")
    old = table.get(parts[-1])
    fresh = tomlkit.item(value)
    if old is not None and hasattr(old, "trivia") and not isinstance(fresh, Table):
        fresh.trivia.indent = old.trivia.indent
        fresh.trivia.comment_ws = old.trivia.comment_ws
        fresh.trivia.comment = old.trivia.comment
        fresh.trivia.trail = old.trivia.trail
    table[parts[-1]] = fresh


def _take_away(document: tomlkit.TOMLDocument, parts: list[str]) -> None:
    """Remove a value, and the tables that it leaves empty."""
    tables: list[Any] = [document]
    for part in parts[:-1]:
        tables.append(tables[-1][part])
    for table, part in zip(reversed(tables), reversed(parts), strict=True):
        del table[part]
        if table:
            return
