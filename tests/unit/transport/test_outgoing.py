"""What waits for a peer leaves in small writes, whole frame behind whole frame."""

from aitbc_node.transport.outgoing import SLICE_BYTES, Outgoing


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
        queue.put(frame, is_bulk=False)

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
    queue.put(old, is_bulk=True)
    queue.put(older, is_bulk=True)

    first = queue.take()
    queue.put(b"vote", is_bulk=False)

    assert len(first) == SLICE_BYTES
    assert queue.byte_count == len(old + older + b"vote") - SLICE_BYTES
    assert first + b"".join(leaving(queue)) == old + b"vote" + older


def test_what_is_forgotten_does_not_come_back() -> None:
    """Not even the rest of a frame that had begun to leave."""
    queue = Outgoing()
    queue.put(b"a" * (2 * SLICE_BYTES), is_bulk=False)
    queue.take()

    queue.clear()

    assert (queue.take(), queue.byte_count) == (b"", 0)
