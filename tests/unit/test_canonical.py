"""Canonical bytes: one value, one encoding."""

from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitbc_node.canonical import NotCanonicalError, Record, decode, encode


class Inner(Record, frozen=True):
    name: str
    numbers: tuple[int, ...]


class Sample(Record, frozen=True):
    number: int
    data: bytes
    flag: bool
    inner: Inner | None
    note: str = ""


SAMPLES = st.builds(
    Sample,
    number=st.integers(-(2**63), 2**63 - 1),
    data=st.binary(max_size=300),
    flag=st.booleans(),
    inner=st.none()
    | st.builds(Inner, st.text(max_size=40), st.lists(st.integers(0, 9)).map(tuple)),
    note=st.text(max_size=40),
)


@given(sample=SAMPLES)
def test_what_is_encoded_is_decoded(sample: Sample) -> None:
    """Encoding and decoding are inverse to each other."""
    assert decode(encode(sample), Sample) == sample


@given(data=st.binary(max_size=60))
def test_whatever_is_decoded_encodes_to_the_same_bytes(data: bytes) -> None:
    """No bytes but the canonical ones are read, whatever they are."""
    try:
        value = decode(data, Sample)
    except NotCanonicalError:
        return
    assert encode(value) == data


@pytest.mark.parametrize(
    ("value", "shortest"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "cc80"),
        (255, "ccff"),
        (256, "cd0100"),
        (65_535, "cdffff"),
        (65_536, "ce00010000"),
        (2**32 - 1, "ceffffffff"),
        (2**32, "cf0000000100000000"),
        (2**63 - 1, "cf7fffffffffffffff"),
        (-1, "ff"),
        (-32, "e0"),
        (-33, "d0df"),
        (-128, "d080"),
        (-129, "d1ff7f"),
        (-(2**31), "d280000000"),
        (-(2**63), "d38000000000000000"),
        (None, "c0"),
        (False, "c2"),
        (True, "c3"),
        ("", "a0"),
        ("a" * 31, "bf" + "61" * 31),
        ("a" * 32, "d920" + "61" * 32),
        ("a" * 256, "da0100" + "61" * 256),
        (b"", "c400"),
        (b"\1" * 256, "c50100" + "01" * 256),
        ((), "90"),
        ((1,) * 15, "9f" + "01" * 15),
        ((1,) * 16, "dc0010" + "01" * 16),
    ],
)
def test_each_kind_of_value_has_its_shortest_form(value: object, shortest: str) -> None:
    """The table of docs/protocol.md, so that a stranger can write an encoder from it."""
    assert encode(value).hex() == shortest


LONGER = {
    "uint8 for a small number": "cc00",
    "uint16 for a byte": "cd00ff",
    "uint32 for a byte": "ce000000ff",
    "uint64 for a byte": "cf00000000000000ff",
    "int8 for a positive number": "d001",
    "int64 for a positive number": "d30000000000000001",
    "float for an integer": "cb3ff0000000000000",
    "text for a number": "a131",
}


@pytest.mark.parametrize("number", LONGER.values(), ids=LONGER.keys())
def test_a_longer_form_of_a_number_is_refused(number: str) -> None:
    """Otherwise one value would have two hashes."""
    with pytest.raises(NotCanonicalError):
        decode(bytes.fromhex(number), int)


@pytest.mark.parametrize(
    "data",
    [
        "9501c4017fc3c0d900",
        "9501c5000100c3c0a0",
        "dc000501c4017fc3c0a0",
        "9401c4017fc3c0",
        "9601c4017fc3c0a0a0",
        "9501c4017fc3c0a000",
        "9501a17fc3c0a0",
        "9501c4017f01c0a0",
        "8501c4017fc3c0a0",
        "9501c4017fc3c0a1ff",
        "9501c4017fc3c0a3eda080",
        "",
    ],
    ids=[
        "long text head",
        "long bytes head",
        "long array head",
        "default left out",
        "one field too many",
        "trailing byte",
        "text for bytes",
        "number for a flag",
        "map for a record",
        "not UTF-8",
        "surrogate",
        "empty",
    ],
)
def test_bytes_of_another_form_are_refused(data: str) -> None:
    """Defaults are written out, heads are shortest, and nothing follows."""
    with pytest.raises(NotCanonicalError):
        decode(bytes.fromhex(data), Sample)


def test_the_good_form_of_those_bytes_is_read() -> None:
    """The refusals above are not for another reason."""
    assert decode(bytes.fromhex("9501c4017fc3c0a0"), Sample) == Sample(
        number=1, data=b"\x7f", flag=True, inner=None
    )


def test_deep_nesting_is_refused_quickly() -> None:
    """Sixty thousand open arrays end in a refusal, not in a crash."""
    with pytest.raises(NotCanonicalError):
        decode(b"\x91" * 60_000, Sample)


def test_bounds_of_a_field_are_part_of_reading() -> None:
    """A record says what is too long; the reader refuses it."""

    class Short(Record, frozen=True):
        data: Annotated[bytes, msgspec.Meta(max_length=2)]

    assert decode(encode(Short(b"ab")), Short) == Short(b"ab")
    with pytest.raises(NotCanonicalError, match=r"length <= 2"):
        decode(encode(Short(b"abc")), Short)
