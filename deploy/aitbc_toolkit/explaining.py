"""What is all wrong with a table that was refused? Every mistake, with its key and its value.

pydantic finds them, by models made of the same records that tables are read into (`entries`), so
that what a file may hold is said once. Imported only where something is wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import NoneType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from aitbc_toolkit import entries
from aitbc_toolkit.declared import nearest

# The regular expressions of both readers are those of Python.
_STRICT = ConfigDict(extra="forbid", strict=True, regex_engine="python-re")
_WANTED = "Input should be a valid "
_BOUNDS = ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern")


def mistakes(kind: Any, document: Any) -> list[str]:
    """Put each mistake into our words: the key first, then what is wrong with it."""
    try:
        TypeAdapter(_translated(kind)).validate_python(document)
    except ValidationError as wrong:
        return [_finding(error, kind) for error in _told_once(wrong.errors(), kind)]
    return []


def _told_once(errors: Sequence[Mapping[str, Any]], kind: Any) -> Iterator[Mapping[str, Any]]:
    """Tell of what may be one of several things once, and where the file has it.

    pydantic tells what is wrong with it as each of them, and puts their names into the path.
    """
    found: dict[tuple[int | str, ...], list[Mapping[str, Any]]] = {}
    for error in errors:
        where, choice = _place(error["loc"], kind)
        if choice is None:
            yield error
        else:
            found.setdefault(choice, []).append({**error, "loc": where})
    for choice, group in found.items():
        # Where one of them is a table that is nearly right, that is what was meant.
        if inner := [each for each in group if len(each["loc"]) > len(choice)]:
            yield from inner
            continue
        told = [each for each in group if not each["type"].endswith("_type")] or group
        yield {**told[0], "msg": _either([each["msg"] for each in told])}


def _place(
    path: Sequence[int | str], kind: Any
) -> tuple[tuple[int | str, ...], tuple[int | str, ...] | None]:
    """Take the names of choices out of a path; tell the first place that is one, if any is."""
    where: list[int | str] = []
    choice: tuple[int | str, ...] | None = None
    for part in path:
        options = _options(kind)
        if len(options) > 1:
            choice = tuple(where) if choice is None else choice
            kind = next((each for each in options if getattr(each, "__name__", "") == part), None)
            continue
        where.append(part)
        kind = entries.below(options[0], str(part))
    return tuple(where), choice


def _options(kind: Any) -> list[Any]:
    """List what something may be, but for nothing."""
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    if entries.is_choice(kind):
        return [
            found for each in get_args(kind) if each is not NoneType for found in _options(each)
        ]
    return [kind]


def _either(said: Sequence[str]) -> str:
    """Say in one sentence what each of several kinds wants."""
    if all(each.startswith(_WANTED) for each in said):
        return _WANTED + " or ".join(each.removeprefix(_WANTED) for each in said)
    return " or ".join(said)


def _finding(error: Mapping[str, Any], kind: Any) -> str:
    where = [str(part) for part in error["loc"]]
    key = ".".join(where)
    match error["type"]:
        case "extra_forbidden":
            near = nearest(where[-1], entries.keys_at(kind, where[:-1]))
            return f"unknown key {key}" + (f", the nearest is {near}" if near else "")
        case "missing":
            return f"{key} is missing"
        case _:
            said = str(error["msg"])
            return f"{key}: {said[:1].lower()}{said[1:]}, found {error['input']!r}"


@cache
def _model(kind: type[entries.Entry]) -> type[BaseModel]:
    """Make the model of a record; what a key has without a word about it does not matter here."""
    hints = entries.hints(kind)
    fields: dict[str, Any] = {
        each.name: (_translated(hints[each.name]), ... if each.required else None)
        for each in msgspec.structs.fields(kind)
    }
    return create_model(kind.__name__, __config__=_STRICT, **fields)


def _translated(kind: Any) -> Any:
    """Give the type that pydantic knows for one of ours."""
    if entries.is_entry(kind):
        return _model(kind)
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        return Annotated[(_translated(inner), *map(_bounds, marks))]
    if entries.is_choice(kind):
        return Union[tuple(map(_translated, get_args(kind)))]  # noqa: UP007 - made, not written
    if get_origin(kind) in {dict, list}:
        return get_origin(kind)[tuple(map(_translated, get_args(kind)))]
    return kind


def _bounds(mark: Any) -> Any:
    assert isinstance(mark, msgspec.Meta), "an entry says its bounds as msgspec does"
    known = {name: getattr(mark, name) for name in _BOUNDS}
    return Field(**{name: value for name, value in known.items() if value is not None})
