"""Who may do what, by a key that proves itself; every answer is in the audit log."""

import itertools
from pathlib import Path

import pytest
from signed_work import a_key, public

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import audit, permission, roles
from aitbc_toolkit.release.allowed import Allowed, Role, Signer

EXPECTED = {
    "viewer": {"read"},
    "qa": {"read", "approve"},
    "release": {"read", "approve", "cut"},
    "operator": {"read", "approve", "deploy", "rollback", "operate", "trust"},
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[Role, Path]:
    """Make a key for one person of each role."""
    folder = tmp_path_factory.mktemp("keys")
    return {role: a_key(folder, role) for role in roles.ROLES}


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Be staging, with an audit log of its own."""
    return Inventory.load("staging", state=tmp_path)


def known(keys: dict[Role, Path], *, dev_mode: bool = False) -> Allowed:
    """Name one person of each role."""
    return Allowed(
        dev_mode=dev_mode,
        signers=[
            Signer(principal=f"{role}@example", key=public(key), roles=[role])
            for role, key in keys.items()
        ],
    )


def entries(environment: Environment) -> list[audit.Entry]:
    """Read the audit log, which has to be whole."""
    records, findings = audit.check(audit.path_of(environment))
    assert findings == []
    return [each.entry for each in records]


def outcome(
    environment: Environment, keys: dict[Role, Path], role: Role, action: roles.Action
) -> Exit:
    """Ask as the person of a role; give the status that the command line would end with."""
    try:
        permission.demand(environment, known(keys), action, key=keys[role], subject="this")
    except AitbcError as refusal:
        return refusal.exit_status
    return Exit.OK


@pytest.mark.proves("D10")
@pytest.mark.parametrize(("role", "action"), list(itertools.product(roles.ROLES, roles.ACTIONS)))
def test_check_09_77_what_no_role_allows_is_refused_and_audited(
    environment: Environment, keys: dict[Role, Path], role: Role, action: roles.Action
) -> None:
    """The whole table with real keys: a permit and a record, or status 77 and a record."""
    status = outcome(environment, keys, role, action)

    (entry,) = entries(environment)
    assert (entry.action, entry.subject, entry.who) == (action, "this", f"{role}@example")
    if action in EXPECTED[role]:
        assert (status, entry.outcome) == (Exit.OK, "permitted")
    else:
        assert (status, entry.outcome) == (Exit.DENIED, "not permitted")


@pytest.mark.proves("D5")
def test_what_dev_mode_lets_through_is_audited_as_bypassed(
    environment: Environment, keys: dict[Role, Path]
) -> None:
    """Nobody proves anything, and the record says so."""
    permit = permission.demand(
        environment, known(keys, dev_mode=True), "operate", key=None, subject="stop v1"
    )

    (entry,) = entries(environment)
    assert permit.bypassed
    assert entry.bypassed
    assert (entry.outcome, entry.reason) == ("permitted", "dev_mode")


def test_n_checks_are_n_records(environment: Environment, keys: dict[Role, Path]) -> None:
    """Grants and denials alike, in the order of the questions, each bound to the one before."""
    asked: list[tuple[Role, roles.Action]] = [
        *(("viewer", "deploy"), ("operator", "deploy")),
        *(("qa", "approve"), ("qa", "trust"), ("release", "cut")),
    ]
    for role, action in asked:
        outcome(environment, keys, role, action)

    assert [(each.who, each.action) for each in entries(environment)] == [
        (f"{role}@example", action) for role, action in asked
    ]
