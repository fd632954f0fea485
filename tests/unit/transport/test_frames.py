"""Frames: a stream cut in any way gives the same payloads."""

import pytest

from aitbc_node.errors import PeerFault
from aitbc_node.transport.frames import FrameDecoder, framed


def decoded(stream: bytes, size: int, *, bytes_max: int = 1000) -> list[bytes]:
    """Feed a stream in pieces of one size."""
    decoder = FrameDecoder(bytes_max)
    return [
        payload
        for at in range(0, len(stream), size)
        for payload in decoder.feed(stream[at : at + size])
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 64, 10_000])
def test_a_stream_cut_anywhere_gives_the_same_payloads(size: int) -> None:
    """How the network cuts the stream does not matter."""
    payloads = [b"a", b"bb" * 20, b"c" * 999, b"d", b"\0\0\0\1"]
    stream = b"".join(map(framed, payloads))

    assert decoded(stream, size) == payloads


def test_the_rest_of_an_unfinished_frame_is_kept() -> None:
    """A frame is given only when it is whole, and once."""
    decoder = FrameDecoder(100)
    data = framed(b"one") + framed(b"two")

    assert decoder.feed(data[:-1]) == [b"one"]
    assert decoder.feed(b"") == []
    assert decoder.feed(data[-1:]) == [b"two"]
    assert decoder.feed(b"") == []


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("length", [0, 101, 2**32 - 1])
def test_a_length_out_of_bounds_is_the_peers_fault(length: int, size: int) -> None:
    """It is refused on sight of the length, before a byte of the frame is awaited."""
    with pytest.raises(PeerFault, match=str(length)):
        decoded(length.to_bytes(4, "big"), size, bytes_max=100)


def test_the_limit_may_be_raised_between_frames() -> None:
    """After the handshake larger frames are welcome."""
    decoder = FrameDecoder(3)
    assert decoder.feed(framed(b"abc")) == [b"abc"]

    decoder.bytes_max = 10

    assert decoder.feed(framed(b"longer")) == [b"longer"]


def test_an_empty_payload_is_our_own_mistake() -> None:
    """No message is empty, so nothing ever frames one."""
    with pytest.raises(AssertionError):
        framed(b"")
