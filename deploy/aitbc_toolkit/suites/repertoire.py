"""Which load scenarios are there, and what did runs of them leave? Read from the disk only."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aitbc_toolkit.declared import nearest
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.suites import catalogue, phasing
from aitbc_toolkit.suites.knee import SUSTAINED, Bounds
from aitbc_toolkit.suites.loads import ORDER, RESULT
from aitbc_toolkit.suites.report import reading
from aitbc_toolkit.suites.scenario import load_files, loading
from aitbc_toolkit.suites.scenario.load_files import FAMILY as LOAD_FAMILY
from aitbc_toolkit.suites.scenario.schema import Case, FaultStep, Written
from aitbc_toolkit.suites.stepping import STEP_S
from aitbc_toolkit.suites.timeline import LOAD

_SUFFIX = ".yaml"
_KNEE = "knee"


@dataclass(frozen=True, slots=True)
class Offer:
    """Describe a built-in scenario: in a line, and for programs also what it is made of."""

    name: str
    arrivals: str
    lasts: str
    about: str
    families: tuple[str, ...]
    """Of those who come: legitimate, adversarial, anti-pattern."""
    faults: tuple[str, ...]
    """What is broken meanwhile."""
    objectives: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        """Write it for programs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold what is known of a run: what was asked, its newest second, and its end if it has one."""

    order: dict[str, Any]
    second: dict[str, Any] | None
    verdict: str
    result: dict[str, Any] | None

    def to_document(self) -> dict[str, object]:
        """Write it for programs."""
        plan = self.order.get("plan", {})
        return {"plan": plan, "verdict": self.verdict, "second": self.second, "result": self.result}


def built_in() -> list[Offer]:
    """List the scenarios that come with the project."""
    found = []
    for path in sorted((catalogue.folder() / LOAD_FAMILY).glob(f"*{_SUFFIX}")):
        each = loading.load(path)[0]
        written = each.written
        asked = phasing.extent(written, knee=1)
        rate, lasts = f"{asked.rate:g}/s", f"{asked.for_s:g}s"
        if any(not load.arrivals.endswith("/s") for load in written.load):
            rate = written.load[0].arrivals
        broken = tuple(step.fault for step in each.steps if isinstance(step, FaultStep))
        families, bounds = tuple(load_files.families(written)), tuple(_bounds(written))
        offer = Offer(written.scenario, rate, lasts, written.about, families, broken, bounds)
        found.append(offer)
    return found


def listed() -> list[Offer]:
    """List all that `load run` takes by its name: the scenarios, and the knee."""
    bounds, share = Bounds(), 100 * SUSTAINED
    knee = Offer(
        name=f"{LOAD_FAMILY}/{_KNEE}",
        arrivals=f"{bounds.start:g}/s on",
        lasts=f"{STEP_S:g}s a step",
        about="transfers come twice as fast at each step, until blocks do not hold what is offered",
        families=("legitimate",),
        faults=(),
        objectives=(f"committed at least {share:g} % of what is offered",),
    )
    return sorted([*built_in(), knee], key=lambda offer: offer.name)


def offer(named: str) -> Offer:
    """Find what is listed under a name. Raises: UsageError."""
    name = f"{LOAD_FAMILY}/{named.removeprefix(f'{LOAD_FAMILY}/')}"
    found = {each.name: each for each in listed()}
    if name not in found:
        raise _unknown(named, list(found))
    return found[name]


def _unknown(named: str, known: Sequence[str]) -> UsageError:
    near = nearest(named, known)
    end = f", the nearest is {near}" if near else ""
    return UsageError(f"unknown load scenario {named!r}{end}", hint=f"known: {', '.join(known)}")


def _bounds(written: Written) -> Iterator[str]:
    """Write each objective in words."""
    for name, bound in written.objectives.items():
        sides = (("at most", bound.max), ("at least", bound.min))
        said = " and ".join(f"{word} {value}" for word, value in sides if value is not None)
        yield f"{name} {said}"


def is_knee(named: str) -> bool:
    """Tell whether somebody means the knee, which has no file: each of its steps is a run."""
    return named.removeprefix(f"{LOAD_FAMILY}/") == _KNEE


def case(named: str) -> Case:
    """Read a scenario by its name or its file, with what is done to the mesh meanwhile.

    Raises: UsageError for a name that does not exist, ConfigError for a file with mistakes.
    """
    if Path(named).suffix == _SUFFIX:
        path = loading.named(named, others="aitbc load list")
    else:
        name = named.removeprefix(f"{LOAD_FAMILY}/")
        path = catalogue.folder() / LOAD_FAMILY / f"{name}{_SUFFIX}"
        if "/" in name or not path.is_file():
            known = [each.name for each in built_in()]
            if is_knee(named):
                what = "the knee is looked for, not played: it has a command of its own"
                raise UsageError(what, hint="aitbc load knee")
            raise _unknown(named, known)
    found = loading.load(path)[0]
    written = found.written
    if not written.scenario.startswith(f"{LOAD_FAMILY}/"):
        what = f"{written.scenario} is no load scenario"
        raise UsageError(what, hint=f"aitbc test {written.scenario}")
    return found


def folders(state: Path) -> list[Path]:
    """List the runs of swarms, the newest first."""
    return [each for each in reading.folders(state) if (each / ORDER).is_file()]


def seen(folder: Path) -> Seen:
    """Read what a run has left until now; what cannot be read is not there."""
    judged = reading.verdict(folder)
    rows = _lines(folder / LOAD)
    return Seen(
        order=_document(folder / ORDER) or {},
        second=rows[-1] if rows else None,
        verdict=judged.verdict if judged else "",
        result=_document(folder / RESULT),
    )


def _document(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _lines(path: Path) -> Sequence[dict[str, Any]]:
    """Read the whole lines of a file; the last may still be on its way."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines[-1:]]
    except (OSError, ValueError):
        return []
