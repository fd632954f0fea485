"""From which height on do other rules hold?

The validators plan it; the state says which rules the next block follows, and every header repeats
it. A build that does not know them stops before that block. Whoever changes what a block results in
raises `APP_VERSION` and keeps the old rules where the state has an older version. Source: rules
2.12.

That binds from the first release on. Until then nobody runs a chain that has to outlive a build:
rules change in place, `APP_VERSION` stays, and a mesh is made anew instead of upgraded across.
"""

from msgspec.structs import replace

from aitbc_node.ledger import objects
from aitbc_node.ledger.objects import ObjectKey, Upgrade
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Height

APP_VERSION = 4
"""The newest rules that this build knows; new chains begin with them."""

APP_VERSION_OLDEST = 4
"""The oldest rules that this build can still follow."""

assert APP_VERSION_OLDEST <= APP_VERSION

_PLACE: ObjectKey = (objects.UPGRADE, b"")


def plan(draft: Draft, height: Height, app_version: int) -> None:
    """Have other rules from a height on, in place of what was planned before."""
    draft.put(_PLACE, Upgrade(height, app_version))


def cancel(draft: Draft) -> None:
    """Plan nothing any more."""
    draft.remove(_PLACE)


def activate(draft: Draft, height: Height) -> None:
    """Put the planned rules in force behind this height, if they are due."""
    planned = draft.upgrade
    if planned is not None and planned.height == height + 1:
        chain = replace(draft.chain, app_version=planned.app_version)
        draft.put((objects.CHAIN, b""), chain)
        draft.remove(_PLACE)
