"""Bots that wait for every answer: their states, their failures, and what they own at the end."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pretend_swarm import a_fake_mesh, a_swarm, an_order, is_believed

from aitbc_toolkit.suites import loads

FEW_HANDLES = 150
PARTS = [
    {"role": "user", "bots": 4, "pause_s": 0.2, "mix": {"transfer": 1, "read": 1}},
    {"role": "observer", "bots": 4, "pause_s": 0.1},
]
ONE_LIFE = """
import json
from aitbc_load.swarm.bots import BotError, Bots, Crowd

class NoBedError(BotError):
    pass

class Role:
    did = []
    def __init__(self, fails):
        self.fails = fails
    def set_up(self):
        self.did.append("set up")
        if self.fails == "set up":
            raise NoBedError
    def behave(self):
        self.did.append("behave")
        if self.fails == "for ever":
            gevent.sleep(600)
        if self.fails == "behave":
            raise NoBedError
        bots._is_stopped = True
        return "turn"
    def tear_down(self):
        self.did.append("tear down")

import gevent, sys, time
began = time.monotonic()
crowd, role = Crowd("sleeper"), Role(sys.argv[1])
bots = Bots(lambda: time.monotonic() - began)
until_s = 0.2 if role.fails == "behave" else 600.0
bots.begin(crowd, role, from_s=0, until_s=until_s, pause_s=0.01, seed="7")
if role.fails == "for ever":
    while not crowd.begun:
        gevent.sleep(0.01)
    bots.stop(0.0)
gevent.joinall(bots._living)
(life,) = crowd.lives
print(json.dumps({"did": role.did, "failures": crowd.failures, "acts": crowd.acts,
    "begun": crowd.begun, "path": [state for _, state in life.history]}))
