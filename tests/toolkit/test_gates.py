"""A node passes a gate by voting, and by nothing that merely looks alive."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pytest
from msgspec.structs import replace
from pretend_nodes import a_block, a_status
from virtual_time import VirtualTime

from aitbc_node.rpc import schema
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import gates, logged
from aitbc_toolkit.release.ailing import Crashes
from aitbc_toolkit.release.gates import (
    Limits,
    Verdict,
    consecutive,
    pass_gate,
    quorum,
)
from aitbc_toolkit.release.logged import said
from aitbc_toolkit.release.turns import farthest

pytestmark = pytest.mark.unit

NAMES = ("v1", "v2", "v3", "v4")
HEALTHY = {
    "active": True,
    "failed": False,
    "word": "running",
    "pid": 7,
    "restarts": 0,
    "status": 0,
}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let gates wait for deadlines in virtual time."""
    monkeypatch.setattr(gates, "time", VirtualTime())


class FakeMesh:
    """Four nodes; each look at their statuses is one height later."""

    def __init__(
        self,
        *,
        voters: Callable[[int], Sequence[str]] = lambda _height: NAMES,
        silent: Sequence[str] = (),
        signed: int = 0,
        grows: bool = True,
        trouble: str = "",
        proposers: Callable[[int], str] = lambda height: NAMES[height % 4],
    ) -> None:
        self.environment = Inventory.load("staging")
        self.height = 100
        self.asked: list[str] = []
        self._voters, self._silent, self._signed = voters, silent, signed
        self._proposers, self._grows, self._trouble = proposers, grows, trouble

    def statuses(self, _names: object = None) -> dict[str, schema.Status | None]:
        self.height += self._grows
        told = a_status("", self.height, signed=self._signed)
        troubles = {"v1": self._trouble}
        return {
            name: None
            if name in self._silent
            else replace(told, node=name, validator=name, trouble=troubles.get(name, ""))
            for name in NAMES
        }

    def page(self, name: str, first: int) -> list[schema.BlockView]:
        self.asked.append(name)
        heights = range(first, self.height + 1)
        return [a_block(height, signers=self._voters(height - 1)) for height in heights]

    def ask(self, _instance: object, route: str, _shape: object) -> schema.Blocks:
        count = int(route.rpartition("=")[2])
        self.height += 1
        heights = range(self.height - count + 1, self.height + 1)
        blocks = [a_block(each, signers=(), proposer=self._proposers(each)) for each in heights]
        return schema.Blocks(height=self.height, blocks=blocks)


