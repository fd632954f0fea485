"""What a run takes the mesh for before it changes anything."""

from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pretend_nodes import a_status

from aitbc_node.rpc import schema
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import facts
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.reading import Mesh

ALL = ("v1", "v2", "v3", "v4")
DEV = Inventory.load("dev")
Looks = Sequence[Mapping[str, schema.Status | None]]


def heights(**changed: int) -> dict[str, schema.Status | None]:
    """Four nodes at height 50, unless told else; 0 does not answer."""
    told = dict.fromkeys(ALL, 50) | changed
    return {name: a_status(name, height) if height else None for name, height in told.items()}


def a_mesh(looks: Looks) -> tuple[Mesh, Iterator[Any]]:
    """Answer one look after the other; the last one for ever."""
    left = iter(looks[:-1])
    fake = SimpleNamespace(environment=DEV, statuses=lambda: next(left, looks[-1]))
    return cast("Mesh", fake), left


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_LOOK_S", 0.0)


def test_a_running_validator_that_was_late_is_looked_at_again() -> None:
    """One slow answer is no reason to refuse a run."""
    mesh, _ = a_mesh([heights(v4=0), heights(v3=40), heights()])

    assert voting(DEV, facts.settled(mesh, ALL)) == list(ALL)


def test_a_validator_that_stays_silent_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The looks end by themselves."""
    monkeypatch.setattr(facts, "_SECOND_LOOKS_S", 0.05)
    mesh, _ = a_mesh([heights(v4=0)])

    assert voting(DEV, facts.settled(mesh, ALL)) == ["v1", "v2", "v3"]


@pytest.mark.parametrize(
    ("look", "active"),
    [(heights(v4=0), ("v1", "v2", "v3")), (heights(v1=0, v2=0, v3=0, v4=0), ALL)],
    ids=["it does not run", "nobody votes"],
)
def test_nobody_waits_for_what_will_not_come(
    look: Mapping[str, schema.Status | None], active: tuple[str, ...]
) -> None:
    """A node that is down, or a mesh that is, is told at the first look."""
    mesh, left = a_mesh([look, heights(), heights()])

    assert facts.settled(mesh, active) == look
    assert len(list(left)) == 1
