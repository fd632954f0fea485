"""Which scenarios does a suite have? Those written in Python and those in files, by one name.

A name that does not exist, and a file with a mistake, are told before anything is started. Do not
play anything here: `live.py`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aitbc_toolkit import paths
from aitbc_toolkit.declared import nearest
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.suites import live
from aitbc_toolkit.suites.scenario import load_files, loading
from aitbc_toolkit.suites.scenario.schema import Case, FaultStep
from aitbc_toolkit.suites.scene import Scenario
from aitbc_toolkit.suites.stages import NIGHTLY

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "smoke": ("smoke",),
    "partition": ("partition",),
    "chaos": ("crash", "clock", "upgrade", "churn"),
    "security": ("byzantine", "economic"),
    "soak": ("scale",),
}
"""Which folders of scenarios a suite plays."""
ALL = "all"
FILE = ".yaml"
"""How the name of a file ends that is no built-in one."""


class Part(NamedTuple):
    """Be one thing to play: a scenario in Python, or a case of a file."""

    name: str
    scenario: Scenario | None = None
    case: Case | None = None

    @property
    def proves(self) -> tuple[str, ...]:
        """Name the features that a pass shows."""
        return tuple(self.case.written.proves) if self.case else ()

    @property
    def spoils(self) -> int:
        """Tell how much a live mesh is not as before: what spoils most is played last."""
        return self.case.written.spoils if self.case else 0


def folder() -> Path:
    """Find the folder of the built-in scenario files."""
    return paths.project_root() / "loadtests" / "scenarios"


def parts(
    suite: str, scenario: str | None = None, *, tier: str = "ci", where: Path | None = None
) -> list[Part]:
    """List what a suite plays, or one scenario of it; `suite` may be `FAMILY/NAME`, or a file.

    Cases that take long are part of the nightly tier, or are named with their choice.

    Raises: UsageError for a name that does not exist, ConfigError for a file with mistakes.
    """
    if suite.endswith(FILE):
        return [Part(case.name, case=case) for case in loading.load(_file(suite))]
    name, _, rest = suite.partition("/")
    wanted = scenario or rest
    known = [*FAMILIES, ALL]
    families = FAMILIES.get(name, (name,))
    if name not in known and not any(name in each for each in FAMILIES.values()):
        raise _unknown("suite", name, [*known, NIGHTLY])
    every = tuple(family for some in FAMILIES.values() for family in some)
    found = list(_all(families if name != ALL else every, where or folder()))
    if not wanted:
        picked = [part for part in found if tier == NIGHTLY or not _takes_long(part)]
        if not picked:
            raise UsageError(f"suite {name} has no scenario yet", hint="aitbc test partition")
        return sorted(picked, key=lambda part: part.spoils)
    names = {wanted, *(f"{family}/{wanted}" for family in families)}
    exact = [part for part in found if part.name in names]
    if not exact:
        exact = [
            part
            for part in found
            if part.name.partition("[")[0] in names and (tier == NIGHTLY or not _takes_long(part))
        ]
    if not exact:
        titles = list(dict.fromkeys(part.name.partition("[")[0] for part in found))
        full = wanted if "/" in wanted else f"{name}/{wanted}"
        raise _unknown("scenario", full, titles)
    return exact


def elsewhere(
    suite: str, environment: str, *, where: Path | None = None
) -> Iterator[tuple[str, str]]:
    """Name what breaks a mesh under a swarm, with its command: the suite of all lacks it.

    Raises: ConfigError for a file with mistakes.
    """
    if suite != ALL:
        return
    for path in sorted(((where or folder()) / load_files.FAMILY).glob(f"*{FILE}")):
        cases = loading.load(path)
        if any(isinstance(step, FaultStep) for case in cases for step in case.steps):
            name = cases[0].written.scenario
            yield name, f"a swarm comes along: aitbc load run {name} -e {environment}"


def _file(named: str) -> Path:
    return loading.named(named, others=f"known: {', '.join([*FAMILIES, ALL, NIGHTLY])}")


def _all(families: Sequence[str], where: Path) -> Iterable[Part]:
    for name, scenario in live.SMOKE.items():
        if name.partition("/")[0] in families:
            yield Part(name, scenario=scenario)
    for path in sorted(where.glob("*/*.yaml")):
        if path.parent.name in families:
            for case in loading.load(path):
                yield Part(case.name, case=case)


def faults() -> Iterator[str]:
    """Say of which scenarios none, or more than one, is meant by a name: each is played in one way.

    Raises: ConfigError for a file with mistakes.
    """
    root = folder()
    homes = Counter(family for some in FAMILIES.values() for family in some)
    homes[load_files.FAMILY] += 1
    yield from (f"{home} is listed by {count} suites" for home, count in homes.items() if count > 1)
    names = Counter(list(live.SMOKE))
    for path in sorted(each for each in root.rglob("*") if each.is_file()):
        shown = path.relative_to(root).as_posix()
        if path.suffix != FILE or path.parent.parent != root:
            yield f"{shown} is no FAMILY/NAME{FILE}: nothing plays it"
        elif path.parent.name not in homes:
            yield f"{shown} is of a family that no suite lists"
        else:
            names[loading.load(path)[0].written.scenario] += 1
    yield from (
        f"{count} scenarios are called {name}" for name, count in names.items() if count > 1
    )
    played = {name.partition("/")[0] for name in names}
    yield from (f"{home} is listed and has no scenario" for home in homes if home not in played)


def _takes_long(part: Part) -> bool:
    return part.case is not None and part.case.is_nightly


def _unknown(what: str, name: str, known: Sequence[str]) -> UsageError:
    near = nearest(name, known)
    end = f", the nearest is {near}" if near else ""
    return UsageError(f"unknown {what} {name!r}{end}", hint=f"known: {', '.join(known)}")
