"""How do nodes get back to where they were before a change that failed?

A node that had nothing before is taken down again. Used when a wave fails, when the whole mesh
does, and when a run that was on its way back is resumed. The way back keeps the quorum as the way
there did; only where there is none are all nodes started at once.
"""

from collections.abc import Sequence
from dataclasses import replace

from aitbc_toolkit.release.course import Course, Rolled
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.history import NOTHING
from aitbc_toolkit.release.reading import tip
from aitbc_toolkit.release.rolling import Run, failed_rows, gate_arrived, switch
from aitbc_toolkit.release.sparing import has_quorum, short_of_power


def finish_return(run: Run, course: Course, rolled: Rolled) -> None:
    """Take back what an earlier attempt has not; who is back already is gated, not restarted.

    The order of the course is that of the return here.
    """
    rolled.first_height = tip(run.mesh.statuses())
    rolled.switched = [name for wave in course.order.waves for name in wave]
    rolled.stranded = _take_back(run, course.order.waves, rolled, course)
    back = [name for name in course.arrived if course.before[name] != NOTHING]
    stood = replace(course, arrived=tuple(back))
    rolled.stranded |= gate_arrived(run, stood, rolled, unvoted=course.silent)
    rolled.switched += course.arrived


def give_back(run: Run, rolled: Rolled, course: Course) -> dict[str, str]:
    """Take every switched node back to where it was; return those that could not be.

    Nodes that failed and do not vote go first: until they do, the mesh can spare nobody else.
    """
    return _take_back(run, _groups_back(run, rolled, course), rolled, course)


def _take_back(
    run: Run, groups: Sequence[Sequence[str]], rolled: Rolled, course: Course
) -> dict[str, str]:
    stranded: dict[str, str] = {}
    back = Rolled(unanswered=rolled.unanswered)
    left = [list(group) for group in groups]
    number = 0
    while left:
        group, number = left.pop(0), number + 1
        short = "" if course.returns_at_once else short_of_power(run.mesh, tuple(group))
        if short and has_quorum(run.mesh):
            stranded |= dict.fromkeys(group, f"was left where it is: {short}")
            continue
        if short:
            # There is no quorum to keep, and nothing but the release before may bring it back.
            group, left = [name for each in (group, *left) for name in each], []
        new = [name for name in group if course.before.get(name, NOTHING) == NOTHING]
        old = [name for name in group if name not in new]
        place = f"return {number}/{number + len(left)}"
        if new:
            removed = failed_rows(run, new, run.crew.service("remove", new), back)
            stranded |= removed
            _tell_removed(run, [name for name in new if name not in removed], place)
        if old:
            # Who did not vote before the run is as before without a vote.
            gated = not course.silent.issuperset(old)
            stranded |= switch(run, old, course.before, rolled=back, place=place, gated=gated)
    rolled.unanswered = back.unanswered
    return stranded


def _tell_removed(run: Run, names: Sequence[str], place: str) -> None:
    if names:
        fields = {"type": "wave", "nodes": list(names), "place": place, "state": "removed"}
        run.tell({**fields, "text": f"{place} {' '.join(names)} removed"})


def _groups_back(run: Run, rolled: Rolled, course: Course) -> list[list[str]]:
    if course.returns_at_once:
        return [rolled.switched]
    votes = voting(run.environment, run.mesh.statuses())
    down = [name for name in rolled.switched if name in rolled.failed and name not in votes]
    others = [name for name in rolled.switched if name not in down]
    return [group for group in (down, *([name] for name in reversed(others))) if group]
