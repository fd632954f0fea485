"""What was seen is remembered within a bound, at a cost that does not grow with it."""

from collections.abc import Iterator

from aitbc_node.forgetting import Recent, forget_oldest

MOST = 1_000


class Watched(dict[int, None]):
    """Count how often somebody looks for the oldest."""

    looks = 0

    def __iter__(self) -> Iterator[int]:
        """Go through all of it from the oldest on."""
        self.looks += 1
        return super().__iter__()


def test_the_newest_are_remembered() -> None:
    """Never more than the bound, and always the newest three quarters of it."""
    known = Watched()

    for number in range(5 * MOST):
        known[number] = None
        forget_oldest(known, most=MOST)

        assert len(known) <= MOST
        newest = range(max(0, number + 1 - 3 * MOST // 4), number + 1)
        assert newest[0] in known
        assert newest[-1] in known


def test_many_at_once_are_within_the_bound_too() -> None:
    """Whoever brings more than the whole of it leaves the newest."""
    known = Watched.fromkeys(range(10 * MOST))

    forget_oldest(known, most=MOST)

    assert list(known) == list(range(9 * MOST + MOST // 4, 10 * MOST))


def test_the_oldest_are_looked_for_seldom() -> None:
    """Each look passes over all that was forgotten before it, so it is for many at once."""
    known = Watched()

    for number in range(10 * MOST):
        known[number] = None
        forget_oldest(known, most=MOST)

    assert known.looks <= 4 * 10


def test_what_has_aged_twice_is_forgotten() -> None:
    """However little comes: what came behind the last time stays until the one after the next."""
    known: Recent[int] = Recent()

    known.note(range(3), most=MOST)
    known.age()
    known.note(range(2, 5), most=MOST)
    assert list(known) == [0, 1, 2, 3, 4]

    known.age()
    assert list(known) == [3, 4]
    known.age()
    assert not known


def test_what_is_lost_makes_nobody_else_old() -> None:
    """Who came behind the last time stays, though some of those before it are gone already."""
    known: Recent[int] = Recent()
    known.note(range(10), most=MOST)
    known.age()

    for number in range(10):
        known.lose(number)
    known.lose(99)
    known.note(range(10, 20), most=MOST)
    known.age()

    assert list(known) == list(range(10, 20))


def test_what_aged_within_the_bound_stays_within_it() -> None:
    """Where the bound has made the oldest go, those that came since are not taken for them."""
    known: Recent[int] = Recent()
    known.note(range(MOST), most=MOST)
    known.age()

    known.note(range(MOST, 2 * MOST), most=MOST)
    newest = list(known)
    known.age()

    assert len(newest) <= MOST
    assert list(known) == newest
