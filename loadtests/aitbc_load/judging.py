"""May a run be believed, and if so, what did it show?

First the run judges itself: a generator that did not offer what was asked, or was late, or lost its
own events, says nothing about the mesh. Only what a mesh must never do outranks that, because no
fault of ours makes two blocks of one. Pure. Do not add how anything is measured.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from aitbc_load.chainwatch import BROKEN, UNKNOWN, Check

SAFETY: Final = "SAFETY"
INVALID: Final = "INVALID"
INCONCLUSIVE: Final = "INCONCLUSIVE"
LIVENESS: Final = "LIVENESS"
PASS: Final = "PASS"  # noqa: S105 - a verdict, not a password

OFFERED_MIN = 0.99
LAG_P99_MAX_MS = 10.0
CPU_SHARE_MAX = 0.80
ERRORS_BELOW = 0.001
"""Of what users who keep the rules send, less than this share may end in any other way."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Hold what a run is judged by.

    Units: `cpu_share` of one core, while it was sending. `engine_faults` are exceptions that Locust
    caught and went on from; `out_of_files` counts connections that the system would not open.
    """

    asked: int
    offered: int
    final: int
    promised: int
    """What a node took, and that was not final, nor in a block at all, when waiting ended."""
    lag_p99_ms: float | None
    cpu_share: float
    drain_s: float
    out_of_files: int = 0
    engine_faults: int = 0
    letters_lost: int = 0
    """Letters of bots to other workers that were too many to be passed on."""
    sent: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    """How many of those that were sent did not become final, by what became of them."""
    phases: Sequence[tuple[str, int, int]] = field(default_factory=tuple)
    """Name, asked and offered of each phase, where a run has several."""
    acts: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    """What closed bots did, and how much of it failed, by the class of the error."""
    idle: Sequence[str] = ()
    """Attackers and bots of which nothing is known: no act, or none that a node judged."""
    is_stopped: bool = False
    """Somebody ended it before its time."""
    checks: Sequence[Check] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Hold a verdict and every sentence that speaks for it."""

    verdict: str
    why: tuple[str, ...]


def judge(facts: Facts) -> Judgement:
    """Judge a whole run."""
    broken = tuple(f"{each.name}: {each.detail}" for each in facts.checks if each.outcome == BROKEN)
    if broken:
        return Judgement(SAFETY, broken)
    if invalid := tuple(_doubts(facts)):
        return Judgement(INVALID, invalid)
    unseen = tuple(
        f"{each.name}: {each.detail}" for each in facts.checks if each.outcome == UNKNOWN
    )
    if unseen:
        return Judgement(INCONCLUSIVE, unseen)
    if unfinished := tuple(_unfinished(facts)):
        return Judgement(LIVENESS, unfinished)
    return Judgement(PASS, ())


def _unfinished(facts: Facts) -> Iterator[str]:
    """Say what the mesh owes: every promise, and nearly all that it was asked."""
    if facts.promised:
        yield f"{facts.promised:,} that a node took were not final after {facts.drain_s:.0f} s"
    errors = sum(facts.errors.values())
    if errors and errors >= ERRORS_BELOW * facts.sent:
        parts = ", ".join(f"{count:,} {how}" for how, count in facts.errors.items() if count)
        share = f"less than {100 * ERRORS_BELOW:.1f} % may be"
        yield f"{errors:,} of {facts.sent:,} sent did not become final ({parts}), {share}"
    failed = sum(facts.failures.values())
    if failed and failed >= ERRORS_BELOW * facts.acts:
        parts = ", ".join(f"{count:,} {kind}" for kind, count in facts.failures.items())
        yield f"{failed:,} of {facts.acts:,} acts of bots failed ({parts})"


def _doubts(facts: Facts) -> Iterator[str]:
    """Say why the run says nothing about the mesh."""
    # First: an engine without any handle left fails in ways of its own.
    if facts.out_of_files:
        yield f"no file handle was left for {facts.out_of_files:,} connections: raise ulimit -Hn"
    if facts.engine_faults:
        yield f"{facts.engine_faults} exceptions inside the swarm; swarm.log says which"
    if facts.letters_lost:
        yield f"{facts.letters_lost:,} letters between workers lost: bots sent too many a second"
    if facts.is_stopped:
        yield "it was stopped before its time"
    elif facts.offered < OFFERED_MIN * facts.asked:
        share = 100 * facts.offered / facts.asked
        yield f"{share:.1f} % of what was asked was offered, {100 * OFFERED_MIN:.0f} % are needed"
    else:
        yield from _skipped(facts)
    if facts.lag_p99_ms is None:
        yield "nothing was sent"
    elif facts.lag_p99_ms > LAG_P99_MAX_MS:
        yield f"send lag p99 was {facts.lag_p99_ms:.1f} ms, at most {LAG_P99_MAX_MS:.0f} are good"
    if facts.cpu_share > CPU_SHARE_MAX:
        yield (
            f"the worker used {100 * facts.cpu_share:.0f} % of its core,"
            f" at most {100 * CPU_SHARE_MAX:.0f} % are good"
        )
    if not facts.final:
        yield "nothing became final"
    for role in facts.idle:
        yield f"no node judged anything of role {role}, so that nothing is shown of it"


def _skipped(facts: Facts) -> Iterator[str]:
    """Name each phase that was not what it was meant to be, whatever the whole run was."""
    for name, asked, offered in facts.phases:
        if offered < OFFERED_MIN * asked:
            share = 100 * offered / asked
            yield f"{share:.1f} % of what phase {name} asked was offered"
