"""What may one answer depend on, and how are the words of a request read?

Every word comes from a stranger: it is read strictly, and a wrong one names its field. Do not add
what an answer says here.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from aitbc_node import bech32, limits
from aitbc_node.codes import Code
from aitbc_node.rpc.view import Facts, NodeView, Reader, Request, RequestFault
from aitbc_node.types import Address, Height

T = TypeVar("T")

HASH_DIGITS = 64
_HEX = frozenset("0123456789abcdef")
_SHOWN_CHARS = 40
_PLACE = re.compile(r" - at `\$\.?(.*)`$")


class Call(msgspec.Struct, frozen=True):
    """Hold all that an answer may depend on; `params` are the named parts of the path."""

    request: Request
    params: Mapping[str, str]
    facts: Facts
    view: NodeView
    reader: Reader

    def option(self, name: str) -> str | None:
        """Return a query parameter, None when it was not given."""
        values = self.request.query.get(name)
        return values[0] if values else None


def read_height(text: str, *, field: str) -> Height:
    """Read a height."""
    return Height(read_number(text, field=field, low=0, high=limits.INT_MAX))


def read_address(call: Call, *, option: str = "") -> Address:
    """Read the address in the path or in an option, which is one of this chain."""
    hrp = call.view.state.chain.hrp
    field, written = option or "address", call.option(option) or call.params.get("address", "")
    try:
        return bech32.parse_address(written, hrp=hrp)
    except ValueError as error:
        hint = f"an address of this chain begins with {hrp}1"
        raise RequestFault(400, Code.E_BAD_REQUEST, str(error), field=field, hint=hint) from error


def read_number(text: str, *, field: str, low: int, high: int) -> int:
    """Read a whole number within bounds."""
    wanted = f"a whole number from {low} to {high}"
    value = _read(text, field=field, how=_digits, wanted=wanted)
    if not low <= value <= high:
        raise RequestFault(400, Code.E_BAD_REQUEST, f"{value} is not {wanted}", field=field)
    return value


def read_flag(text: str, *, field: str) -> bool:
    """Read a yes or no."""
    return _read(text, field=field, how={"0": False, "1": True}.__getitem__, wanted="0 or 1")


def read_hash(text: str, *, field: str) -> bytes:
    """Read 32 bytes in the one way that we write them."""
    return _read(text, field=field, how=_hash, wanted=f"{HASH_DIGITS} lower-case hex digits")


def read_bytes(text: str, *, field: str, most: int) -> bytes:
    """Read one byte or more, at most so many, in the one way that we write them."""
    wanted = f"2 to {2 * most} lower-case hex digits"
    return _read(text[: 2 * most + 2], field=field, how=lambda it: _hex(it, most), wanted=wanted)


def decoded(decode: Callable[[bytes], T], body: bytes, *, code: Code = Code.E_MALFORMED) -> T:
    """Decode the body of a request.

    Raises: RequestFault that names the field at fault.
    """
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        text = str(error)
        place = _PLACE.search(text)
        message = text[: place.start()] if place else text
        field = place.group(1) if place else "body"
        raise RequestFault(400, code, message, field=field) from error


def _digits(text: str) -> int:
    """Read plain digits only: `int` alone would take '1_0', ' 1' and digits of other scripts."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(limits.INT_MAX))):
        raise ValueError
    return int(text)


def _hash(text: str) -> bytes:
    """Read hex digits only: `fromhex` alone would take spaces and capitals."""
    if len(text) != HASH_DIGITS:
        raise ValueError
    return _hex(text, HASH_DIGITS // 2)


def _hex(text: str, most: int) -> bytes:
    if not 0 < len(text) <= 2 * most or not _HEX.issuperset(text):
        raise ValueError
    return bytes.fromhex(text)


def _read(text: str, *, field: str, how: Callable[[str], T], wanted: str) -> T:
    try:
        return how(text)
    except (ValueError, KeyError) as error:
        message = f"{text[:_SHOWN_CHARS]!r} is not {wanted}"
        raise RequestFault(400, Code.E_BAD_REQUEST, message, field=field) from error
