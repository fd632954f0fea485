"""What did a person put a name and a date to, that no program can look up? One file, by item.

`inventories/<env>/signoffs.toml`: a table per item with `date`, `by` and, if there is more to say,
`note`. A sign-off ends after half a year. Do not add items that a program could check.
"""

import datetime as dt
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from aitbc_toolkit import entries
from aitbc_toolkit.entries import Entry, MistakenError
from aitbc_toolkit.errors import ConfigError

FILE = "signoffs.toml"
VALID_DAYS = 183

# The item, and what its signer vouches for.
ITEMS: Mapping[str, str] = {
    "second-factor": "operators' accounts at the git server need a second factor",
    "emergency-contacts": "who is called at night is written down and answers",
    "restore-rehearsed": "a backup was restored on other hosts",
    "security-scan": "hosts and dependencies were scanned and the findings judged",
}


class SignOff(Entry, frozen=True, kw_only=True):
    """Hold what one person signed."""

    date: dt.date
    by: Annotated[str, Meta(min_length=1)]
    note: str = ""


def read(path: Path) -> dict[str, SignOff]:
    """Read the sign-offs of an environment; none without a file.

    Raises: ConfigError for unknown items and for what is no date or name.
    """
    if not path.is_file():
        return {}
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
        found = entries.read(dict[str, SignOff], written)
    except (tomllib.TOMLDecodeError, MistakenError) as wrong:
        raise ConfigError(f"{path}: {wrong}", hint=f"edit {path}") from wrong
    strangers = sorted(set(found) - set(ITEMS))
    if strangers:
        raise ConfigError(
            f"{path}: unknown items {', '.join(strangers)}", hint=f"there are {', '.join(ITEMS)}"
        )
    return found


def judge(signed: SignOff | None, *, today: dt.date) -> tuple[str, str]:
    """Tell state and evidence of one item: `pass`, or `unsigned` with the reason."""
    if signed is None:
        return "unsigned", "nobody has signed it"
    said = f"{signed.by} on {signed.date}" + (f": {signed.note}" if signed.note else "")
    if signed.date > today:
        return "unsigned", f"dated in the future, {said}"
    if (today - signed.date).days > VALID_DAYS:
        return "unsigned", f"older than {VALID_DAYS} days, {said}"
    return "pass", said
