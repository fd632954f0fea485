"""Text for people: the same judgement under every Python version."""

import pytest

from aitbc_node.ledger.forms import is_plain_text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("", True),
        ("abcd", True),
        ("abcde", False),
        ("\u00e9", True),
        ("e\u0301", False),
        ("\u00e9\u00e9\u00e9", False),
        ("\U0001f600", False),
    ],
)
def test_plain_text(text: str, *, plain: bool) -> None:
    """At most so many bytes of UTF-8, in form C, assigned since Unicode 3.2."""
    assert is_plain_text(text, bytes_max=4) is plain
