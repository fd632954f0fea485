"""How an address is written for people: bech32m with the network's prefix.

The prefix tells networks apart and six check characters catch slips of the pen. Only whole bytes
are written. Do not add hashing here: which bytes an address has is the ledger's business.
Source: BIP-173 and BIP-350.
"""

from collections.abc import Iterable

from aitbc_node.types import Address

ADDRESS_BYTES = 20
TEXT_CHARS_MAX = 90

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUE_OF = {char: value for value, char in enumerate(_CHARSET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32M = 0x2BC830A3
_CHECK_CHARS = 6
_WORD_BITS = 5


def encode(hrp: str, data: bytes) -> str:
    """Write bytes under a lower-case prefix."""
    assert is_prefix(hrp), "the prefix is not lower-case printable ASCII"
    words = _regroup(data, from_bits=8, to_bits=_WORD_BITS)
    checked = (*words, *_checksum(hrp, words))
    return hrp + "1" + "".join(_CHARSET[word] for word in checked)


def decode(text: str) -> tuple[str, bytes]:
    """Read prefix and bytes.

    Raises: ValueError naming what is wrong with the text.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError(f"longer than {TEXT_CHARS_MAX} characters")
    if not text.isascii():
        raise ValueError("a character outside of ASCII")
    if text.lower() != text and text.upper() != text:
        raise ValueError("upper and lower case are mixed")
    hrp, separator, tail = text.lower().rpartition("1")
    if not separator or not is_prefix(hrp) or len(tail) < _CHECK_CHARS:
        raise ValueError("not a prefix, the digit 1 and at least six characters")
    if any(char not in _VALUE_OF for char in tail):
        raise ValueError("a character outside of the bech32 alphabet")
    words = [_VALUE_OF[char] for char in tail]
    if _polymod((*_expand(hrp), *words)) != _BECH32M:
        raise ValueError("the check characters do not match")
    return hrp, _whole_bytes(words[:-_CHECK_CHARS])


def address_text(hrp: str, address: Address) -> str:
    """Write an account's address."""
    return encode(hrp, address)


def parse_address(text: str, *, hrp: str) -> Address:
    """Read an account's address of one network.

    Raises: ValueError naming what is wrong with the text.
    """
    found, data = decode(text)
    if found != hrp:
        raise ValueError(f"an address of network '{found}', here it is '{hrp}'")
    if len(data) != ADDRESS_BYTES:
        raise ValueError(f"{len(data)} bytes, an address has {ADDRESS_BYTES}")
    return Address(data)


def is_prefix(hrp: str) -> bool:
    """Tell whether a text may stand before the separator."""
    return bool(hrp) and hrp == hrp.lower() and all("!" <= char <= "~" for char in hrp)


def _whole_bytes(words: list[int]) -> bytes:
    data = bytes(_regroup(words, from_bits=_WORD_BITS, to_bits=8))
    padding = len(words) * _WORD_BITS % 8
    # Spare bits must be fewer than a word and zero, else two texts would name the same bytes.
    if padding >= _WORD_BITS or (padding and words[-1] & ((1 << padding) - 1)):
        raise ValueError("the spare bits at the end are not zero")
    return data[: len(words) * _WORD_BITS // 8]


def _regroup(values: Iterable[int], *, from_bits: int, to_bits: int) -> tuple[int, ...]:
    gathered = 0
    bits = 0
    groups = []
    for value in values:
        gathered = gathered << from_bits | value
        bits += from_bits
        while bits >= to_bits:
            bits -= to_bits
            groups.append(gathered >> bits)
            gathered &= (1 << bits) - 1
    if bits:
        groups.append(gathered << (to_bits - bits))
    return tuple(groups)


def _expand(hrp: str) -> tuple[int, ...]:
    codes = hrp.encode()
    return (*(code >> 5 for code in codes), 0, *(code & 31 for code in codes))


def _checksum(hrp: str, words: tuple[int, ...]) -> tuple[int, ...]:
    rest = _polymod((*_expand(hrp), *words, *([0] * _CHECK_CHARS))) ^ _BECH32M
    return tuple(rest >> 5 * (_CHECK_CHARS - 1 - place) & 31 for place in range(_CHECK_CHARS))


def _polymod(values: Iterable[int]) -> int:
    rest = 1
    for value in values:
        top = rest >> 25
        rest = (rest & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                rest ^= generator
    return rest