def judge(
    mesh: FakeMesh,
    *,
    names: Sequence[str] = ("v1",),
    services: Mapping[str, Any] = HEALTHY,
    processes: Mapping[str, int] | None = None,
    deadline_s: float = 1,
    stall_s: float = 60,
) -> Verdict:
    """Put v1, or the named ones, through the gate of a fake mesh."""

    def watch(names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        return {name: {**services, "log": ["the last line"]} for name in names}

    limits = Limits(deadline_s, stall_s)
    return pass_gate(cast("Any", mesh), names, watch=watch, limits=limits, processes=processes)


def test_three_votes_in_a_row_pass() -> None:
    """Own precommits in the commits of three consecutive heights, read from another node."""
    mesh = FakeMesh()

    assert judge(mesh).passed
    assert "v1" not in mesh.asked


def test_a_node_that_says_why_it_takes_no_part_fails_long_before_the_deadline() -> None:
    """What it has found cannot be waited away: another state root, a key without its sign state."""
    mesh = FakeMesh(trouble="state root 11 here, 22 in its header", voters=lambda _: NAMES[1:])

    verdict = judge(mesh, deadline_s=60)

    assert "takes no part: state root 11 here, 22 in its header" in verdict.failed["v1"]
    assert verdict.took_s < 30


class _Crashed(FakeMesh):
    """v1 votes in three heights, then answers nothing for a second, and then anew."""

    def __init__(self) -> None:
        super().__init__(voters=lambda at: NAMES if 102 <= at <= 104 else NAMES[1:])
        self.looks = 0

    def statuses(self, names: object = None) -> dict[str, schema.Status | None]:
        self.looks += 1
        self._silent = ["v1"] if 2 <= self.looks <= 11 else []
        return super().statuses(names)


def test_check_04_votes_of_a_life_that_has_ended_prove_nothing() -> None:
    """A node that crashes in a loop may vote in each of its lives; it has to in the last one."""
    crashed = judge(_Crashed(), processes={"v1": 6}, deadline_s=2)
    slow = judge(_Crashed(), processes={"v1": HEALTHY["pid"]}, deadline_s=2)

    assert crashed.failed["v1"].startswith("voted in 0 of 3 consecutive heights")
    assert slow.passed, "the same process was silent for a while, and had voted"


def test_check_04_an_open_port_that_answers_but_does_not_vote_fails() -> None:
    """It is at the tip, says that it voted, and no block carries its precommit."""
    verdict = judge(FakeMesh(voters=lambda _height: NAMES[1:]))

    assert not verdict.passed
    assert verdict.failed["v1"].startswith("voted in 0 of 3 consecutive heights")
    assert "the last line" in verdict.failed["v1"]


def test_every_other_vote_is_not_enough() -> None:
    """Three votes with gaps between them are no participation."""
    verdict = judge(FakeMesh(voters=lambda height: NAMES if height % 2 else NAMES[1:]))

    assert "voted in 1 of 3" in verdict.failed["v1"]


def test_votes_from_before_the_restart_do_not_count() -> None:
    """What the node had signed already proves nothing about the process that runs now."""
    mesh = FakeMesh(signed=10_000)

    assert "voted in 0 of 3" in judge(mesh).failed["v1"]


def test_a_silent_node_fails_with_its_log() -> None:
    """Nothing answers within the deadline; the service's own words are in the reason."""
    verdict = judge(FakeMesh(silent=["v1"]), deadline_s=0.3)

    assert "did not answer on its RPC port" in verdict.failed["v1"]
    assert "the last line" in verdict.failed["v1"]


def test_a_mesh_that_stops_fails_the_gate_before_its_deadline() -> None:
    """Every node answers, and no block comes: the one that was switched is the suspect."""
    mesh = FakeMesh(grows=False)

    verdict = judge(mesh, deadline_s=60, stall_s=0.3)

    assert verdict.failed["v1"].startswith("the mesh made no block for 0 s; voted in 0 of 3")
    assert verdict.took_s < 10


def test_a_service_that_has_given_up_fails_long_before_the_deadline() -> None:
    """A crash is no reason to wait."""
    given_up = {**HEALTHY, "active": False, "failed": True, "word": "failed", "status": 78}

    verdict = judge(FakeMesh(silent=["v1"]), services=given_up, deadline_s=60)

    assert verdict.took_s < 10
    assert "has stopped (failed, status 78)" in verdict.failed["v1"]


def test_of_many_nodes_that_have_given_up_is_told_as_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """The more start at once, the later a look; for however many, it comes before the deadline."""
    given_up = {**HEALTHY, "active": False, "failed": True, "word": "failed", "status": 78}
    monkeypatch.setattr(gates, "_SILENCE_EACH_S", 30.0)

    verdict = judge(FakeMesh(silent=NAMES), names=NAMES, services=given_up, deadline_s=60)

    assert verdict.took_s < 30
    assert {reason.splitlines()[0] for reason in verdict.failed.values()} == {
        "has stopped (failed, status 78)"
    }


def test_a_status_that_nobody_measured_is_not_told() -> None:
    """Supervisord forgets how a program ended that never got up; no 0 stands in for it."""
    held_back = {**HEALTHY, "active": False, "word": "backoff", "status": None}
    seen = Crashes()

    found = [seen.found({"v1": held_back}) for _ in range(2)][-1]

    assert found["v1"].splitlines()[0] == "keeps crashing (backoff)"


@pytest.mark.parametrize(
    ("service", "looks", "crashes"),
    [
        ({"restarts": 1}, 1, False),
        ({"restarts": 2}, 1, True),
        ({"word": "backoff"}, 1, False),
        ({"word": "backoff"}, 2, True),
        ({"active": False, "status": 78}, 1, True),
        ({}, 5, False),
    ],
)
def test_two_crashes_are_a_loop_and_one_is_not(
    service: Mapping[str, Any], looks: int, *, crashes: bool
) -> None:
    """Restarts are counted by systemd; supervisord only shows that it holds a program back."""
    seen = Crashes()

    found = [seen.found({"v1": {**HEALTHY, **service}}) for _ in range(looks)][-1]

    assert ("v1" in found) == crashes


def test_check_04_a_service_that_is_up_at_every_look_and_another_process_each_time() -> None:
    """Two restarts between three looks are a loop, whatever the manager's word is."""
    seen = Crashes()

    found = [seen.found({"v1": {**HEALTHY, "pid": pid}}) for pid in (7, 8, 0, 9)]

    assert [list(each) for each in found] == [[], [], [], ["v1"]]
    assert found[-1]["v1"].startswith("keeps crashing (running")


def test_the_longest_run_counts() -> None:
    """Consecutive means without a gap, wherever it is."""
    assert consecutive([]) == 0
    assert consecutive([5]) == 1
    assert consecutive([1, 2, 4, 5, 6, 9]) == 3


def test_a_quorum_is_more_than_two_thirds_of_the_power() -> None:
    """Computed from power, never from a count of nodes."""
    assert [quorum(power, 4) for power in range(5)] == [False, False, False, True, True]
    assert not quorum(2, 3)


def test_log_lines_are_written_for_people() -> None:
    """The event and its fields, a traceback's last line; plain text stays as it is."""
    line = (
        '{"time_ms": 1, "node": "v1", "level": "critical", "event": "bug", "traceback": "a\\nb: c"}'
    )

    assert said(line) == "critical bug traceback=b: c"
    assert said("error: port 8600 is in use") == "error: port 8600 is in use"
    assert len(said("x" * 1000)) == logged._LOG_CHARS


def test_the_validator_that_proposed_lately_restarts_first() -> None:
    """Its next turn is farthest away."""
    mesh = FakeMesh(proposers=lambda height: NAMES[height % 4])

    chosen = farthest(cast("Any", mesh), NAMES)

    assert chosen == NAMES[mesh.height % 4]


def test_a_proposer_that_never_comes_does_not_hold_a_deploy_up() -> None:
    """Nothing is waited for here: the first one is taken, and its restart may cost a round."""
    mesh = FakeMesh(proposers=lambda _height: "v2")
    before = mesh.height

    assert farthest(cast("Any", mesh), ["v3", "v4"]) == "v3"
    assert mesh.height - before == 2, "one look at the nodes, one at the blocks"
