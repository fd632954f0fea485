"""How are seeds run, one or a thousand, and what is said about them?

A run ends as *pass*, with the checker that turned red, or as a crash of the node's own code. One
seed in twenty is run twice: the same seed must give the same trace. Do not add options of a run
here: `options.py`.
"""

import gc
import multiprocessing
import shlex
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from aitbc_node.errors import Exit
from aitbc_sim.bugs import BUGS, planted
from aitbc_sim.checkers import Violation
from aitbc_sim.history import SOMETIMES, History, first_difference
from aitbc_sim.options import Options
from aitbc_sim.profiles import PROFILES
from aitbc_sim.sharing import shared
from aitbc_sim.world import World

RERUN_EVERY = 20

PASS = "pass"  # noqa: S105 - a verdict, not a password
CRASH = "crash"


class Case(msgspec.Struct, frozen=True):
    """Name one run: a seed, on a kind of day, perhaps changed, perhaps with a planted bug."""

    seed: int
    bug: str | None = None
    profile: str = "swarm"
    changes: dict[str, Any] = {}
    """Options that are not those of the day, as JSON has them."""

    @property
    def options(self) -> Options:
        """Return the options of this run. Raises: msgspec.ValidationError for unfit changes."""
        day = PROFILES[self.profile](self.seed)
        return msgspec.convert({**msgspec.to_builtins(day), **self.changes}, Options)

    @property
    def arguments(self) -> str:
        """Return what `./aitbc sim run` takes for this run."""
        words = ["--seed", str(self.seed)]
        if self.profile != "swarm":
            words += ["--profile", self.profile]
        if self.bug:
            words += ["--bug", self.bug]
        if self.changes:
            words += ["--with", msgspec.json.encode(self.changes).decode()]
        return shlex.join(words)

    def without_bug(self) -> "Case":
        """Return the same run of the node as it is."""
        return msgspec.structs.replace(self, bug=None)


class Outcome(msgspec.Struct, frozen=True):
    """Tell how one run ended."""

    case: Case
    verdict: str
    """`pass`, `crash`, or the name of the checker that turned red."""
    message: str
    height: int
    virtual_ms: int
    cpu_s: float
    digest: str
    counts: dict[str, int]

    @property
    def exit_status(self) -> Exit:
        """Return the exit status of a run that ended like this."""
        if self.verdict == PASS:
            return Exit.OK
        if self.verdict == CRASH:
            return Exit.BUG
        return Exit.STUCK if self.verdict == "liveness" else Exit.UNSAFE

    @property
    def repeat_command(self) -> str:
        """Return the line that makes this run again."""
        return f"./aitbc sim run {self.case.arguments}"


class Summary(msgspec.Struct, frozen=True):
    """Tell how a sweep ended."""

    seeds: int
    violations: tuple[Outcome, ...]
    rerun_mismatches: tuple[str, ...]
    seeds_per_minute_per_core: float
    """By CPU time of the runs, so that other work on the machine hardly counts."""
    by_wall: float
    """The same by the clock on the wall, with runs that were repeated and all that was waited for.

    Units: seeds a minute and worker.
    """
    sometimes: dict[str, int]
    counts: dict[str, int]

    @property
    def never(self) -> tuple[str, ...]:
        """Name what should have happened at least once, and did not; on swarm days only."""
        return tuple(name for name, count in self.sometimes.items() if count == 0)

    @property
    def exit_status(self) -> Exit:
        """Return the worst of all; a sweep that met too little proves nothing."""
        worst = [outcome.exit_status for outcome in self.violations]
        for status in (Exit.UNSAFE, Exit.BUG, Exit.STUCK):
            if status in worst:
                return status
        if self.rerun_mismatches or self.never:
            return Exit.INVALID
        return Exit.OK


