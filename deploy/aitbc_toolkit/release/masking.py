"""Does a text that people are going to read hold a secret? Found by its name or its look.

Configuration holds paths to secrets, never secrets. Nothing is read or written here.
"""

import re

MASK = "***"

_ASSIGNMENT = re.compile(
    # The line may be one of a patch, and the key may be quoted as in JSON.
    r"^(?P<head>\+?\s*[\"']?"
    r"(?P<key>[\w.-]*(?:secret|password|passwd|token|private_key|mnemonic)[\w.-]*)[\"']?"
    r"\s*[=:]\s*)(?P<value>\S.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_PATH_KEY = re.compile(r"_(?:file|path|dir)$", re.IGNORECASE)
_LOOKS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=://)[^/\s:@]+:[^/\s:@]+(?=@)",
    re.DOTALL,
)


def secrets(text: str) -> list[str]:
    """Name what looks like a secret: the key of a setting, or the kind of text."""
    found = [each["key"] for each in _assignments(text)]
    found += ["a private key" if "KEY" in each[0] else "a password" for each in _hits(text)]
    return found


def masked(text: str) -> str:
    """Give the text with every secret covered."""
    for each in reversed(_assignments(text)):
        text = text[: each.start("value")] + MASK + text[each.end("value") :]
    return _LOOKS.sub(MASK, text)


def _assignments(text: str) -> list[re.Match[str]]:
    return [each for each in _ASSIGNMENT.finditer(text) if not _PATH_KEY.search(each["key"])]


def _hits(text: str) -> list[re.Match[str]]:
    return list(_LOOKS.finditer(text))
