"""`aitbc config`: settings are judged as a whole file before one byte of it is written."""

import json
from pathlib import Path

import pytest
from checkout_copy import Checkout, copy_checkout

from aitbc_toolkit import settings
from aitbc_toolkit.errors import ConfigError, Exit

KEPT = "# All at once: a stop of two seconds costs nothing here, and waiting for waves would."


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Copy the checkout once; every test begins with its inventories as they were."""
    return copy_checkout(tmp_path_factory.mktemp("checkout") / "aitbc")


@pytest.fixture
def dev(tmp_path: Path, copied: Checkout) -> Path:
    """Give a test the inventory of dev for itself."""
    path = tmp_path / "dev" / "inventory.toml"
    path.parent.mkdir()
    path.write_text(copied.inventory("dev").read_text())
    return path


@pytest.mark.proves("E54")
def test_a_setting_is_shown_with_the_layer_that_won(copied: Checkout) -> None:
    """What the file says is told apart from what the schema supplies."""
    rows = {
        row["key"]: row
        for row in json.loads(copied.aitbc("config", "view", "--json", "-e", "dev").stdout)
    }
    one = copied.aitbc("config", "get", "profile.log_level", "-e", "dev")

    assert one.stdout.split() == ["profile.log_level", '"DEBUG"', "inventory"]
    assert rows["profile.approvals"]["layer"] == "inventory"
    assert rows["instances.v1.power"] == {
        "key": "instances.v1.power",
        "value": 1,
        "layer": "default",
    }
    typo = copied.aitbc("config", "get", "profile.log_levl", "-e", "dev")
    assert typo.returncode == Exit.USAGE
    assert "the nearest is profile.log_level" in typo.stderr


@pytest.mark.proves("E54")
@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("profile.log_level", "LOUD", "profile.log_level"),
        ("profile.approvals", "-1", "profile.approvals"),
        ("profile.log_levl", "INFO", "unknown key profile.log_levl, the nearest is log_level"),
        ("instances.v2.host", "localhots", "unknown host 'localhots'"),
        ("instances.v2.ports.rpc", "8710", "port 8710 of host localhost is given to 2 listeners"),
        ("chain.block_interval_ms", "10", "a proposal of kind param changes it"),
        ("chain.assets.mUSDA.mint_policy", "fixed", "a proposal of kind param changes it"),
    ],
)
def test_a_bad_value_is_refused_and_the_file_unchanged(
    dev: Path, key: str, value: str, said: str
) -> None:
    """Types, names, contradictions and what is the chain's: not a byte is written."""
    before = dev.read_bytes()

    with pytest.raises(ConfigError) as refused:
        settings.change(dev, key, value)

    of_the_chain = key.startswith("chain.")
    assert said in refused.value.message
    assert refused.value.exit_status is (Exit.CONFIG if of_the_chain else Exit.USAGE)
    assert ("edit " in refused.value.hint) is of_the_chain
    assert dev.read_bytes() == before


@pytest.mark.proves("E54")
def test_a_change_keeps_comments_and_order(dev: Path) -> None:
    """One line differs; what people wrote around it stays."""
    before = dev.read_text()

    edit = settings.change(dev, "profile.log_level", "INFO")
    edit.write()
    settings.change(dev, "instances.v1.ports.rpc", "8799").write()

    expected = before.replace('log_level = "DEBUG"', 'log_level = "INFO"')
    assert dev.read_text() == expected.replace("rpc = 8710", "rpc = 8799")
    assert KEPT in dev.read_text()
    assert [line for line in edit.diff if line[0] in "+-"][2:] == [
        '-log_level = "DEBUG"',
        '+log_level = "INFO"',
    ]


@pytest.mark.proves("E54")
@pytest.mark.parametrize("name", ["dev", "lab", "staging", "production"])
@pytest.mark.parametrize("form", ["toml", "json"])
def test_what_was_exported_comes_in_without_a_change(
    copied: Checkout, name: str, form: str
) -> None:
    """In both forms; a change in between is the only one that is written."""
    path = copied.inventory(name)
    document = settings.export(path)
    text = json.dumps(document) if form == "json" else settings.to_toml(document)

    same = settings.take_in(path, text)
    other = settings.take_in(path, text.replace("network_size", "network_size", 1))
    document["profile"]["network_size"] += 1
    changed = settings.take_in(path, settings.to_toml(document))

    assert same.after == same.before == other.after
    assert [line.partition(" ")[0] for line in changed.diff if line[0] in "+-"][2:] == [
        "-network_size",
        "+network_size",
    ]


def test_nodes_are_added_and_removed_by_import(dev: Path) -> None:
    """What the document does not have goes, tables and all; the rest keeps its comments."""
    document = settings.export(dev)
    document["instances"]["f1"] = {
        "host": "localhost",
        "role": "full",
        "ports": {"p2p": 8640, "rpc": 8740, "admin": 8790},
    }
    settings.take_in(dev, json.dumps(document)).write()
    added = dev.read_text()
    del document["instances"]["f1"]
    settings.take_in(dev, json.dumps(document)).write()

    assert "f1" in added
    assert "f1" not in dev.read_text()
    assert KEPT in dev.read_text()


def test_import_cannot_change_the_chain(dev: Path) -> None:
    """A document of another chain is refused, whatever else it says."""
    document = settings.export(dev)
    document["chain"]["id"] = "aitbc-other-1"

    with pytest.raises(ConfigError, match=r"chain\.id is the chain's"):
        settings.take_in(dev, json.dumps(document))


@pytest.mark.proves("E54")
def test_secrets_are_masked_wherever_settings_are_shown(copied: Checkout) -> None:
    """A password in an address is covered on screen and in the export, which stays out then."""
    path = copied.inventory("dev")
    before = path.read_text()
    canary = "hunter2-canary"

    done = copied.aitbc(
        "config", "set", "hosts.localhost.address", f"x://me:{canary}@h", "-e", "dev"
    )
    shown = [copied.aitbc("config", *words, "-e", "dev") for words in (["view"], ["export"])]
    back = copied.aitbc("config", "import", "-", "-e", "dev", stdin=shown[1].stdout)

    path.write_text(before)
    assert done.returncode == Exit.OK, done.stderr
    assert all(canary not in ran.stdout + ran.stderr for ran in [done, *shown])
    assert back.returncode == Exit.CONFIG
    assert "was masked when it was exported" in back.stderr


def test_production_is_changed_only_when_it_is_meant(copied: Checkout) -> None:
    """Nobody to ask, nothing written."""
    path = copied.inventory("production")
    before = path.read_text()
    words = ("config", "set", "profile.log_level", "ERROR", "-e", "production")

    refused = copied.aitbc(*words)

    assert refused.returncode == Exit.USAGE
    assert path.read_text() == before
    assert copied.aitbc(*words, "--yes").returncode == Exit.OK
    assert 'log_level = "ERROR"' in path.read_text()
    path.write_text(before)
