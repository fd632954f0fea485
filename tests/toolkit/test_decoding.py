"""Answers that several threads read at once end no process."""

import threading

import msgspec

from aitbc_toolkit import decoding


def test_what_a_shape_means_is_found_out_by_one_thread() -> None:
    """A second one that meets it, or another shape, meanwhile waits until that is done."""
    inside, crowd, asked = [0], [0], threading.Barrier(2)

    def meaning() -> type[int]:
        inside[0] += 1
        crowd[0] = max(crowd[0], inside[0])
        # Whoever is not kept out comes in meanwhile.
        threading.Event().wait(1.0)
        inside[0] -= 1
        return int

    shapes = [_shape(meaning), _shape(meaning)]

    def ask(shape: type[msgspec.Struct]) -> None:
        asked.wait(60)
        decoding.decode(b'{"height": 1}', shape)

    threads = [threading.Thread(target=ask, args=[shape]) for shape in shapes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert crowd == [1]


def _shape(meaning: object) -> type[msgspec.Struct]:
    """Make a shape that asks for the meaning of its field when it is first met."""
    return msgspec.defstruct("Shape", [("height", "meaning()")], namespace={"meaning": meaning})
