"""A rotation that is cut, or whose node dies, ends in time and is in the audit log."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aitbc_toolkit import payments
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import audit, rotating
from aitbc_toolkit.release.permission import Permit

PERMIT = Permit("Ann", bypassed=True)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Give an environment that nobody has used."""
    return Inventory.load("staging", state=tmp_path)


def audited(environment: Environment) -> list[dict[str, Any]]:
    """Read what the audit log says."""
    lines = audit.path_of(environment).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def silent_tell(_record: object) -> None:
    """Show nobody how far it is."""


def test_a_node_that_died_after_its_key_was_handed_in_is_not_waited_for_for_ever(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers not once: after the grace the command ends with 124."""
    mesh = SimpleNamespace(statuses=dict.fromkeys)

    @contextmanager
    def looking(*_given: object) -> Iterator[Any]:
        yield SimpleNamespace(mesh=mesh)

    now_s = (float(10 * turn) for turn in count())
    clock = SimpleNamespace(monotonic=lambda: next(now_s), sleep=lambda _s: None)
    monkeypatch.setattr(rotating, "looking", looking)
    monkeypatch.setattr(rotating, "time", clock)

    with pytest.raises(AitbcError, match="has not voted with its new key") as caught:
        rotating._await(environment, rotating.Rotation("v1", "a", "b", 9), silent_tell)

    assert caught.value.exit_status == Exit.DEADLINE


def test_a_wait_that_is_cut_leaves_what_was_handed_in_in_the_audit_log(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger has the transaction whatever becomes of the waiting, so the log has it, too."""

    def cut(*_given: object, **_options: object) -> None:
        raise AitbcError("interrupted", hint="", exit_status=Exit.INTERRUPTED)

    monkeypatch.setattr(payments, "hand_in", lambda *_given: (b"raw", "7e"))
    told = {"key": "new", "proof": "", "operator": "", "made": True}
    run = SimpleNamespace(
        environment=environment,
        tell=silent_tell,
        crew=SimpleNamespace(next_key=lambda _name: told),
    )
    row, mesh = SimpleNamespace(key="old", address=""), SimpleNamespace(wait=cut)

    with pytest.raises(AitbcError, match="interrupted"):
        rotating._replace(cast("Any", run), cast("Any", mesh), "v1", cast("Any", row), PERMIT)

    (entry,) = audited(environment)
    assert (entry["outcome"], entry["who"], entry["bypassed"]) == ("handed in", "Ann", True)
    assert entry["subject"] == "v1: old gives way to new"


def test_going_on_with_a_rotation_that_was_cut_is_in_the_audit_log(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is handed in again, and who waited on is known."""

    @contextmanager
    def given(*_given: object, **_options: object) -> Iterator[Any]:
        yield SimpleNamespace()

    row = SimpleNamespace(key="old", next_key="new")
    monkeypatch.setattr(rotating, "at_work", given)
    monkeypatch.setattr(rotating, "open_mesh", given)
    monkeypatch.setattr(rotating, "_seen", lambda *_given: (row, 40))

    way = rotating.Way(force=True)
    told: list[Any] = []
    found = rotating._begin(environment, "v1", told.append, way, PERMIT)

    assert found == rotating.Rotation("v1", "old", "new", 40)
    (warned,) = [each["text"] for each in told]
    assert "the ledger's next key of v1, new, was not made from this machine" in warned
    (entry,) = audited(environment)
    assert (entry["outcome"], entry["who"], entry["bypassed"]) == ("waited on", "Ann", True)
