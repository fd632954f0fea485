"""Which bugs can be planted, to see that the checkers have teeth?

Each is a sub-class of the real consensus, put in its place for one run. They live here and nowhere
in the node. Do not add a bug without the checker that must find it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
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


BUGS: dict[str, type[Consensus]] = {"skip-lock": SkipLock, "forget-lock": ForgetLock}

CHECKER_OF = {"skip-lock": "agreement", "forget-lock": "agreement"}
"""Which checker must turn red."""


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Let machines that are made meanwhile have a bug; None is the node as it is."""
    if name is None:
        yield
        return
    with patch.object(machine, "Consensus", BUGS[name]):
        yield
