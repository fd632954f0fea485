"""How do nodes get back to where they were before a change that failed?

A node that had nothing before is taken down again. Used when a wave fails, when the whole mesh
does, and when a run that was on its way back is resumed.
"""

from collections.abc import Sequence
from dataclasses import replace

from aitbc_toolkit.release.history import NOTHING
from aitbc_toolkit.release.reading import tip
from aitbc_toolkit.release.rolling import (
    Course,
    Rolled,
    Run,
    failed_rows,
    gate_arrived,
    switch,
)


def finish_return(run: Run, course: Course, rolled: Rolled) -> None:
    """Take back what an earlier attempt has not; who is back already is gated, not restarted.

    The order of the course is that of the return here.
    """
    rolled.first_height = tip(run.mesh.statuses())
    rolled.switched = [name for wave in course.order.waves for name in wave]
    rolled.stranded = _take_back(run, course.order.waves, rolled, course)
    back = [name for name in course.arrived if course.before[name] != NOTHING]
    rolled.stranded |= gate_arrived(run, replace(course, arrived=tuple(back)), rolled)
    rolled.switched += course.arrived


def give_back(run: Run, rolled: Rolled, course: Course) -> dict[str, str]:
    """Take every switched node back to where it was; return those that could not be.

    The nodes that failed go first: until they vote again the mesh can spare nobody else.
    """
    return _take_back(run, _groups_back(rolled, at_once=course.returns_at_once), rolled, course)


def _take_back(
    run: Run, groups: Sequence[Sequence[str]], rolled: Rolled, course: Course
) -> dict[str, str]:
    stranded: dict[str, str] = {}
    back = Rolled(unanswered=rolled.unanswered)
    for number, group in enumerate(groups, start=1):
        new = [name for name in group if course.before.get(name, NOTHING) == NOTHING]
        old = [name for name in group if name not in new]
        if new:
            stranded |= failed_rows(run, new, run.crew.service("remove", new), back)
        if old:
            place = f"return {number}/{len(groups)}"
            stranded |= switch(run, old, course.before, rolled=back, place=place)
    rolled.unanswered = back.unanswered
    return stranded


def _groups_back(rolled: Rolled, *, at_once: bool) -> list[list[str]]:
    failed = [name for name in rolled.failed if name in rolled.switched]
    passed = [name for name in rolled.switched if name not in failed]
    if at_once:
        return [[*failed, *passed]]
    return [group for group in (failed, *([name] for name in reversed(passed))) if group]
