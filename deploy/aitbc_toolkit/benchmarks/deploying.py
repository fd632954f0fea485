"""How long do deploys take beside a plain ssh script and beside Ansible, on the same hosts?

The contenders take turns in every round, so that what else the machine does falls on all of them;
the figure of each job is the median of its rounds, and every single time is in the result.
"""

import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from aitbc_toolkit import shell
from aitbc_toolkit.benchmarks.contenders import Ansible, Contender, Floor, Ours
from aitbc_toolkit.benchmarks.ground import Ground, ground
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.release.progress import Tell, note, step

JOBS = ("noop", "staging", "new_commit", "rollback")
# Ansible's play does not stage apart from the rest.
PLAYED = ("noop", "new_commit", "rollback")


@dataclass(slots=True)
class Measured:
    """Hold every time in seconds, by contender and job, in the order of the rounds."""

    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, contender: str, job: str, took_s: float) -> None:
        """Keep one time."""
        self.times.setdefault(contender, {}).setdefault(job, []).append(round(took_s, 3))

    def median(self, contender: str, job: str) -> float:
        """Give the middle of a contender's times for a job."""
        return statistics.median(self.times[contender][job])

    def ratio(self, above: str, below: str, job: str) -> float:
        """Divide the medians of two contenders for a job."""
        return round(self.median(above, job) / self.median(below, job), 2)


def measure(
    *, hosts: int, rounds: int, ansible: bool, evidence: Path, tell: Tell
) -> dict[str, Any]:
    """Run the benchmark in a lab of its own; return the document that is printed.

    Every command's own words are kept in the folder `evidence`. Without Ansible, which takes most
    of the time, nothing is said of it.

    Raises: AitbcError when the lab does not come up or when a contender fails.
    """
    evidence.mkdir(parents=True, exist_ok=True)
    note(tell, f"a lab of {hosts} hosts comes up and gets a release")
    with ground(hosts) as place:
        contenders: list[Contender] = [Ours(place), Floor(place)]
        versions = {"python": platform.python_version()}
        if ansible:
            played = _ansible(place, evidence / "ansible")
            contenders.append(played)
            versions["ansible"] = played.version
        measured = Measured()
        names = ", ".join(each.name for each in contenders)
        for number in range(1, rounds + 1):
            with step(tell, f"round {number}", f"{names} in turn") as now:
                # Who begins changes, so that nobody always finds the machine as another left it.
                turn = number % len(contenders)
                for contender in [*contenders[turn:], *contenders[:turn]]:
                    _take_turn(place, contender, measured, number=number, evidence=evidence)
                now.say(line(measured))
        return _document(place, measured, versions=versions, evidence=evidence)


def _ansible(place: Ground, folder: Path) -> Ansible:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return Ansible(place, folder=folder)


def _take_turn(
    place: Ground, contender: Contender, measured: Measured, *, number: int, evidence: Path
) -> None:
    """Do all jobs once; each begins on the base release and the last returns to it."""

    def timed(job: str, do: Callable[[], shell.Result]) -> None:
        log = evidence / f"{number}-{contender.name}-{job}.log"
        _time(contender, job, do, measured, log)

    if isinstance(contender, Ours | Floor):
        staged = place.commit(f"{contender.name} {number}, staged only")
        timed("staging", partial(contender.stage, staged))
    commit = place.commit(f"{contender.name} {number}")
    timed("new_commit", partial(contender.deploy, commit))
    timed("rollback", contender.rollback)
    place.git("reset", "--quiet", "--hard", place.base)
    timed("noop", contender.noop)


def _time(
    contender: Contender, job: str, do: Callable[[], shell.Result], measured: Measured, log: Path
) -> None:
    began = time.monotonic()
    done = do()
    measured.add(contender.name, job, time.monotonic() - began)
    log.write_text(f"{shell.quoted(done.argv)}\n{done.stdout}{done.stderr}", encoding="utf-8")
    if not done.ok:
        raise AitbcError(f"{contender.name}: {job} ended with {done.status}", hint=f"less {log}")


def line(measured: Measured) -> str:
    """Write the newest time of everybody for every job."""
    return ", ".join(f"{job} {_newest(measured, job)}" for job in JOBS)


def _newest(measured: Measured, job: str) -> str:
    took = {name: each[job][-1] for name, each in measured.times.items() if job in each}
    return " ".join(f"{name} {took_s:.1f} s" for name, took_s in took.items())


def _document(
    place: Ground, measured: Measured, *, versions: Mapping[str, str], evidence: Path
) -> dict[str, Any]:
    return {
        **{f"{job}_s": measured.median("ours", job) for job in JOBS},
        **{f"floor_{job}_s": measured.median("floor", job) for job in JOBS},
        **{f"ratio_{job}": measured.ratio("ours", "floor", job) for job in JOBS},
        **(_of_ansible(measured) if "ansible" in measured.times else {}),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "hosts": len(place.hosts),
        "times_s": measured.times,
        "machine": {"cores": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()},
        "versions": dict(versions),
        "commit": place.git("rev-parse", "HEAD~1"),
        "evidence": str(evidence),
    }


def _of_ansible(measured: Measured) -> dict[str, float]:
    return {
        **{f"ansible_{job}_s": measured.median("ansible", job) for job in PLAYED},
        **{f"ratio_ansible_{job}": measured.ratio("ansible", "ours", job) for job in PLAYED},
    }
