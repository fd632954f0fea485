"""What happened in a run: a hash over every event and effect, and counts of what was met?

Two runs of one seed must give the same hash, whatever Python's hash seed is; the record of single
steps finds the first one that differs. Do not judge here: `checkers.py`.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

import msgspec

from aitbc_node.consensus.inputs import Step
from aitbc_node.consensus.messages import NO_ROUND
from aitbc_node.events import Effect, Event, SignState
from aitbc_node.ledger.state import State

SOMETIMES = (
    "round above zero",
    "lock",
    "relock",
    "valid-round re-proposal",
    "crash between persist and send",
    "torn tail",
    "power cut in a write",
    "disk full",
    "catch-up",
    "partition",
    "all nodes down",
    "transactions final",
    "transaction refused",
    "restart with a lock",
    "set changed",
    "double signer slashed",
    "halted before unknown rules",
)
"""What a sweep must have met at least once each; otherwise its green says nothing about it."""

UNHASHED_MAX = 1 << 16
"""So many bytes are hashed at a time: a call for each step would cost more than its bytes."""


def _root_of(state: object) -> bytes:
    """Write a state by its root, which stands for all of it."""
    assert isinstance(state, State), f"nothing else is no record: {type(state)}"
    return state.root


_encoder = msgspec.msgpack.Encoder(enc_hook=_root_of)


class History:
    """Record one run."""

    def __init__(self, *, keep_steps: bool = False) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._unhashed = bytearray()
        self.counts: Counter[str] = Counter()
        self.steps: list[str] | None = [] if keep_steps else None

    @property
    def digest(self) -> str:
        """Return the hash over everything so far."""
        self._absorb()
        return self._hash.hexdigest()

    def add(self, now_ms: int, index: int, event: Event | str, effects: Sequence[Effect]) -> None:
        """Take in one step of one node."""
        _encoder.encode_into((now_ms, index, event, effects), self._unhashed, -1)
        if len(self._unhashed) > UNHASHED_MAX:
            self._absorb()
        if self.steps is not None:
            self.steps.append(f"{now_ms} ms, node {index}: {_short(event)} -> {_short(effects)}")

    def signed(self, last: SignState | None, state: SignState) -> None:
        """Count locks, and those that take the place of an older one at the same height."""
        if state.step != Step.PRECOMMIT or state.locked_round != state.round:
            return
        self.met("lock")
        is_same_height = last is not None and last.height == state.height
        if last is not None and is_same_height and NO_ROUND < last.locked_round < state.round:
            self.met("relock")

    def _absorb(self) -> None:
        self._hash.update(self._unhashed)
        self._unhashed.clear()

    def met(self, what: str) -> None:
        """Count something."""
        self.counts[what] += 1


def first_difference(one: Sequence[str], other: Sequence[str]) -> str:
    """Name the first step in which two runs of one seed differ; empty when none does."""
    for number, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return f"step {number}: {a} | {b}"
    if len(one) != len(other):
        return f"step {min(len(one), len(other))}: one run ends here"
    return ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}... ({len(text)} characters)"  # noqa: PLR2004 - a line on a screen
