"""Which scenarios does a suite have? Those written in Python and those in files, by one name.

A name that does not exist, and a file with a mistake, are told before anything is started. Do not
play anything here: `live.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aitbc_toolkit import paths
from aitbc_toolkit.declared import nearest
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.suites import live
from aitbc_toolkit.suites.scenario import loading
from aitbc_toolkit.suites.scenario.schema import Case
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
        return [Part(case.name, case=case) for case in loading.load(Path(suite))]
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


def _all(families: Sequence[str], where: Path) -> Iterable[Part]:
    for name, scenario in live.SMOKE.items():
        if name.partition("/")[0] in families:
            yield Part(name, scenario=scenario)
    for path in sorted(where.glob("*/*.yaml")):
        if path.parent.name in families:
            for case in loading.load(path):
                yield Part(case.name, case=case)


def _takes_long(part: Part) -> bool:
    return part.case is not None and part.case.is_nightly


def _unknown(what: str, name: str, known: Sequence[str]) -> UsageError:
    near = nearest(name, known)
    end = f", the nearest is {near}" if near else ""
    return UsageError(f"unknown {what} {name!r}{end}", hint=f"known: {', '.join(known)}")
