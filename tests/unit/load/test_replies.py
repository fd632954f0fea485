"""What nodes write is read alike, however it was cut on its way; what is no HTTP is refused."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitbc_load.replies import Event, NotHttpError, Stream, head

ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Type: x\r\nContent-Length: 12\r\n\r\n{'results':}"
EVENTS = [
    b": hello\n\n",
    b'id: a-1\nevent: block\ndata: {"height":7}\n\n',
    b"event: tx\ndata: 1\n\n",
]
STREAM = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in EVENTS)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at these places."""
    ends = sorted({0, len(data), *(place % len(data) for place in places)})
    return [data[first:last] for first, last in itertools.pairwise(ends)]


@given(st.integers(0, len(ANSWER)))
def test_a_head_is_read_when_it_is_whole(size: int) -> None:
    """Before its end it is nothing, from then on always the same."""
    found = head(ANSWER[:size])

    if size < ANSWER.index(b"{"):
        assert found is None
    else:
        assert found is not None
        assert (found.status, found.length, found.is_last) == (202, 12, False)
        assert ANSWER[found.begins :] == b"{'results':}"


def test_a_node_that_closes_is_understood() -> None:
    """Whatever the case of the letters."""
    found = head(b"HTTP/1.1 429 x\r\ncontent-length: 0\r\nConnection: Close\r\n\r\n")

    assert found is not None
    assert (found.status, found.is_last) == (429, True)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-server\r\n\r\n",
        b"HTTP/1.1 abc\r\ncontent-length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"x" * 70_000,
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    """A stranger on the port is named, not waited for."""
    with pytest.raises(NotHttpError):
        head(data)


@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_events_are_whole_however_they_came(places: list[int]) -> None:
    """Every cut of the stream gives the same events; what only shows life is none."""
    stream = Stream()

    heard = [event for piece in cut(STREAM, places) for event in stream.feed(piece)]

    assert heard == [Event("block", b'{"height":7}'), Event("tx", b"1")]


@given(st.lists(st.integers(0, 10_000), max_size=12), st.lists(st.integers(0, 10_000), max_size=4))
def test_events_are_whole_whatever_chunks_they_are_in(chunks: list[int], places: list[int]) -> None:
    """A line may go on in the next chunk, and its end may come alone."""
    text = b"".join(EVENTS)
    framed = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in cut(text, chunks))
    stream = Stream()

    heard = [event for piece in cut(framed, places) for event in stream.feed(piece)]

    assert heard == [Event("block", b'{"height":7}'), Event("tx", b"1")]


def test_a_sign_of_life_behind_an_event_repeats_nothing() -> None:
    """A quiet node sends comments; what was told before them was told."""
    stream = Stream()

    def chunk(text: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(text), text)

    assert stream.feed(chunk(b"event: block\ndata: 7\n\n")) == [Event("block", b"7")]
    assert stream.feed(chunk(b": alive\n\n: alive\n\n")) == []
    assert stream.feed(chunk(b"data: 8\n\nevent: tx\n\n")) == [Event("tx", b"")]


@pytest.mark.parametrize("line", [b"event: block", b"-2", b"-6"])
def test_a_stream_without_chunks_is_refused(line: bytes) -> None:
    """A size that is no number, or leads backwards, is no stream of ours."""
    with pytest.raises(NotHttpError):
        list(Stream().feed(line + b"\r\n"))
