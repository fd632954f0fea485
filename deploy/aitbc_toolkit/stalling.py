"""Does a mesh make no blocks any more? Judged by what its nodes say of the newest one.

Apart from `overview`, whose client takes longer to load than a deploy takes to find that nothing is
to be done. Pure; asks nobody.
"""

from collections.abc import Iterable

from aitbc_node.rpc import schema

_INTERVALS = 3
_ROUND_MS = 8_000
"""A round that fails at the capped time-outs takes this long, so silence till then is no stall."""


def is_stalled(statuses: Iterable[schema.Status], interval_ms: int) -> bool:
    """Tell whether even the newest block is old, by the clocks of the nodes themselves."""
    ages = [each.block_age_ms for each in statuses if each.height > 0]
    return bool(ages) and min(ages) > _INTERVALS * interval_ms + _ROUND_MS
