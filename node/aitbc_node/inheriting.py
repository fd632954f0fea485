"""Who ends the change of a node's key when whoever began it is gone?

The ledger has put another key into the place of the node's own, everybody has closed the links to
it, and the files were to change places next. Where nobody does that the node does, and has itself
started anew. Do not add who asks for another key: `renaming.py`.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from pathlib import Path

from aitbc_node import renaming
from aitbc_node.errors import AitbcError
from aitbc_node.types import PeerId

GRACE_S = 10.0
"""So long whoever ordered it has for the rest; if both do it, that is one start more."""
LOOK_S = 1.0

log = logging.getLogger(__name__)


class RenamedError(AitbcError):
    """End the process, so that the supervisor starts it with the key that is its own now."""


async def until_renamed(
    folder: Path,
    heirs: Callable[[], Collection[PeerId]],
    *,
    grace_s: float = GRACE_S,
    look_s: float = LOOK_S,
) -> None:
    """Wait until the own key has given way to another one that is in this folder, and take that.

    `heirs` names who is in the own key's place by the ledger's word, nobody before it has ended.

    Raises: RenamedError, at last.
    """
    told, found = "", set[PeerId]()
    while True:
        await asyncio.sleep(grace_s if found else look_s)
        before, found = found, set(heirs())
        for heir in before & found:
            try:
                renaming.take(folder, renaming.Choice(heir.hex()))
            except AitbcError as error:
                # A thief's key is not here, and nothing changes then; said once, not every time.
                if error.message != told:
                    told = error.message
                    log.warning("key.not_taken", extra={"peer": heir.hex(), "reason": told})
            else:
                raise RenamedError(
                    f"this node is {heir.hex()} now, by the ledger's word and its own key",
                    hint="nothing has to be done: its supervisor starts it with that key",
                )
