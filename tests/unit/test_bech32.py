"""Addresses as text: bech32m with the network's prefix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitbc_node import bech32
from aitbc_node.types import Address

ADDRESS = Address(bytes(range(20)))
TEXT = bech32.address_text("aitd", ADDRESS)


@pytest.mark.parametrize(
    ("text", "hrp"),
    [
        ("A1LQFN3A", "a"),
        ("a1lqfn3a", "a"),
        (
            "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
            "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber1",
        ),
        ("?1v759aa", "?"),
    ],
)
def test_published_vectors_are_read(text: str, hrp: str) -> None:
    """The valid strings of BIP-350 whose data are whole bytes."""
    assert bech32.decode(text) == (hrp, b"")


@pytest.mark.parametrize(
    "text",
    [
        "\x201xj0phk",
        "\x7f1g6xzxy",
        "qyrz8wqd2c9m",
        "1qyrz8wqd2c9m",
        "y1b0jsk6g",
        "lt1igcx5c0",
        "in1muywd",
        "mm1crxm3i",
        "au1s5cgom",
        "M1VUXWEZ",
        "16plkw9",
        "1p2gdwpf",
    ],
)
def test_published_invalid_strings_are_refused(text: str) -> None:
    """The invalid strings of BIP-350."""
    with pytest.raises(ValueError, match=r"\w"):
        bech32.decode(text)


def test_the_older_checksum_is_refused() -> None:
    """A string with the constant of BIP-173 is another encoding."""
    with pytest.raises(ValueError, match="check characters"):
        bech32.decode("a12uel5l")


def test_a_published_vector_of_twenty_bytes_is_read_and_written() -> None:
    """BIP-350's `abcdef` string holds all 32 letters backwards, which is as long as an address."""
    text = "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx"
    letters_backwards = sum((31 - place) << 5 * (31 - place) for place in range(32))
    data = letters_backwards.to_bytes(20, "big")

    assert bech32.decode(text) == ("abcdef", data)
    assert bech32.encode("abcdef", data) == text


@given(data=st.binary(max_size=40), hrp=st.sampled_from(["ait", "aits", "aitd", "a1b"]))
def test_what_is_written_is_read(data: bytes, hrp: str) -> None:
    """Every byte string under every prefix comes back."""
    assert bech32.decode(bech32.encode(hrp, data)) == (hrp, data)


@given(
    place=st.integers(0, len(TEXT) - 1), char=st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l")
)
def test_one_wrong_character_is_always_noticed(place: int, char: str) -> None:
    """A slip of the pen never ends in another account."""
    slipped = TEXT[:place] + char + TEXT[place + 1 :]
    if slipped == TEXT:
        return

    with pytest.raises(ValueError, match=r"\w"):
        bech32.parse_address(slipped, hrp="aitd")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TEXT.upper(), ""),
        ("A" + TEXT[1:], "mixed"),
        (TEXT + "q" * 60, "longer than"),
        (bech32.encode("ait", ADDRESS), "an address of network 'ait'"),
        (bech32.encode("aitd", bytes(19)), "19 bytes"),
        ("AITD1\u212a", "outside of ASCII"),
        ("", "not a prefix"),
        ("aitd1", "not a prefix"),
        ("aitd1" + "b" * 20, "alphabet"),
    ],
)
def test_people_are_told_what_is_wrong(text: str, told: str) -> None:
    """Upper case alone is fine; everything else is named."""
    if not told:
        assert bech32.parse_address(text, hrp="aitd") == ADDRESS
        return
    with pytest.raises(ValueError, match=told):
        bech32.parse_address(text, hrp="aitd")


def test_spare_bits_must_be_zero() -> None:
    """Two texts never name the same address."""
    twenty_bits_for_two_bytes = bech32._checksum("aitd", (0, 0, 0, 1))
    words = (0, 0, 0, 1, *twenty_bits_for_two_bytes)
    text = "aitd1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[word] for word in words)

    with pytest.raises(ValueError, match="spare bits"):
        bech32.decode(text)
