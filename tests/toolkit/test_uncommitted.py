"""What a plan and a deploy say of work that no commit has."""

import dataclasses
import subprocess
from pathlib import Path

import pytest

from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import preview
from aitbc_toolkit.release.source import Revision

COMMITTED = Revision("c" * 40, "a change", dirty=1, snapshot=False)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Give an environment whose inventory is committed in a checkout of the test's own."""
    text = (Inventory.load("dev").inventories / "dev" / "inventory.toml").read_text()
    path = tmp_path / "inventories/dev/inventory.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    named = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false")
    for words in (("init", "--quiet"), ("add", "."), (*named, "commit", "--quiet", "-m", "first")):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    found = Inventory.load("dev", state=tmp_path / "state")
    return dataclasses.replace(found, inventories=tmp_path / "inventories")


def said(environment: Environment, revision: Revision) -> list[str]:
    """List the warnings."""
    notes: list[str] = []
    preview.warn_uncommitted(
        environment, revision, lambda record: notes.append(str(record["text"]))
    )
    return notes


def test_an_edited_inventory_is_deployed_as_it_is_and_that_is_said(
    environment: Environment,
) -> None:
    """Code comes from the commit, configuration from here: neither passes for the other."""
    before = said(environment, COMMITTED)
    path = environment.inventories / "dev" / "inventory.toml"
    path.write_text(path.read_text() + "\n# edited\n")

    after = said(environment, COMMITTED)

    assert [each.partition(":")[2] for each in before] == [
        " 1 changed path not committed and so not deployed; --dirty takes them along"
    ]
    assert after == [
        *before,
        "warning: the configuration is that of inventories/dev as it is here, edits included",
    ]
    assert said(environment, dataclasses.replace(COMMITTED, dirty=0, snapshot=True)) == []
