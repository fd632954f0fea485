"""Whatever reads foreign bytes: good examples are understood, and nothing at all breaks it.

The same readers get a million inputs each, guided by coverage, in the stage `fuzz`.
"""

import functools
import random
from typing import get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aitbc_node.canonical import encode
from aitbc_node.gossip.messages import Message, decode_message
from aitbc_toolkit.suites.fuzz.bending import bent
from aitbc_toolkit.suites.fuzz.breaking import drawn, regressions
from aitbc_toolkit.suites.fuzz.decoder import Decoder
from aitbc_toolkit.suites.fuzz.registry import DECODERS

EVERY = pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
MESSAGE = DECODERS["message"]


def dice(seed: int) -> random.Random:
    """Draw the same for the same seed."""
    return random.Random(seed)  # noqa: S311 - to be repeated, not to be secret


@functools.cache
def seeds_of(name: str) -> list[bytes]:
    """Make a decoder's good examples once."""
    return [*DECODERS[name].seeds()]


@EVERY
def test_a_decoder_understands_good_examples(decoder: Decoder) -> None:
    """A fuzzer that begins with nonsense stays there."""
    understood = [decoder.take(seed) for seed in decoder.seeds()]

    assert any(understood)


@EVERY
def test_what_broke_a_decoder_once_does_not_again(decoder: Decoder) -> None:
    """Each input of `broken.toml` ends as a refusal, or as something that is understood."""
    for data in regressions(decoder.name):
        decoder.take(data)


def test_every_regression_is_of_a_decoder_that_there_is() -> None:
    """A renamed decoder would forget what broke it."""
    assert sum(len(regressions(name)) for name in DECODERS) == len(regressions())


@EVERY
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_no_bent_example_breaks_a_decoder(decoder: Decoder, seed: int) -> None:
    """A good example with one value replaced, doubled or gone, or with some bytes changed."""
    decoder.take(drawn(seeds_of(decoder.name), dice(seed)))


@EVERY
@settings(max_examples=20)
@given(data=st.binary(max_size=200))
def test_no_bytes_break_a_decoder(decoder: Decoder, data: bytes) -> None:
    """Any bytes at all."""
    decoder.take(data)


def test_every_kind_of_message_is_begun_with() -> None:
    """A new message of gossip comes among the examples, and so under the fuzzer."""
    begun = {type(decode_message(seed)) for seed in MESSAGE.seeds()}

    assert begun == set(get_args(Message))


def test_a_bent_message_is_still_msgpack_and_seldom_the_same() -> None:
    """One value is another one; the rest is as it was."""
    seed = encode((1, b"abc", (2, "x")))

    found = {bent(seed, dice(number)) for number in range(200)}

    assert len(found) > 50
    for data in found - {None}:
        msgspec.msgpack.decode(data)


def test_what_is_no_array_is_not_bent() -> None:
    """Other bytes are left to the fuzzer."""
    assert bent(b"\xc1", dice(1)) is None
    assert bent(b"\x01", dice(1)) is None
