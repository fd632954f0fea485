"""How is money written by people, and read from them? As decimals, but never as floats.

The ledger counts base units; 1.5 of an asset with 6 decimals are 1,500,000 of them.
"""

import re

from aitbc_node.limits import INT_MAX
from aitbc_toolkit.errors import UsageError

_PLAIN = re.compile(r"[0-9]+(\.[0-9]+)?")
_DIGITS_MAX = len(str(INT_MAX))


def read(text: str, *, decimals: int, asset: str) -> int:
    """Read a positive amount into base units.

    Raises: UsageError saying what is wrong with the text.
    """
    hint = f"write it like 1.5; {asset} has {decimals} decimals"
    if not _PLAIN.fullmatch(text):
        raise UsageError(f"amount {text[:40]!r} is not a plain decimal number", hint=hint)
    whole, _, fraction = text.partition(".")
    if len(fraction.rstrip("0")) > decimals:
        raise UsageError(
            f"amount {text[:40]} is finer than the {decimals} decimals of {asset}", hint=hint
        )
    scale: int = 10**decimals  # mypy takes a power for Any
    if len(whole.lstrip("0")) > _DIGITS_MAX:
        raise _too_much(text, decimals=decimals, asset=asset)
    units = int(whole) * scale + int(fraction[:decimals].ljust(decimals, "0") or "0")
    if units == 0:
        raise UsageError(f"amount {text} is nothing", hint=hint)
    if units > INT_MAX:
        raise _too_much(text, decimals=decimals, asset=asset)
    return units


def _too_much(text: str, *, decimals: int, asset: str) -> UsageError:
    return UsageError(
        f"amount {text[:40]} is more {asset} than an account can hold",
        hint=f"at most {write(INT_MAX, decimals=decimals)}",
    )


def write(units: int, *, decimals: int) -> str:
    """Write base units as people read them, all decimals shown: 1000 at 6 is 0.001000."""
    whole, fraction = divmod(units, 10**decimals)
    return f"{whole:,}.{fraction:0{decimals}}" if decimals else f"{whole:,}"
