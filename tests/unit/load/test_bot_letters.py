"""Letters between bots are small and few, and go to whom they are for."""

import pytest
from msgspec import convert

from aitbc_load.letters import UNREAD_MAX, Bucket, Letter, Tray, is_good, name, routes, worker_of


def a_letter(number: int = 0, **changed: object) -> Letter:
    """Write one to everybody."""
    usual = {"kind": "event", "sender": "0/3", "body": {"number": number}}
    return convert({**usual, **changed}, Letter)


@pytest.mark.parametrize(
    ("to", "workers"),
    [("", [1, 2]), ("1/0", [1]), ("0/9", []), ("3/0", []), ("-1/0", []), ("nobody", [])],
)
def test_a_letter_goes_to_the_workers_it_is_for(to: str, workers: list[int]) -> None:
    """Never back to its own, and nowhere where the name is none."""
    assert routes(a_letter(to=to), 3) == workers
    assert routes(a_letter(sender="x"), 3) == []
    assert worker_of(name(2, 14)) == 2


@pytest.mark.parametrize(
    ("changed", "is_right"),
    [
        ({}, True),
        ({"body": {"text": "x" * 1_000}}, True),
        ({"body": {"text": "x" * 1_024}}, False),
        ({"kind": "request", "to": "1/0", "correlation": "a"}, True),
        ({"kind": "request", "to": "1/0"}, False),
        ({"kind": "response", "correlation": "a"}, False),
    ],
)
def test_a_letter_is_small_and_an_answer_names_its_question(
    changed: dict[str, object], *, is_right: bool
) -> None:
    """A request and its response are to somebody and hold the same id."""
    assert is_good(a_letter(**changed)) == is_right


def test_the_oldest_goes_where_nobody_reads() -> None:
    """A tray holds so many; how many were lost is known."""
    tray = Tray()
    for number in range(UNREAD_MAX + 3):
        tray.put(a_letter(number))

    found = tray.take()

    assert (len(found), found[0].body["number"], tray.lost) == (UNREAD_MAX, 3, 3)
    assert tray.take() == []


def test_so_many_a_second_pass() -> None:
    """As many at once as in a second, and then as time goes."""
    bucket = Bucket(10)

    assert sum(bucket.takes(5.0) for _ in range(50)) == 10
    assert sum(bucket.takes(5.5) for _ in range(50)) == 5
    assert sum(bucket.takes(99.0) for _ in range(50)) == 10
