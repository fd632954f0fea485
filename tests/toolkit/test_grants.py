"""Roles are given and taken in the trust file, and never so that nobody is left to do it."""

from pathlib import Path

import pytest
from signed_work import a_key, public

from aitbc_toolkit.errors import AitbcError, ConfigError, Exit, UsageError
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import audit, grants, safekeeping
from aitbc_toolkit.release.allowed import Role
from aitbc_toolkit.release.safekeeping import Change

HEAD = "# whom we trust\n"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Make a key for each of three people."""
    folder = tmp_path_factory.mktemp("keys")
    return {name: a_key(folder, name) for name in ("dora", "rita", "new")}


@pytest.fixture
def staging(tmp_path: Path, keys: dict[str, Path]) -> Environment:
    """Be an environment in which dora operates and rita releases what a rule names."""
    folder = tmp_path / "inventories" / "staging"
    folder.mkdir(parents=True)
    source = Path(__file__).parents[2] / "inventories" / "staging" / "inventory.toml"
    (folder / "inventory.toml").write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    signers = "".join(
        f'[[signers]]\nprincipal = "{name}@example"\nkey = "{public(keys[name])}"\n'
        f'roles = ["{role}"]\n'
        for name, role in (("dora", "operator"), ("rita", "release"))
    )
    rule = '[[rules]]\nname = "main"\npath = "/srv/a.git"\nbranch = "main"\n'
    text = f'{HEAD}{signers}{rule}signers = ["rita@example"]\n'
    (folder / "trust.toml").write_text(text, encoding="utf-8")
    return Inventory.load("staging", folder=folder.parent, state=tmp_path / "state")


def change(staging: Environment, keys: dict[str, Path], edit: Change) -> None:
    """Change the file as dora."""
    grants.change(staging, "a grant", edit, key=keys["dora"], verb="grant")


def held(staging: Environment) -> dict[str, list[Role]]:
    """Tell who holds which roles."""
    return {each.principal: each.roles for each in safekeeping.load(staging).valid()}


def test_roles_come_and_go_and_the_rest_of_the_file_stays(
    staging: Environment, keys: dict[str, Path]
) -> None:
    """A second role, a new signer, and the role taken back: comments and rules are kept."""
    file = safekeeping.folder_of(staging) / "trust.toml"
    before = file.read_text()

    change(staging, keys, grants.give("rita@example", "qa"))
    change(staging, keys, grants.give("new@example", "viewer", public_key=public(keys["new"])))

    assert held(staging) == {
        "dora@example": ["operator"],
        "rita@example": ["release", "qa"],
        "new@example": ["viewer"],
    }
    assert file.read_text().startswith(HEAD)
    change(staging, keys, grants.take("rita@example", "qa"))
    change(staging, keys, lambda document: safekeeping.remove(document, "new@example"))
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (grants.give("rita@example", "release"), "rita@example is release already"),
        (grants.give("rit@example", "qa"), "no signer is named 'rit@example', the nearest is rita"),
        (grants.give("rita@example", "qa", public_key="ssh-ed25519 x"), "has another key"),
        (grants.take("rita@example", "qa"), "rita@example is not qa, but release"),
        (grants.take("rita@example", "release"), "release is the only role of rita@example"),
        (grants.take("nobody@example", "qa"), "no signer is named 'nobody@example'"),
    ],
)
def test_a_grant_that_means_nothing_is_refused(
    staging: Environment, keys: dict[str, Path], edit: Change, why: str
) -> None:
    """What is held already, not held, or of nobody: a word of what is wrong, and no change."""
    before = held(staging)

    with pytest.raises(UsageError, match=why) as refused:
        change(staging, keys, edit)

    assert refused.value.hint
    assert held(staging) == before


@pytest.mark.parametrize("revoke", ["", "laptop lost"])
def test_the_last_who_may_change_trust_stays(
    staging: Environment, keys: dict[str, Path], revoke: str
) -> None:
    """Else the next stranger could name himself: refused, however the last one is to go."""

    def leave(document: safekeeping.Document) -> None:
        safekeeping.take_out(document, "dora@example", revoke=revoke)

    with pytest.raises(AitbcError, match="nobody left who may change whom it trusts") as refused:
        change(staging, keys, leave)

    assert refused.value.exit_status is Exit.REFUSED
    assert held(staging)["dora@example"] == ["operator"]
    change(staging, keys, grants.give("rita@example", "operator"))
    change(staging, keys, leave)
    assert "dora@example" not in held(staging)


def test_a_role_that_a_rule_needs_is_not_taken(staging: Environment, keys: dict[str, Path]) -> None:
    """Rita signs for the rule `main`: first the rule, then the role."""
    change(staging, keys, grants.give("rita@example", "qa"))

    with pytest.raises(ConfigError, match="rita@example lacks the role release"):
        change(staging, keys, grants.take("rita@example", "release"))

    assert held(staging)["rita@example"] == ["release", "qa"]
    records, _ = audit.check(audit.path_of(staging))
    assert [each.entry.outcome for each in records] == ["permitted", "done", "permitted"]
