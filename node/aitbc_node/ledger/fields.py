"""Which field of a record an encoding error is about, in words a client knows.

The decoder tells places as indexes, because records travel as arrays; people need names. Runs only
on the way to a refusal. Do not judge anything here.
"""

import re
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from aitbc_node.canonical import NotCanonicalError, Record, decode, encode
from aitbc_node.codes import Code, Refusal

_PLACE = re.compile(r" - at `\$((?:\[\d+\])*)`$")


def locate(error: str, data: bytes, kind: type[Record]) -> tuple[str, str]:
    """Divide a decoder's message into the field's name, perhaps empty, and what is wrong."""
    found = _PLACE.search(error)
    if found is None:
        return "", error
    steps = [int(step) for step in re.findall(r"\d+", found[1])]
    try:
        name = _name(kind, msgspec.msgpack.decode(data), steps)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        name = ""
    return name, error[: found.start()]


def form_fault(record: Record) -> Refusal | None:
    """Judge the lengths and ranges of a record that was put together here, not decoded."""
    try:
        data = encode(record)
    except OverflowError as error:
        return Refusal(Code.E_MALFORMED, "", str(error))
    try:
        decode(data, type(record))
    except NotCanonicalError as error:
        return Refusal(Code.E_MALFORMED, *locate(str(error), data, type(record)))
    return None


def _name(kind: Any, value: Any, steps: list[int]) -> str:
    name = ""
    for step in steps:
        record = _record(kind, value)
        if record is None and get_origin(kind) is UnionType:
            return f"{name}.type".lstrip(".")
        if record is None:
            name += f"[{step}]"
            kind = get_args(kind)[0]
        else:
            tags = 0 if record.__struct_config__.tag is None else 1
            if step < tags:
                return f"{name}.type".lstrip(".")
            field = record.__struct_fields__[step - tags]
            name += f".{field}"
            kind = get_type_hints(record)[field]
        value = value[step]
    return name.lstrip(".")


def _record(kind: Any, value: Any) -> type[Record] | None:
    """Return which record stands at a place; among several, the one that the value's tag names."""
    if get_origin(kind) is not UnionType:
        return kind if isinstance(kind, type) and issubclass(kind, Record) else None
    choices = [choice for choice in get_args(kind) if choice is not NoneType]
    if len(choices) == 1:
        return _record(choices[0], value)
    tagged: dict[object, type[Record]] = {
        choice.__struct_config__.tag: choice for choice in choices
    }
    return tagged.get(value[0])
