"""How much of what is spread comes more than once."""

from aitbc_node.gossip.spread import WINDOW, Spread


def test_repeated_frames_are_counted_over_a_window() -> None:
    """The second of two equal ones is a repetition; one that is long gone is news."""
    spread = Spread()

    for frame in (b"a", b"b", b"a", b"a"):
        spread.take(frame)
    assert (spread.taken, spread.repeated) == (4, 2)
    for number in range(WINDOW):
        spread.take(b"%d" % number)
    spread.take(b"a")

    assert spread.repeated == 2
