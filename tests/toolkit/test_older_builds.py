"""When a rollback is refused because the older build could not go on from what is there."""

from types import SimpleNamespace
from typing import Any

import pytest

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import compatibility, versions

KNOWS = {"data_versions": [1, 2], "app_version": 3}


def a_run(*, data: int, app: int, notes: list[Any] | None = None) -> Any:
    """Be a run over one node that answers, in this version of data and rules."""
    status = SimpleNamespace(data_version=data, app_version=app)
    return SimpleNamespace(
        environment=SimpleNamespace(name="lab"),
        mesh=SimpleNamespace(statuses=lambda: {"v1": status, "v2": None}),
        tell=(notes if notes is not None else []).append,
    )


TARGET: Any = SimpleNamespace(commit="0123456789abcdef", places={"v1": ("0123456789abcdef", "c")})


@pytest.mark.parametrize(
    ("data", "app", "why"),
    [
        (3, 3, "its data are in version 3 since a finalize, that build reads 1 to 2"),
        (2, 4, "the chain has rules of version 4, that build knows 3"),
    ],
)
def test_check_06_an_older_build_that_does_not_know_the_data_or_rules_is_refused(
    data: int, app: int, why: str
) -> None:
    """Before anything is touched, with the reason and what works."""
    with pytest.raises(AitbcError) as refused:
        versions.refuse_unreadable(a_run(data=data, app=app), TARGET, {"v1": KNOWS})

    assert refused.value.exit_status is Exit.REFUSED
    assert f"  v1               {why}" in refused.value.message
    assert "changed so far   nothing" in refused.value.message
    assert "aitbc deploy lab --ref" in refused.value.hint


@pytest.mark.parametrize(("upgrade", "needed"), [(None, 4), (5, 5)])
def test_a_release_has_to_know_the_rules_that_are_planned(upgrade: int | None, needed: int) -> None:
    """It would stop at their height: whoever deploys it learns it before."""
    planned = None if upgrade is None else SimpleNamespace(height=99, app_version=upgrade)
    status: Any = SimpleNamespace(app_version=4, upgrade=planned)

    assert compatibility.rules_needed(status) == needed


def test_what_a_build_does_not_tell_is_not_available() -> None:
    """A release from before there were versions: said, and no reason to refuse."""
    notes: list[Any] = []

    versions.refuse_unreadable(a_run(data=2, app=3, notes=notes), TARGET, {"v1": KNOWS})
    assert notes == []
    versions.refuse_unreadable(a_run(data=9, app=9, notes=notes), TARGET, {"v1": {}})

    assert "not available" in notes[0]["text"]
