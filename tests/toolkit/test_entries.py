"""What a settings file may hold is said once and read by two: one is quick, the other tells."""

import copy
import tomllib
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest

from aitbc_toolkit import entries, explaining, paths
from aitbc_toolkit.declared import Declared
from aitbc_toolkit.entries import Entry, MistakenError

ODD: tuple[Any, ...] = (
    0,
    -1,
    1,
    1.0,
    True,
    "",
    "x",
    "a\n",
    "0" * 64,
    [],
    ["x"],
    {},
    {"a": 1},
    2**60,
)


class Inner(Entry, frozen=True, kw_only=True):
    """A table in a table."""

    count: Annotated[int, msgspec.Meta(ge=1)]


class Outer(Entry, frozen=True, kw_only=True):
    """A table with everything that a table may have."""

    name: str
    inner: dict[str, Inner] = msgspec.field(default_factory=dict)
    words: Annotated[list[str], msgspec.Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: ["a"]
    )


def test_every_mistake_is_told_at_once_with_its_key() -> None:
    """Missing, unknown, of a wrong type and out of bounds: one reading finds all of them."""
    wrong = {"inner": {"a": {"count": 0, "cuont": 1}, "b": {}}, "words": [], "nmae": "x"}

    with pytest.raises(MistakenError) as mistaken:
        entries.read(Outer, wrong)

    assert mistaken.value.found == [
        "name is missing",
        "inner.a.count: input should be greater than or equal to 1, found 0",
        "unknown key inner.a.cuont, the nearest is count",
        "inner.b.count is missing",
        "words: list should have at least 1 item after validation, not 0, found []",
        "unknown key nmae, the nearest is name",
    ]


def edited(table: dict[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Put something odd in the place of each value of a document, one at a time."""
    for key, value in table.items():
        place = (*at, key)
        yield ".".join(place), place
        if isinstance(value, dict):
            yield from edited(value, place)


def test_both_readers_refuse_the_same() -> None:
    """Whatever stands in whichever place: what one of them takes, the other takes too."""
    path = paths.inventories() / "production" / "inventory.toml"
    whole = tomllib.loads(path.read_text(encoding="utf-8"))
    differing, taken = [], 0
    for name, place in edited(whole):
        for odd in ODD:
            document = copy.deepcopy(whole)
            table = document
            for part in place[:-1]:
                table = table[part]
            table[place[-1]] = odd
            told = explaining.mistakes(Declared, document)
            try:
                msgspec.convert(document, Declared)
                taken += 1
            except msgspec.ValidationError:
                differing += [] if told else [(name, odd)]
            else:
                differing += [(name, odd)] if told else []

    assert differing == []
    assert taken > len(ODD)  # some of the odd values are right somewhere


def test_what_only_the_quick_reader_refuses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing passes because the one that tells finds no words."""
    monkeypatch.setattr(explaining, "mistakes", lambda _kind, _document: [])

    with pytest.raises(MistakenError, match="Expected `str`, got `int`"):
        entries.read(Outer, {"name": 1})
