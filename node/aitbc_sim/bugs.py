"""Which bugs can be planted, to see that the checkers have teeth?

Each takes the place of a part of the real node for one run; they live here and nowhere in the node.
Do not add a bug without the checker that must find it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec

from aitbc_node import machine
from aitbc_node.blocks import NO_BLOCK
from aitbc_node.consensus.algorithm import (
    Condition,
    FreshProposal,
    OthersAhead,
    Reproposal,
    TimeoutPrecommit,
)
from aitbc_node.consensus.messages import NO_ROUND
from aitbc_node.consensus.replica import Consensus
from aitbc_node.events import SignState
from aitbc_node.storage.sign_state import FILE_NAME, SignStateFile

_USES_LOCK = (FreshProposal, Reproposal, OthersAhead, TimeoutPrecommit)


class SkipLock(Consensus):
    """Never be bound by an earlier round (lines 38 to 39 and 42 to 43 left out)."""

    def _apply(self, condition: Condition) -> None:
        if isinstance(condition, _USES_LOCK):
            self._record.state = msgspec.structs.replace(
                self._record.state,
                locked_round=NO_ROUND,
                locked_id=NO_BLOCK,
                valid_round=NO_ROUND,
                valid_id=NO_BLOCK,
            )
            self._record.proof = ()
        super()._apply(condition)


class ForgetLock(Consensus):
    """Come back from a restart with the newest signature, but without the lock."""

    def __init__(self, *, sign_state: SignState | None, **rest: Any) -> None:
        if sign_state is not None:
            sign_state = msgspec.structs.replace(
                sign_state,
                locked_round=NO_ROUND,
                locked_id=NO_BLOCK,
                valid_round=NO_ROUND,
                valid_id=NO_BLOCK,
                prevotes=(),
            )
        super().__init__(sign_state=sign_state, **rest)


def _save_without_sync(self: SignStateFile, state: SignState) -> None:
    """Write a sign state and go on, as if the disk could be trusted to have it."""
    sync = self._disk.sync
    with patch.object(self._disk, "sync", lambda name: sync(name) if name != FILE_NAME else None):
        _save(self, state)


_save = SignStateFile.save


class Bug(NamedTuple):
    """Say what takes the place of what, and which checker must turn red."""

    checker: str
    owner: object
    name: str
    replacement: object


BUGS = {
    "skip-lock": Bug("agreement", machine, "Consensus", SkipLock),
    "forget-lock": Bug("agreement", machine, "Consensus", ForgetLock),
    "vote-before-disk": Bug("no_double_sign", SignStateFile, "save", _save_without_sync),
}


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Let nodes that run meanwhile have a bug; None is the node as it is."""
    if name is None:
        yield
        return
    bug = BUGS[name]
    with patch.object(bug.owner, bug.name, bug.replacement):
        yield
