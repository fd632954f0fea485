"""Is there as much money as was made? Judged by what each node says of all assets, summed anew.

Pure. A payee's balance shows money that came to it; this shows money that came to anybody. Do not
add how nodes are asked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aitbc_load.chainwatch import BROKEN, HELD, UNKNOWN, Check

NAME = "supply_conserved"


@dataclass(frozen=True, slots=True)
class Supply:
    """Hold what one node says of one asset. Units: base units of the asset."""

    supply: int
    minted: int
    burned: int
    held: int
    """What accounts and pools add up to."""


def check(before: int | None, native: str, told: Mapping[str, Mapping[str, Supply]]) -> Check:
    """Judge that nothing is held that was not made, and that nobody made any of the native asset.

    Shape: `before` is how much of it had been minted when the run began, `told` the assets that
    each node names that answers.
    """
    if wrong := list(_faults(before, native, told)):
        return Check(NAME, BROKEN, wrong[0])
    if before is None or not told:
        return Check(NAME, UNKNOWN, "no quorum told the supply")
    return Check(NAME, HELD, f"{max(map(len, told.values())):,} assets")


def _faults(
    before: int | None, native: str, told: Mapping[str, Mapping[str, Supply]]
) -> Iterator[str]:
    for node, assets in told.items():
        for ticker, row in assets.items():
            if row.supply != row.minted - row.burned:
                figures = f"supply {row.supply:,}, minted {row.minted:,}, burned {row.burned:,}"
                yield f"{node} says of {ticker}: {figures}"
            if row.held != row.supply:
                yield f"{node} says of {ticker}: held {row.held:,}, supply {row.supply:,}"
        made = assets[native].minted if native in assets else before
        if before is not None and made != before:
            yield f"{node} says that {made:,} {native} were minted, {before:,} at the beginning"
