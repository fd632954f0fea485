"""How is one value in a good message bent, so that the rest of it still makes sense?

A fuzzer that flips bytes of msgpack hardly ever gets past the first length. Here the bytes become
values, one of them is replaced, doubled or taken away, and all become bytes again; byte strings
that are msgpack themselves are opened, too. Do not add meanings of messages here.
"""

import random
from typing import Any

import msgspec

_EDGES = (-(2**63), -1, 0, 1, 2, 127, 128, 255, 2**16, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
_ODD: tuple[Any, ...] = (None, True, False, "", "\x00", "Grüße", b"", b"\x00", [], 0.5, *_EDGES)
_DEPTH_MAX = 3

Place = tuple[list[Any], int]


def bent(data: bytes, dice: random.Random, *, depth: int = 0) -> bytes | None:
    """Return the same bytes with one value changed; None where they are no array."""
    try:
        tree = msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    places = _places(tree)
    if not places:
        return None
    inside, at = dice.choice(places)
    value = inside[at]
    opened = _opened(value, dice, depth)
    if opened is not None:
        inside[at] = opened
    elif dice.random() < 0.2:  # noqa: PLR2004 - seldom, or the shape is soon gone
        _reshape(inside, at, dice)
    else:
        inside[at] = _other(value, places, dice)
    try:
        return msgspec.msgpack.encode(tree)
    except (msgspec.MsgspecError, OverflowError, RecursionError):
        return None


def _places(tree: Any) -> list[Place]:
    """List every value of every array, however deep."""
    places: list[Place] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            places += [(node, at) for at in range(len(node))]
            waiting += node
    return places


def _opened(value: Any, dice: random.Random, depth: int) -> bytes | None:
    """Bend something inside a byte string, if it is msgpack."""
    if isinstance(value, bytes) and depth < _DEPTH_MAX and dice.random() < 0.7:  # noqa: PLR2004 - mostly
        return bent(value, dice, depth=depth + 1)
    return None


def _reshape(inside: list[Any], at: int, dice: random.Random) -> None:
    match dice.randrange(3):
        case 0:
            del inside[at]
        case 1:
            inside.insert(at, inside[at])
        case _:
            inside.append(inside.pop(at))


def _other(value: Any, places: list[Place], dice: random.Random) -> Any:
    if dice.random() < 0.3:  # noqa: PLR2004 - now and then
        inside, at = dice.choice(places)
        return dice.choice((dice.choice(_ODD), inside[at]))
    match value:
        case bool():
            return not value
        case int():
            return dice.choice((value + 1, value - 1, dice.choice(_EDGES)))
        case bytes() if value:
            return _flipped(value, dice)
        case str():
            return dice.choice((value[:-1], value + value, value.swapcase(), "é" + value))
        case _:
            return dice.choice(_ODD)


def _flipped(value: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(value))
    changed = bytes((value[at] ^ (1 << dice.randrange(8)),))
    return dice.choice((value[:at] + changed + value[at + 1 :], value[:at], value + changed))
