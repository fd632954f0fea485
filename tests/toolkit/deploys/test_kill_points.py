"""Check 13: a controller that is killed at each point of its journal, one test for each of them.

Two hosts of stand-in nodes. CI takes two points, the rest is for the nightly tier.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_args

import pytest
from killed_runs import asked, killed, pids, resumed

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import audit, integrity
from aitbc_toolkit.release.journal import Point

pytestmark = pytest.mark.integration

Build = Callable[..., Any]
CANARY: Mapping[str, int] = {"canary": 1, "bake_s": 3}


class Kill(NamedTuple):
    """Say when a run is killed, what is told of it then, how many have arrived, how it ends.

    `again`: it was killed once before, after its first wave, and is killed while it is resumed.
    """

    point: Point
    said: str
    arrived: int = 0
    count: int = 1
    build: str = "ok"
    choice: Mapping[str, int] = {}
    again: bool = False
    ends: Exit = Exit.OK


KILLS = [
    Kill("begun", "begun; perhaps not announced on every host, nothing switched"),
    Kill("announced", "announced on every host, nothing switched"),
    Kill("gate-begun", "waiting for v", arrived=1, again=True),
    Kill("switch-begun", "wave 3/4: switching v", arrived=2, count=3),
    Kill("switched", "restarted, not through the gate yet", arrived=3, count=3),
    Kill("gate-passed", "passed so far: v", arrived=2, count=2),
    Kill("gate-failed", " failed the gate; ", build="crash", ends=Exit.ROLLED_BACK),
    Kill("bake-begun", "watching the canary v", arrived=1, choice=CANARY),
    Kill("bake-passed", " passed its watch", arrived=1, choice=CANARY),
    Kill(
        "bake-failed",
        " failed its watch",
        arrived=1,
        build="tires",
        choice={"canary": 1, "bake_s": 30},
        ends=Exit.ROLLED_BACK,
    ),
    Kill("verify-begun", "the smoke suite had not ended", arrived=4),
    Kill("verified", "only the record was missing", arrived=4),
    Kill("return-begun", "going back with v", build="crash", ends=Exit.ROLLED_BACK),
    Kill("returned", "went back with v", build="crash", ends=Exit.ROLLED_BACK),
    Kill("closing", "ended healthy; its record is perhaps not on every host", arrived=4),
]
IN_CI = {"switched", "return-begun"}


def test_every_point_of_a_journal_is_killed_at() -> None:
    """None is left out but the last: a run that has written it has ended."""
    assert {each.point for each in KILLS} == {*get_args(Point)} - {"closed"}


@pytest.mark.proves("E50")
@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(each, id=each.point, marks=[] if each.point in IN_CI else pytest.mark.nightly)
        for each in KILLS
    ],
)
def test_check_13_killed_at_a_point_a_run_is_known_and_resumed(
    a_project: Build, kill: Kill
) -> None:
    """Status names the state; resume ends it at once, and restarts nobody who is where it goes.

    The stages `switched` and `return-begun` stand for the others in CI.
    """
    project = a_project(hosts=2)
    project.deploy()
    good = project.git("rev-parse", "HEAD")
    new = project.commit(kill.build, "a second build")
    if kill.again:
        killed(project, "gate-passed")
    verb = "resume" if kill.again else "deploy"
    killed(project, kill.point, kill.count, verb=verb, **kill.choice)

    found = asked(project)
    before = pids(project)
    done = resumed(project)

    after, ended = pids(project), asked(project)
    wanted = "as before" if kill.ends is Exit.ROLLED_BACK else "at the target"
    there = {name for name, state in found.nodes.items() if state == wanted}
    assert kill.said in found.to_document()["state"]
    assert (found.record.outcome, found.exit, found.is_open) == ("unknown", Exit.UNKNOWN, True)
    arrived = list(found.nodes.values()).count("at the target")
    # A build that crashes is started again and again, so the node is seen up or down.
    assert kill.arrived <= arrived <= kill.arrived + (kill.build == "crash")
    assert done.exit is kill.ends, done.error
    assert set(project.running().values()) == {new if kill.ends is Exit.OK else good}
    assert {name for name in before if before[name] == after[name]} >= there
    outcome = "healthy" if kill.ends is Exit.OK else "rolled back"
    assert (ended.record.id, ended.record.outcome) == (found.record.id, outcome)
    assert not ended.is_open
    shelves = integrity.verify(project.environment)
    assert [(shelf.findings, shelf.runs) for shelf in shelves] == [([], 2)] * 3
    audited = [each.entry for each in audit.check(audit.path_of(project.environment))[0]]
    taken = [each.reason for each in audited if each.action == "break-lease"]
    assert len(taken) == (2 if kill.again else 1)
    assert "its process on this machine has ended" in taken[-1]


def test_check_13_a_run_that_was_killed_after_its_end_has_ended(a_project: Build) -> None:
    """Its last point is written: there is nothing to resume, and status says how it ended."""
    project = a_project(names=("v1",))
    project.deploy()
    project.commit("ok", "a second build")

    killed(project, "closed", allow_stall=True)

    assert asked(project).to_document()["state"] == "closed: healthy"
    with pytest.raises(AitbcError, match="there is no run to resume"):
        resumed(project)
