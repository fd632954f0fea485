"""When may a release that no rule trusts be deployed? The table of states, and who has to agree.

Pure: verified reviews and the time come in, a verdict goes out. Reading, verifying and writing
files is the business of `reviews`. An approval is for exactly one request: another commit, another
configuration, another genesis or another end has another hash.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Literal

from aitbc_toolkit.release.trust import Level

SHORT = 12
CAPACITY = 32
"""So many requests may wait in one environment; a queue that nobody reads is no review."""


class State(StrEnum):
    """Name where a request stands; the last four are final."""

    PENDING = "pending"
    REVIEWING = "reviewing"
    APPROVED = "approved"
    DENIED = "denied"
    AUTO_APPROVED = "auto-approved"
    BYPASSED = "bypassed"


NEXT: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.REVIEWING}),
    State.REVIEWING: frozenset({State.APPROVED, State.DENIED}),
    State.APPROVED: frozenset(),
    State.DENIED: frozenset(),
    State.AUTO_APPROVED: frozenset(),
    State.BYPASSED: frozenset(),
}
FIRST: Mapping[Level, State] = {
    Level.TRUSTED: State.AUTO_APPROVED,
    Level.UNKNOWN: State.PENDING,
    Level.DEV: State.BYPASSED,
}
PASSES = frozenset({State.APPROVED, State.AUTO_APPROVED, State.BYPASSED})


@dataclass(frozen=True, slots=True)
class Request:
    """Say what is to be approved; `expires` is a time in UTC as RFC 3339 writes it."""

    environment: str
    commit: str
    configuration: str
    genesis: str
    expires: str

    @property
    def hash(self) -> str:
        """Give the name by which reviewers sign."""
        return digest(json.dumps(asdict(self), sort_keys=True, separators=(",", ":")))

    @property
    def subject(self) -> tuple[str, str, str, str]:
        """Give what is approved, without until when."""
        return self.environment, self.commit, self.configuration, self.genesis


@dataclass(frozen=True, slots=True)
class Review:
    """Hold one reviewer's verified word on one request."""

    request: str
    reviewer: str
    decision: Literal["approve", "deny"]
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class Rules:
    """Say how many have to agree, and who deploys; `strict` holds the rules of production."""

    needed: int
    deployer: str
    strict: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold where a request stands, who spoke, and what is missing."""

    state: State
    approvers: tuple[str, ...]
    deniers: tuple[str, ...]
    missing: str

    @property
    def passes(self) -> bool:
        """Tell whether the release may be deployed."""
        return self.state in PASSES


def digest(*parts: str) -> str:
    """Hash texts that hold no zero byte, in their order."""
    return hashlib.sha256("\0".join(["aitbc/approval", *parts]).encode()).hexdigest()


def move(state: State, to: State) -> State:
    """Take one step of the table.

    Raises: AssertionError for a step that the table does not have: that is our bug.
    """
    assert to in NEXT[state], f"a request never goes from {state} to {to}"
    return to


def judge(request: Request, reviews: Iterable[Review], rules: Rules, *, now: str) -> Verdict:
    """Find where an unknown release stands; reviews of another request count for nothing.

    A denial is never outvoted, and each reviewer counts once.
    """
    mine = [each for each in reviews if each.request == request.hash]
    deniers = tuple(sorted({each.reviewer for each in mine if each.decision == "deny"}))
    approvers = tuple(sorted({each.reviewer for each in mine if each.decision == "approve"}))
    state = FIRST[Level.UNKNOWN]
    if mine:
        state = move(state, State.REVIEWING)
    if deniers:
        return Verdict(move(state, State.DENIED), approvers, deniers, "")
    missing = _missing(request, approvers, rules, now=now)
    if not missing:
        state = move(state, State.APPROVED)
    return Verdict(state, approvers, deniers, missing)


def is_expired(request: Request, *, now: str) -> bool:
    """Tell whether a request is too old; both times are written alike, so text compares."""
    return now >= request.expires


def _missing(request: Request, approvers: tuple[str, ...], rules: Rules, *, now: str) -> str:
    if is_expired(request, now=now):
        return f"it expired at {request.expires}"
    needed = max(1, rules.needed)
    if len(approvers) < needed:
        return f"{len(approvers)} of {needed} approvals"
    if rules.strict and not set(approvers) - {rules.deployer}:
        return f"an approval by somebody else than {rules.deployer}, who deploys"
    return ""
