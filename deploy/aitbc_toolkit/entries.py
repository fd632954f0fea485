"""How is a table of a settings file read? Into a record whose fields say what the file may hold.

What is right is read without pydantic, which costs more to import than most commands do in all; it
comes when something is wrong, to find every mistake at once (`explaining`).
"""

import datetime as dt
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Be a table: the fields are its keys, with types, bounds (`msgspec.Meta`) and defaults."""


class MistakenError(Exception):
    """Hold everything that is wrong with a table, each mistake in our words."""

    def __init__(self, found: Sequence[str]) -> None:
        super().__init__("; ".join(found))
        self.found = list(found)


_Read = TypeVar("_Read")


def read(kind: type[_Read], document: Any) -> _Read:
    """Judge a table, strictly: a number is no text, and no key is left over.

    Raises: MistakenError.
    """
    try:
        return msgspec.convert(document, kind, builtin_types=(dt.date, dt.datetime, dt.time))
    except msgspec.ValidationError as first:
        from aitbc_toolkit import explaining  # noqa: PLC0415 - a fifth of a second, for the rare case

        # What only one of the two readers refuses is refused, too.
        raise MistakenError(explaining.mistakes(kind, document) or [str(first)]) from first


def keys_at(kind: Any, where: Iterable[str]) -> list[str]:
    """List the keys that are valid at a place of a table."""
    for part in where:
        kind = below(_plain(kind), part)
    kind = _plain(kind)
    return list(kind.__struct_fields__) if is_entry(kind) else []


def is_entry(kind: Any) -> bool:
    """Tell whether a type is that of a table."""
    return isinstance(kind, type) and issubclass(kind, Entry)


def hints(kind: type[Entry]) -> Mapping[str, Any]:
    """Give the type of each key, with its bounds."""
    return get_type_hints(kind, include_extras=True)


def is_choice(kind: Any) -> bool:
    """Tell whether a type is one of several."""
    return get_origin(kind) in {types.UnionType, Union}


def _plain(kind: Any) -> Any:
    """Take away bounds, and that a table may be left out."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    tables = [each for each in get_args(kind) if is_entry(each)] if is_choice(kind) else []
    return tables[0] if tables else kind


def below(kind: Any, part: str) -> Any:
    """Give the type of what stands under one key, or at one place of a list."""
    if is_entry(kind):
        return hints(kind).get(part, types.NoneType)
    return get_args(kind)[-1] if get_origin(kind) in {dict, list} else types.NoneType
