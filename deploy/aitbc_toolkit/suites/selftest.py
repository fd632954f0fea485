"""How does `./aitbc test` prove the project on this machine, stage by stage?

Every stage runs as a child process with a deadline, is announced before and summed up after, and
must leave nothing running. Stages that mostly wait run side by side. What is skipped is said with
its reason. Do not add stages here: they are data in `stages`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aitbc_toolkit import junit
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.junit import Case, Outcome
from aitbc_toolkit.lab import requirements
from aitbc_toolkit.suites import leftovers
from aitbc_toolkit.suites.stages import Check, Promise, Stage, groups

Say = Callable[[str], None]

_HEARTBEAT_S = 15.0
_INTERRUPT_S = 20.0
_LEFTOVER_GRACE_S = 5.0
_TAIL_LINES = 60
NOT_IN_TIER = "not part of tier"  # begins the reason of every skip that a tier explains
_COMPILES_IN_VAIN = "PYTHONDONTWRITEBYTECODE"  # set in many container images
_NO_TESTS = 5  # pytest's exit status when nothing was selected


@dataclass(frozen=True, slots=True)
class Result:
    """How one stage ended: its cases, what went wrong beside them, and how long it took."""

    stage: str
    cases: tuple[Case, ...]
    took_s: float
    note: str = ""
    documents: tuple[Mapping[str, Any], ...] = ()
    """The records of the suites that it played, as `verdict.json` has them."""

    def count(self, outcome: Outcome) -> int:
        """Count the cases that ended in one way."""
        return sum(case.outcome is outcome for case in self.cases)

    def skips(self) -> list[tuple[str, int]]:
        """List each reason for which something was skipped, with how often."""
        reasons = (case.detail for case in self.cases if case.outcome is Outcome.SKIPPED)
        return sorted(Counter(reasons).items())


@dataclass(slots=True)
class Runner:
    """Run stages group by group, keeping logs and JUnit files in one folder."""

    root: Path
    folder: Path
    tier: str
    say: Say
    results: list[Result] = field(default_factory=list)
    _documents: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, stages: Sequence[Stage]) -> list[Result]:
        """Run every stage, also after one that failed: a run shows all that is wrong."""
        for group in groups(stages):
            with ThreadPoolExecutor(len(group)) as side_by_side:
                judging = [side_by_side.submit(self._judged, stage) for stage in group]
                try:
                    self.results += [judged.result() for judged in judging]
                except BaseException:
                    self._stop()  # or the pool would wait for stages that nobody wants any more
                    raise
        return self.results

    def _judged(self, stage: Stage) -> Result:
        began = time.monotonic()
        reason = self._reason_to_skip(stage)
        if reason:
            cases, note = [Case(stage.name, Outcome.SKIPPED, reason)], "skipped"
        else:
            self.say(f"{stage.name}: {stage.purpose}")
            cases, note = self._run(stage)
        took_s = time.monotonic() - began
        junit_path = self.folder / f"{stage.name}.xml"
        if not junit_path.exists():
            junit.write(junit_path, stage.name, cases)
        told = tuple(self._documents.get(stage.name, ()))
        result = Result(stage.name, tuple(cases), took_s, note, told)
        self.say(_summary(result))
        return result

    def _stop(self) -> None:
        self._stopped.set()
        for child in tuple(self._running):
            _signal_group(child.pid, signal.SIGINT)

    def _reason_to_skip(self, stage: Stage) -> str:
        if self.tier not in stage.tiers:
            return f"{NOT_IN_TIER} {self.tier}"
        if stage.needs_root and not _may_make_hosts():
            return "needs root on Linux"
        return ""

    def _run(self, stage: Stage) -> tuple[list[Case], str]:
        log = self.folder / f"{stage.name}.log"
        try:
            if stage.needs_root:
                requirements.ensure_packages(self.say)
            cases, note = self._work(stage, log)
        except AitbcError as missing:
            cases, note = [Case("system packages", Outcome.FAILED, missing.message)], ""
        finally:
            # Also after Ctrl-C: what a stage started may have detached itself from its group.
            left = leftovers.end(self._mark(stage), grace_s=_LEFTOVER_GRACE_S)
        if left:
            note = "left running: " + "; ".join(left)
            cases.append(Case("nothing left running", Outcome.FAILED, note))
        if any(case.outcome is Outcome.FAILED for case in cases):
            self._show_end(stage, log)
        return cases, note

    def _work(self, stage: Stage, log: Path) -> tuple[list[Case], str]:
        deadline = time.monotonic() + stage.deadline_s(self.tier)
        if stage.checks:
            checked = (self._check(stage, check, log, deadline=deadline) for check in stage.checks)
            return [case for cases in checked for case in cases], ""
        return self._tests(stage, log, deadline=deadline)

    def _check(self, stage: Stage, check: Check, log: Path, *, deadline: float) -> list[Case]:
        answer = self.folder / f"{stage.name}-{check.name}.json" if check.is_suite else None
        words = check.words(self.tier)
        status = self._execute(stage, words, log, deadline=deadline, answer=answer)
        cases = self._played(stage, answer) if answer else []
        if status == 0 and (cases or answer is None):
            return [*cases, Case(check.name, Outcome.PASSED, "", check.proves)]
        why = _why(status) if status != 0 else "it told nothing of what it played"
        return [*cases, Case(check.name, Outcome.FAILED, why, check.proves)]

    def _played(self, stage: Stage, answer: Path) -> list[Case]:
        """Take in the record that a suite has printed: each scenario, and what was left out."""
        try:
            told = json.loads(answer.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            return []  # it was ended before it could tell
        self._documents.setdefault(stage.name, []).append(told)
        found = list(junit.read(Path(told["record"]) / "junit.xml"))
        return found + [Case(r["name"], Outcome.SKIPPED, r["why"]) for r in told["left_out"]]

    def _tests(self, stage: Stage, log: Path, *, deadline: float) -> tuple[list[Case], str]:
        path = self.folder / f"{stage.name}.xml"
        argv = stage.test_argv(junit=path, tier=self.tier)
        fence = _without_network() if stage.offline else []
        began = time.monotonic()
        status = self._execute(stage, [*fence, *argv], log, deadline=deadline)
        took_s = time.monotonic() - began
        cases = list(junit.read(path))
        failed = any(case.outcome is Outcome.FAILED for case in cases)
        if status == _NO_TESTS:
            note = "there are no tests of this kind yet"
            return ([Case(stage.name, Outcome.FAILED, note)] if stage.needs_root else []), note
        if status != 0 and not failed:
            # The run itself broke: its cases, if any, cannot speak for the stage.
            cases.append(Case(f"the {stage.name} run", Outcome.FAILED, _why(status)))
        if stage.promise and status == 0:
            kept = _judge(stage.promise, took_s=took_s, fenced=bool(fence) or not stage.offline)
            junit.write(self.folder / f"{stage.name}-promise.xml", stage.name, [kept])
            cases.append(kept)
        if stage.needs_root:
            cases += [
                Case(f"{case.name} may not be skipped as root", Outcome.FAILED, case.detail)
                for case in cases
                if case.outcome is Outcome.SKIPPED and not case.detail.startswith(NOT_IN_TIER)
            ]
        return cases, ""

    def _execute(
        self,
        stage: Stage,
        argv: Sequence[str],
        log: Path,
        *,
        deadline: float,
        answer: Path | None = None,
    ) -> int | None:
        """Run a program with its output in the log; None means that the deadline passed.

        What it prints as its result goes to `answer`, where that is wanted apart.
        """
        began = time.monotonic()
        with log.open("ab") as output, (answer or log).open("ab") as printed:
            child = subprocess.Popen(  # noqa: S603 - argv never passes through a shell
                argv,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=output,
                cwd=self.root,
                env=self._environment(stage),
                start_new_session=True,
            )
        self._running.add(child)
        try:
            while time.monotonic() < deadline and not self._stopped.is_set():
                try:
                    return child.wait(min(_HEARTBEAT_S, max(0.1, deadline - time.monotonic())))
                except subprocess.TimeoutExpired:
                    took_s = time.monotonic() - began
                    self.say(f"  {stage.name} is still running after {took_s:.0f} s")
            return None
        finally:
            _end_group(child)
            self._running.discard(child)

    def _mark(self, stage: Stage) -> str:
        return str(self.folder / stage.name)

    def _environment(self, stage: Stage) -> Mapping[str, str]:
        """Let a stage keep what it compiles, or each of its many processes does that anew."""
        ours = {name: value for name, value in os.environ.items() if name != _COMPILES_IN_VAIN}
        return {**ours, leftovers.VARIABLE: self._mark(stage), "NO_COLOR": "1"}

    def _show_end(self, stage: Stage, log: Path) -> None:
        if log.exists():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
            told = [f"{stage.name}: the end of {log}", *(f"  | {line}" for line in lines)]
            self.say("\n".join(told))


def failed(results: Sequence[Result]) -> bool:
    """Tell whether anything in the run failed."""
    return any(result.count(Outcome.FAILED) for result in results)


def _may_make_hosts() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0


def _without_network() -> list[str]:
    """Find the words that run a program where there is no network; none where that is refused."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user"]
    argv = ["unshare", *user, "--net", "--"]
    if shutil.which("unshare") is None:
        return []
    tried = subprocess.run([*argv, "true"], capture_output=True, check=False)  # noqa: S603 - ours
    return argv if tried.returncode == 0 else []


def _judge(promise: Promise, *, took_s: float, fenced: bool) -> Case:
    """Judge a promise; lateness leaves it unproved, since a busy machine is no defect."""
    if not fenced:
        return Case(promise.claim, Outcome.SKIPPED, "this system cannot take the network away")
    if took_s > promise.within_s:
        late = f"took {took_s:.0f} s on this machine now, promised {promise.within_s} s"
        return Case(promise.claim, Outcome.SKIPPED, late)
    return Case(promise.claim, Outcome.PASSED, "", promise.proves)


def _why(status: int | None) -> str:
    return "the deadline passed" if status is None else f"ended with status {status}"


def _summary(result: Result) -> str:
    counts = ", ".join(f"{result.count(outcome)} {outcome}" for outcome in Outcome)
    note = f" ({result.note})" if result.note else ""
    return f"{result.stage}: {counts}{note}, took {result.took_s:.1f} s"


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Interrupt what still runs, so that it cleans up, then end the whole group."""
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGINT)
        try:
            child.wait(_INTERRUPT_S)
        except subprocess.TimeoutExpired:
            _signal_group(child.pid, signal.SIGKILL)
            child.wait()
    _signal_group(child.pid, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left in it