"""


def lived(fails: str) -> dict[str, Any]:
    """Let one bot live in a process of its own, as gevent wants it."""
    argv = [sys.executable, "-c", ONE_LIFE, fails]
    return dict(json.loads(subprocess.run(argv, check=True, capture_output=True).stdout))


@pytest.mark.proves("B1")
def test_a_bot_that_cannot_set_up_never_behaves() -> None:
    """It tears down all the same, and its failure is counted by the class of its error."""
    told = lived("set up")

    assert told["did"] == ["set up", "tear down"]
    assert told["failures"] == {"NoBedError": 1}
    assert told["path"] == ["setting-up", "tearing-down", "failed"]
    assert told["begun"] == 0


@pytest.mark.proves("B1")
def test_a_failed_act_ends_no_bot() -> None:
    """It goes on with the next one, and has failed in the end."""
    told = lived("behave")

    assert told["did"].count("behave") == told["begun"] == told["failures"]["NoBedError"] >= 2
    assert told["did"][-1] == "tear down"
    assert told["path"][-2:] == ["tearing-down", "failed"]


def test_an_act_that_is_cut_off_is_no_act_that_was_done() -> None:
    """What was still waited for at the end has failed; it does not vanish from the books."""
    told = lived("for ever")

    assert (told["begun"], told["acts"], told["failures"]) == (1, {}, {"unfinished": 1})
    assert told["did"][-1] == "tear down"


@pytest.mark.proves("B1", "B5")
def test_a_bot_that_is_stopped_finishes_what_it_does() -> None:
    """An act that has begun is done, and nothing begins after it."""
    told = lived("nothing")

    assert told["did"] == ["set up", "behave", "tear down"]
    assert told["acts"] == {"turn": 1}
    assert told["path"] == [
        "setting-up",
        "resting",
        "behaving",
        "resting",
        "tearing-down",
        "succeeded",
    ]


@pytest.fixture
def few_handles() -> Iterator[int]:
    """Let what is started from here on begin with so many file handles, as under a usual shell."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_HANDLES, hard))
    yield FEW_HANDLES
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_swarm_takes_the_file_handles_that_it_may_have(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A shell gives 1,024 to begin with, and the swarm takes more: each open stream is one."""
    with a_fake_mesh() as ports:
        few = request.getfixturevalue("few_handles")
        parts = [{"role": "observer", "bots": 2 * few, "pause_s": 0.5}]
        phases = [{"name": "all", "for_s": 2.0, "rate": 5.0, "parts": parts}]
        order = an_order(tmp_path, ports, rate=5.0, for_s=2.0, phases=phases)
        result = a_swarm(order, []).run()

    assert not any("file handle" in why for why in result["why"]), result["why"]
    (observers,) = (each for each in result["roles"] if each["role"] == "observer")
    assert observers["lives"] == {"succeeded": 2 * few}


def crowded(folder: Path, ports: list[int]) -> dict[str, Any]:
    """Run users that come when they come, and bots that wait, side by side."""
    folder.mkdir()
    phases = [{"name": "all", "for_s": 2.0, "rate": 20.0, "parts": PARTS}]
    order = an_order(folder, ports, rate=20.0, for_s=2.0, phases=phases, drain_s=60.0)
    return a_swarm(order, []).run()


@pytest.mark.proves("B4")
def test_bots_know_what_they_own(tmp_path: Path) -> None:
    """Each believes its own books; reads on the way and a quorum at the end say the same."""
    with a_fake_mesh() as ports:
        result = crowded(tmp_path / "run", ports)

    assert {each["outcome"] for each in result["checks"]} == {"held"}, result["checks"]
    assert result["verdict"] == "PASS" or not is_believed(result), result["why"]
    roles = {each["role"]: each for each in result["roles"]}
    users, observers = roles["user"], roles["observer"]
    assert (users["model"], users["lives"]) == ("closed", {"succeeded": 4})
    assert users["in_blocks"] == users["acts"].get("transfer", 0)
    assert not users["failures"]
    assert observers["lives"] == {"succeeded": 4}
    if is_believed(result):  # else the machine may have slept through their phase
        assert users["acts"].keys() == {"transfer", "read"}
        assert observers["acts"]["block"] > 0


@pytest.mark.nightly
def test_stakers_bond_and_take_back_on_a_real_ledger(fake_mesh: Any, tmp_path: Path) -> None:
    """Each bond and each return is final, and the ledger says what is bonded.

    So few acts that no epoch ends: this mesh cannot follow a change of its voting powers.
    """
    fake_mesh.tell_fates()
    parts = [{"role": "staker", "bots": 1, "pause_s": 0.6}]
    asked = loads.Wanted(
        scenario="load/stakers",
        rate=2.0,
        for_s=3.0,
        batch=1,
        seed=3,
        objectives={},
        phases=({"name": "day", "for_s": 3.0, "rate": 2.0, "parts": parts},),
    )

    told = loads.play(fake_mesh.environment, asked, tmp_path, tell=lambda *_: None).told

    assert told is not None
    assert {row["outcome"] for row in told["checks"]} == {"held"}, told["checks"]
    (stakers,) = told["roles"]
    assert not stakers["failures"]
    assert stakers["lives"] == {"succeeded": 1}
    assert stakers["acts"]["bond"] >= stakers["acts"].get("unbond", 0)
    assert stakers["in_blocks"] == stakers["sent"]


@pytest.mark.nightly
@pytest.mark.proves("B4")
def test_a_chain_that_takes_more_than_it_says_is_caught(tmp_path: Path) -> None:
    """The bots see it on their way, and their wallets at the end."""
    with a_fake_mesh(bug="overcharges") as ports:
        result = crowded(tmp_path / "run", ports)

    assert result["verdict"] == "SAFETY"
    assert any(why.startswith("wallets_agree") for why in result["why"]), result["why"]
    (users,) = (each for each in result["roles"] if each["role"] == "user")
    assert users["failures"]["WrongBalanceError"] > 0
