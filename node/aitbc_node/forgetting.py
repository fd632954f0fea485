"""How does a memory of what was seen stay bounded, at a cost that does not grow with it?

Do not add what is remembered, nor what becomes of what is forgotten.
"""

from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

Key = TypeVar("Key")

_SHARE = 4


def forget_oldest(known: dict[Key, None], *, most: int) -> bool:
    """Where more than so many are remembered, forget the oldest and a quarter of the rest at once.

    One at a time, each cost a look at all the places of those forgotten before it, because a dict
    keeps them until it grows: 4 us in a memory of 20,000, where it is 0.1 now. Return whether any
    were.
    """
    surplus = len(known) - most
    if surplus > 0:
        _forget(known, surplus + most // _SHARE)
    return surplus > 0


class Recent(dict[Key, None]):
    """Remember what came since the last but one `age`: a quiet mesh would take hours to fill it.

    Looking something up costs what it costs in a dict.
    """

    _aged = 0

    def note(self, keys: Iterable[Key], *, most: int) -> None:
        """Remember these; the oldest are forgotten when there are more than so many."""
        self.update(dict.fromkeys(keys))
        if forget_oldest(self, most=most):
            self._aged = 0  # who is left may have come since

    def lose(self, key: Key) -> None:
        """Remember one no longer."""
        if key in self:
            del self[key]
            self._aged = max(0, self._aged - 1)  # perhaps it was younger: rather keep one too many

    def age(self) -> None:
        """Forget what was here the last time already."""
        _forget(self, self._aged)
        self._aged = len(self)


def _forget(known: dict[Key, None], count: int) -> None:
    for key in tuple(islice(known, count)):
        del known[key]
