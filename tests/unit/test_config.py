"""node.toml: every mistake is one line that names the file and the key."""

import re
from pathlib import Path

import pytest

from aitbc_node import config, limits
from aitbc_node.errors import ConfigError, Exit
from aitbc_toolkit import paths

WHERE = Path("/etc/aitbc/n1/node.toml")
LEAST = """
[node]
id = "n1"
role = "validator"
data_dir = "data"
key_dir = "/keys"
genesis = "genesis.json"

[p2p]
listen = "127.0.0.1:8600"
"""


def parsed(text: str) -> config.Config:
    """Judge a text as if it were a file."""
    return config.parse(text, WHERE)


def refusal(text: str) -> ConfigError:
    """Return the error of a text that is wrong."""
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    assert caught.value.exit_status == Exit.CONFIG
    assert "\n" not in caught.value.message
    return caught.value


def test_the_least_file_gets_the_defaults() -> None:
    """Only who, where and which chain must be said."""
    found = parsed(LEAST)

    assert found.consensus.block_interval_ms == limits.BLOCK_INTERVAL_MS
    assert (found.storage.backend, found.metrics.enabled, found.p2p.admission) == (
        "disk",
        True,
        "open",
    )


def test_relative_paths_begin_at_the_file() -> None:
    """Where the process was started does not matter."""
    found = parsed(LEAST)

    assert found.data_dir == Path("/etc/aitbc/n1/data")
    assert found.key_dir == Path("/keys")
    assert found.run_dir == Path("/etc/aitbc/n1/data/run")
    assert found.genesis_file == Path("/etc/aitbc/n1/genesis.json")


def test_everything_can_be_said() -> None:
    """The example with every section is read into typed values."""
    found = parsed(
        LEAST
        + """
bootstrap = [{ id = "00112233445566778899aabbccddeeff00112233", address = "[::1]:8601" }]
allowed = ["ff112233445566778899aabbccddeeff00112233"]
admission = "listed"
[consensus]
block_interval_ms = 200
[rpc]
listen = "0.0.0.0:8710"
admin_listen = "127.0.0.1:8760"
admin_token_file = "/keys/admin.token"
[mempool]
max_txs = 5
[storage]
backend = "memory"
[metrics]
enabled = false
"""
    )

    assert found.p2p.bootstrap[0].peer_id == bytes.fromhex(
        "00112233445566778899aabbccddeeff00112233"
    )
    assert (found.consensus.block_interval_ms, found.mempool.max_txs) == (200, 5)


@pytest.mark.parametrize(
    ("typo", "named", "nearest"),
    [
        (
            "[consensus]\nblock_intervall_ms = 1",
            "consensus.block_intervall_ms",
            "block_interval_ms",
        ),
        ("[consenus]\n", "[consenus]", "consensus"),
        ("bootstrp = []", "p2p.bootstrp", "bootstrap"),
        ("[mempool]\nzzz = 1", "mempool.zzz", "max_txs"),
    ],
)
def test_a_typo_names_the_file_and_the_nearest_key(typo: str, named: str, nearest: str) -> None:
    """An unknown key is never ignored."""
    error = refusal(LEAST + typo)

    assert error.message == f"{WHERE}: unknown key {named}"
    assert nearest in error.hint


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (LEAST.replace('role = "validator"\n', ""), "node"),
        (LEAST.replace('"validator"', '"boss"'), "node.role"),
        (LEAST.replace('id = "n1"', 'id = "no spaces"'), "node.id"),
        (LEAST.replace('id = "n1"', "id = 1"), "node.id"),
        (LEAST.replace("127.0.0.1:8600", "8600"), "p2p"),
        (LEAST.replace("127.0.0.1:8600", "::1:8600"), "brackets"),
        (LEAST.replace("127.0.0.1:8600", "host:99999"), "host:99999"),
        (LEAST + '[consensus]\nblock_interval_ms = "fast"', "consensus.block_interval_ms"),
        (LEAST + "[consensus]\nblock_interval_ms = 1", "consensus.block_interval_ms"),
        (LEAST + "[consensus]\nblock_interval_ms = true", "consensus.block_interval_ms"),
        (LEAST + "[consensus]\ntimeout_cap_ms = 20", "timeout_cap_ms"),
        (LEAST + 'bootstrap = [{ id = "00", address = "a:1" }]', "p2p.bootstrap[0].id"),
        (LEAST + '[rpc]\nadmin_listen = "0.0.0.0:1"', "loopback"),
        (LEAST + '[storage]\nbackend = "tape"', "storage.backend"),
        (LEAST + "[sync]\ntrusted_height = 5", "trusted_hash come together"),
        (LEAST + f'[sync]\ntrusted_hash = "{"0" * 64}"', "trusted_hash come together"),
        (LEAST + '[sync]\ntrusted_height = 5\ntrusted_hash = "00"', "sync.trusted_hash"),
        ("consensus = 1", "[consensus]"),
        ("[node", "not TOML"),
    ],
)
def test_a_wrong_value_names_its_key(text: str, names: str) -> None:
    """Type, bounds, form and relations: each refusal says where."""
    error = refusal(text)

    assert error.message.startswith(f"{WHERE}: ")
    assert names in error.message


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    """So is one that is not text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("missing.toml", "binary", "."):
        with pytest.raises(ConfigError, match=str(tmp_path / name)):
            config.load(tmp_path / name)


def test_every_field_says_what_it_does() -> None:
    """Documents are made of the fields themselves."""
    rows = list(config.describe())

    assert len(rows) > 25
    assert all(meaning not in ("", "None") for *_, meaning in rows)
    assert next(row[:3] for row in rows if row[0] == "consensus.block_interval_ms") == (
        "consensus.block_interval_ms",
        "integer 10..3600000",
        "500",
    )


def test_the_readme_has_every_key_and_its_example_is_valid() -> None:
    """The table in the node's README is made of the fields; its example is a whole file."""
    readme = (paths.project_root() / "node" / "README.md").read_text(encoding="utf-8")

    for key, kind, default, meaning in config.describe():
        assert f"| `{key}` | {kind} | {default} | {meaning} |" in readme
    (example,) = re.findall(r"^```toml\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert parsed(example).node.id == "n1"
