"""What counts as a secret in a text that people read, and what does not."""

import pytest

from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import configuring, masking
from aitbc_toolkit.render import Configuration

KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('admin_token = "c0ffee"', ["admin_token"]),
        ("password: hunter2", ["password"]),
        ("+password: hunter2", ["password"]),
        ('  "api_secret": "hunter2",', ["api_secret"]),
        (f"a\n{KEY}\nb", ["a private key"]),
        ('url = "https://me:hunter2@example.org/"', ["a password"]),
    ],
)
def test_a_secret_is_named_and_covered(text: str, named: list[str]) -> None:
    """By the name of its setting, or by its look; nothing of it is left in the text."""
    covered = masking.masked(text)

    assert masking.secrets(text) == named
    assert not any(secret in covered for secret in ("c0ffee", "hunter2", "MC4CAQ"))
    assert masking.MASK in covered


@pytest.mark.parametrize(
    "text", ['admin_token_file = "/keys/v1/admin.token"', 'id = "v1"', "token_path: x", "tokens"]
)
def test_a_path_to_a_secret_is_none(text: str) -> None:
    """Configuration names the files that hold secrets; a plan shows that as it is."""
    assert masking.secrets(text) == []
    assert masking.masked(text) == text


def test_rendered_configuration_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every environment's files are judged before any host; a template that writes one is named."""
    for name in ("dev", "staging", "production"):
        configuring.rehearse(Inventory.load(name), "a" * 40)
    planted = Configuration("v1", {"node.toml": 'admin_token = "c0ffee"\n'}, "ab")
    monkeypatch.setattr(configuring.render, "configurations", lambda *_a, **_more: {"v1": planted})

    with pytest.raises(ConfigError, match=r"node\.toml of v1 would hold admin_token itself"):
        configuring.rehearse(Inventory.load("dev"), "a" * 40)
