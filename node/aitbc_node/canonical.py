"""How a record becomes bytes, and bytes a record, in exactly one way each.

Records are msgpack arrays in shortest form; a decoder refuses anything that would not encode to
the same bytes again, so that one value never has two hashes. Do not add record types here.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")


class NotCanonicalError(ValueError):
    """The bytes are not the one canonical encoding of the wanted record."""


# Records hold values and records, so they form no cycles: the garbage collector need not look.
class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Make a frozen record that travels as a msgpack array of its fields in order."""


encode: Callable[[object], bytes] = msgspec.msgpack.Encoder().encode
"""Return the canonical bytes of a record, or of a tuple or list of records."""
_readers: dict[object, Callable[[bytes], object]] = {}


def decode(data: bytes, kind: type[T]) -> T:
    """Read one record.

    Raises: NotCanonicalError when the bytes are malformed, of another shape, or not canonical.
    """
    reader = _readers.get(kind)
    if reader is None:
        reader = _readers[kind] = reader_of(kind)
    return reader(data)  # type: ignore[return-value]  # the reader is that of `kind`


def reader_of(kind: type[T]) -> Callable[[bytes], T]:
    """Return what reads records of one kind as `decode` does."""
    read, write = msgspec.msgpack.Decoder(kind).decode, encode

    def reader(data: bytes) -> T:
        try:
            value = read(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise NotCanonicalError(str(error)) from error
        if write(value) != data:
            raise NotCanonicalError("not the shortest encoding of its value")
        return value

    return reader
