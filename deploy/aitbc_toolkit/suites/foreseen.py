"""What is known of runs before the first of them is played? What cannot be is refused then.

A mistake that is told behind the last of many runs has cost them all. Do not play anything here,
and do not judge: `baselines.py`, `comparing.py`.
"""

from itertools import groupby
from pathlib import Path

from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import loads, playing, ranking
from aitbc_toolkit.suites.catalogue import Part
from aitbc_toolkit.suites.comparing import CHANCE_MAX
from aitbc_toolkit.suites.loads import Wanted
from aitbc_toolkit.suites.scenario import figures, on_mesh
from aitbc_toolkit.suites.scenario.schema import Case


def require_fit(environment: Environment, asked: Wanted) -> None:
    """Refuse a load scenario that this mesh is not for. Raises: UsageError."""
    why = on_mesh.unfit(asked.case, environment) if asked.case else ""
    if why:
        what = f"{asked.scenario} cannot be played on {environment.name}: {why}"
        raise UsageError(what, hint="aitbc load list")


def configuration(environment: Environment, asked: Wanted) -> str:
    """Ask a mesh, and hash what a load run on it would be asked, as its result will tell it.

    Raises: as the run would, before it begins.
    """
    with open_mesh(environment) as mesh:
        order = loads.an_order(environment, mesh, asked, Path())
    return str(order["circumstances"]["configuration"])


def require_alike(first: Environment, second: Environment, asked: Wanted) -> None:
    """Refuse meshes that one scenario cannot be compared on. Raises: UsageError."""
    if configuration(first, asked) != configuration(second, asked):
        what = f"{first.name} and {second.name} cannot be compared: they differ in configuration"
        raise UsageError(what, hint="aitbc load compare --help")


def require_figures(environment: Environment | None, parts: list[Part], *, runs: int) -> None:
    """Refuse to play so many runs of a scenario whose figures they could not judge.

    Raises: UsageError, with how many could, and where there is no figure at all.
    """
    scenario = parts[0].name.partition("[")[0]
    count = _figures(playing.sorted_out(environment, parts)[0])
    if not count:
        what = f"{scenario} measures nothing: it has no objectives"
        raise UsageError(what, hint="aitbc load baseline keep --help")
    if not _tells(runs, count):
        least = next(each for each in range(runs, 2 * runs + count) if _tells(each, count))
        where = environment.name if environment else "sim"
        what = f"{runs} runs are too few to judge the {count} figures of {scenario}: {least} can"
        hint = f"aitbc load baseline keep {scenario} -e {where} --runs {least}"
        raise UsageError(what, hint=hint)


def _tells(runs: int, count: int) -> bool:
    return ranking.p_least(runs) <= CHANCE_MAX / count


def _figures(fit: list[Part]) -> int:
    """Count what is measured where these parts are played."""
    cases = [part.case for part in fit if part.case]
    scenarios = groupby(cases, key=lambda each: each.written.scenario)
    return sum(_of_scenario(list(each)) for _, each in scenarios)


def _of_scenario(cases: list[Case]) -> int:
    """Count what is judged of each of its cases, and between them where there are several."""
    own = sum(len(list(figures.judge(case, {}))) for case in cases)
    return own + (len(list(figures.growth([(case, {}) for case in cases]))) if cases[1:] else 0)