def run(case: Case, history: History | None = None) -> Outcome:
    """Make one run."""
    began_s = time.process_time()
    history = history or History()
    with _collecting_afterwards():
        verdict, message, height, virtual_ms = _play(case, history)
    return Outcome(
        case=case,
        verdict=verdict,
        message=message,
        height=height,
        virtual_ms=virtual_ms,
        cpu_s=time.process_time() - began_s,
        digest=history.digest,
        counts=dict(history.counts),
    )


def _play(case: Case, history: History) -> tuple[str, str, int, int]:
    """Return verdict and message of a run, and how high and how late it came."""
    verdict, message = PASS, ""
    options = case.options
    with shared(options), planted(case.bug):
        world = World(case.seed, options, history)
        try:
            world.run()
        except Violation as violation:
            verdict, message = violation.checker, violation.message
        except Exception:  # noqa: BLE001 - whatever the node raises is the finding
            verdict, message = CRASH, traceback.format_exc()
    return verdict, message, world.top, world.now_ms


@contextmanager
def _collecting_afterwards() -> Iterator[None]:
    """Look for cycles once, behind a run: while it lasts, hardly anything of it can be freed."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(1)  # the young: what was here before the run is not walked over
        if was_enabled:
            gc.enable()


def find_bug(bug: str, seeds: Iterable[int]) -> tuple[int, Outcome] | None:
    """Look for a planted bug on its days: return how many runs it took, and the red one.

    Only the bug's own checker counts; a run that merely gets stuck does not.
    """
    _, _, profile, changes = BUGS[bug]
    for count, seed in enumerate(seeds, start=1):
        outcome = run(Case(seed, bug, profile, dict(changes)))
        if outcome.verdict == BUGS[bug].checker:
            return count, outcome
    return None


def rerun_difference(case: Case) -> str:
    """Make a run twice; name the first step that differs, or nothing."""
    one, other = History(keep_steps=True), History(keep_steps=True)
    for history in (one, other):
        run(case, history)
    if one.digest == other.digest:
        return ""
    assert one.steps is not None, "asked to keep them"
    assert other.steps is not None, "asked to keep them"
    return f"{case.arguments}: {first_difference(one.steps, other.steps) or 'bytes differ'}"


def sweep(
    cases: Iterable[Case],
    *,
    workers: int = 1,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Summary:
    """Make many runs, in several processes if wanted; outcomes come in the order of the cases."""
    began_s = time.monotonic()
    outcomes: list[Outcome] = []
    mismatches: list[str] = []
    for outcome, mismatch in _results(list(cases), workers):
        outcomes.append(outcome)
        if mismatch:
            mismatches.append(mismatch)
        if on_outcome is not None:
            on_outcome(outcome)
    is_swarm = all(outcome.case.profile == "swarm" for outcome in outcomes)
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.counts)
    cpu_s = sum(outcome.cpu_s for outcome in outcomes)
    wall_s = (time.monotonic() - began_s) * workers
    return Summary(
        seeds=len(outcomes),
        violations=tuple(o for o in outcomes if o.verdict != PASS),
        rerun_mismatches=tuple(mismatches),
        seeds_per_minute_per_core=round(60 * len(outcomes) / cpu_s, 1) if cpu_s else 0.0,
        by_wall=round(60 * len(outcomes) / wall_s, 1) if wall_s else 0.0,
        sometimes={name: counts[name] for name in SOMETIMES} if is_swarm else {},
        counts=dict(sorted(counts.items())),
    )


def _results(cases: list[Case], workers: int) -> Iterator[tuple[Outcome, str]]:
    if workers == 1:
        yield from map(_job, cases)
        return
    # Spawned, not forked: a worker must not depend on what this process has done so far.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(_job, cases, chunksize=2)


def _job(case: Case) -> tuple[Outcome, str]:
    outcome = run(case)
    if case.seed % RERUN_EVERY or case.bug or run(case).digest == outcome.digest:
        return outcome, ""
    return outcome, rerun_difference(case) or f"{case.arguments}: differs between processes only"
