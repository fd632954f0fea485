"""What do `30s`, `50%` and `20/s` mean as numbers? The schema has seen to their form."""

import re
from typing import Final

RATE_MAX: Final = 1_000_000
"""No machine hands in more than so many a second."""
LASTS_MAX_S: Final = 366 * 86_400
"""Nothing here lasts longer than a year."""
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9.]+)(ms|s|m|h)")


def seconds(written: str) -> float:
    """Read a length of time."""
    found = _DURATION.fullmatch(written)
    assert found is not None, "the schema lets nothing else through"
    return float(found[1]) * _SECONDS[found[2]]


def share(written: str) -> float:
    """Read a percentage as a part of one."""
    return float(written.removesuffix("%")) / 100


def rate(written: str) -> float:
    """Read how many a second."""
    return float(written.removesuffix("/s"))


def megabytes(written: str) -> int:
    """Read how many bytes."""
    return int(written.removesuffix("MB")) * 1_000_000


def number(written: str | float) -> float:
    """Read a plain number, or a length of time in seconds."""
    return seconds(written) if isinstance(written, str) else float(written)
