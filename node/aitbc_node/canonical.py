"""How a record becomes bytes, and bytes a record, in exactly one way each.

Records are msgpack arrays in shortest form; a decoder refuses anything that would not encode to
the same bytes again, so that one value never has two hashes. Do not add record types here.
"""

from typing import TypeVar

import msgspec

T = TypeVar("T")


class NotCanonicalError(ValueError):
    """The bytes are not the one canonical encoding of the wanted record."""


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Make a frozen record that travels as a msgpack array of its fields in order."""


_encoder = msgspec.msgpack.Encoder()
_decoders: dict[object, msgspec.msgpack.Decoder[object]] = {}


def encode(value: object) -> bytes:
    """Return the canonical bytes of a record, or of a tuple or list of records."""
    return _encoder.encode(value)


def decode(data: bytes, kind: type[T]) -> T:
    """Read one record.

    Raises: NotCanonicalError when the bytes are malformed, of another shape, or not canonical.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        value = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotCanonicalError(str(error)) from error
    if _encoder.encode(value) != data:
        raise NotCanonicalError("not the shortest encoding of its value")
    return value  # type: ignore[return-value]  # the decoder was built for `kind`
