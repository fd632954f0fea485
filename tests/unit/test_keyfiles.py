"""The operator's token is read as carefully as a key."""

from pathlib import Path

import pytest

from aitbc_node.errors import ConfigError
from aitbc_node.keyfiles import load_token

TOKEN = "0123456789abcdef" * 3


def a_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    """Write a token file."""
    path = folder / "admin.token"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_token_is_its_file_without_the_line_end(tmp_path: Path) -> None:
    """What the deployer wrote is what the operator sends."""
    assert load_token(a_file(tmp_path, TOKEN + "\n")) == TOKEN


@pytest.mark.parametrize("text", ["", "\n", "short", "two words " * 8, TOKEN[:31]])
def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path, text: str) -> None:
    """The node does not open its operator's interface with it; the hint makes a good one."""
    with pytest.raises(ConfigError, match="not a token") as caught:
        load_token(a_file(tmp_path, text))

    assert "openssl rand" in caught.value.hint


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A secret of everybody is none."""
    with pytest.raises(ConfigError, match="lets others read a secret token"):
        load_token(a_file(tmp_path, TOKEN, 0o640))


def test_a_missing_token_is_named(tmp_path: Path) -> None:
    """The operator learns which file is wanted and how it is made."""
    with pytest.raises(ConfigError, match="no such token file"):
        load_token(tmp_path / "none")
