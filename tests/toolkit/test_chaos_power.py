"""A fault without a word on its power spares what the mesh needs at that moment."""

import pytest

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import sparing
from aitbc_toolkit.release.powers import Powers

pytestmark = pytest.mark.unit

FOUR = Powers({"v1": 1, "v2": 1, "v3": 1, "v4": 1, "f1": 0}, 4)


def refusal(monkeypatch: pytest.MonkeyPatch, votes: str, hit: str) -> AitbcError | None:
    """Hit some nodes of a mesh in which these vote."""
    monkeypatch.setattr(sparing.Mesh, "statuses", lambda _: {})
    monkeypatch.setattr(sparing.powers, "told", lambda *_: FOUR)
    monkeypatch.setattr(sparing, "voting", lambda *_: votes.split())
    monkeypatch.setattr(sparing, "_PATIENCE_S", 0.0)
    try:
        sparing.keep_blocks(Inventory.load("production"), hit.split())
    except AitbcError as refused:
        return refused
    return None


@pytest.mark.parametrize(
    ("votes", "hit"),
    [
        ("v1 v2 v3 v4", "v4"),
        ("v1 v2 v3", "v4"),
        ("v1 v2 v3", "f1"),
        ("v1 v2", "v2"),
    ],
)
def test_who_can_be_spared_is_hit(monkeypatch: pytest.MonkeyPatch, votes: str, hit: str) -> None:
    """Who adds nothing now may be hit, and where no block is made anyway all may."""
    assert refusal(monkeypatch, votes, hit) is None


@pytest.mark.parametrize(
    ("votes", "hit"), [("v1 v2 v3 v4", "v3 v4"), ("v1 v2 v3", "v3"), ("v1 v2 v3", "f1 v1")]
)
def test_the_last_that_blocks_need_are_not(
    monkeypatch: pytest.MonkeyPatch, votes: str, hit: str
) -> None:
    """With one of four down 25 % more is too much, though less than the cap; the sum says so."""
    found = refusal(monkeypatch, votes, hit)

    assert found is not None
    assert found.exit_status is Exit.REFUSED
    assert "3*2 = 6 <= 2*4 = 8" in found.message
