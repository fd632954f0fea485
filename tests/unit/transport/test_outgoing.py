"""What waits for a peer leaves in small writes, whole frame behind whole frame."""

import pytest

from aitbc_node.events import Lane
from aitbc_node.transport.outgoing import SLICE_BYTES, TURN_BYTES, Outgoing


def leaving(queue: Outgoing) -> list[bytes]:
    """Take everything, write by write."""
    writes = []
    while data := queue.take():
        writes.append(data)
    return writes


def test_small_frames_leave_together_up_to_a_slice() -> None:
    """No write is larger, whatever waits, and what has not left is counted."""
    queue = Outgoing()
    frames = [bytes([number]) * (SLICE_BYTES // 3) for number in range(7)]
    for frame in frames:
        queue.put(frame, Lane.NEXT_BLOCK)

    first = queue.take()

    assert first == b"".join(frames[:3])
    assert queue.byte_count == sum(map(len, frames[3:]))
    writes = leaving(queue)
    assert first + b"".join(writes) == b"".join(frames)
    assert max(map(len, writes)) <= SLICE_BYTES
    assert queue.byte_count == 0


def test_a_large_frame_is_cut_and_nothing_comes_between_its_parts() -> None:
    """A vote that comes in the meantime waits for the end of the one frame, not of the next."""
    queue = Outgoing()
    old, older = b"a" * (3 * SLICE_BYTES + 1), b"b" * (2 * SLICE_BYTES)
    queue.put(old, Lane.BLOCKS)
    queue.put(older, Lane.BLOCKS)

    first = queue.take()
    queue.put(b"vote", Lane.NEXT_BLOCK)

    assert len(first) == SLICE_BYTES
    assert queue.byte_count == len(old + older + b"vote") - SLICE_BYTES
    assert first + b"".join(leaving(queue)) == old + b"vote" + older


def test_messages_wait_for_votes_and_blocks() -> None:
    """Whatever came first: a block that a node fetches stands behind none that has not begun."""
    queue = Outgoing()
    messages = [bytes([number]) * SLICE_BYTES for number in range(3)]
    for frame in messages:
        queue.put(frame, Lane.MESSAGES)
    queue.put(b"block", Lane.BLOCKS)
    queue.put(b"vote", Lane.NEXT_BLOCK)

    first = queue.take()
    queue.put(b"later block", Lane.BLOCKS)

    assert first == b"vote"
    assert queue.message_byte_count == sum(map(len, messages))
    assert leaving(queue) == [b"block", b"later block", *messages]
    assert queue.message_byte_count == 0


@pytest.mark.parametrize("lane", [Lane.NEXT_BLOCK, Lane.BLOCKS])
def test_messages_do_not_wait_for_ever_where_there_is_always_more(lane: Lane) -> None:
    """One leaves behind every so many bytes, which is a small part of them all."""
    queue, left = Outgoing(), []
    for number in range(3):
        queue.put(b"m%d" % number, Lane.MESSAGES)
    for _ in range(4 * TURN_BYTES // SLICE_BYTES):
        queue.put(bytes(SLICE_BYTES), lane)
        left.append(queue.take())

    places = [place for place, data in enumerate(left) if data.startswith(b"m")]
    turn = TURN_BYTES // SLICE_BYTES
    assert [left[place] for place in places] == [b"m0", b"m1", b"m2"]
    assert places == [turn, 2 * turn + 1, 3 * turn + 2]


def test_what_is_forgotten_does_not_come_back() -> None:
    """Not even the rest of a frame that had begun to leave."""
    queue = Outgoing()
    queue.put(b"a" * (2 * SLICE_BYTES), Lane.NEXT_BLOCK)
    queue.take()

    queue.clear()

    assert (queue.take(), queue.byte_count) == (b"", 0)
