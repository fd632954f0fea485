"""Bots of different workers ask and answer each other; who gets no answer fails in time."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_mesh import WAVERS
from pretend_swarm import a_fake_mesh, a_swarm, an_order, is_believed, played_whole

TWO_POSTS = """
import gevent, json, locust, time
from locust.env import Environment
from aitbc_load.letters import RATE_MAX
from aitbc_load.swarm.mailing import Post, UnansweredError

posts = []
passed = []
def pass_on(letter):
    passed.append(letter.kind)
    for post in posts:
        if f"{post.worker}/" != letter.sender[:2]:
            post.arrive(letter)
for worker in range(2):
    posts.append(Post(worker, pass_on))
    posts[-1].open(Environment().create_local_runner())
a, b, c = posts[0].box(0), posts[1].box(0), posts[1].box(1)
kinds = ("coordination", "data", "event")
for kind in kinds:
    a.tell(kind, {"n": 1})
    a.tell(kind, {"n": 2}, to="1/1")
got = {each.name: [(x.kind, x.body["n"]) for x in each.tray.take()] for each in (a, b, c)}
asked = []
def answer(letter):
    asked.append(letter.correlation)
    gevent.sleep(0.05 * letter.body["n"])
    return {"double": 2 * letter.body["n"]}
b.serve(answer)
jobs = [gevent.spawn(a.ask, "1/0", {"n": n}, within_s=30) for n in (3, 2, 1)]
gevent.joinall(jobs, raise_error=True)
answers = [(job.value.body["double"], job.value.correlation) for job in jobs]
began = time.monotonic()
try:
    a.ask("1/1", {}, within_s=0.2)
    silent = ""
except UnansweredError as wrong:
    silent = f"{type(wrong).__name__} {wrong}"
took_s = time.monotonic() - began
passed.clear()
for _ in range(3 * RATE_MAX):
    a.tell("event", {})
alone = Post(0, None)
alone.open(Environment().create_local_runner())
d, e = alone.box(0), alone.box(1)
for _ in range(3 * RATE_MAX):
    d.tell("event", {})
print(json.dumps({"got": got, "answers": answers, "asked": asked, "silent": silent,
    "took_s": took_s, "waiting": len(a._waiting), "passed": len(passed), "lost": posts[0].lost,
    "alone": [alone.lost, len(e.tray.unread) + e.tray.lost]}))
"""


@pytest.mark.proves("B7")
def test_letters_of_every_kind_reach_whom_they_are_for() -> None:
    """One bot or all others; each answer has the id of its question, in whatever order they come.

    Who is asked and does not answer is an error in time, and what is too many is not passed on.
    """
    argv = [sys.executable, "-c", TWO_POSTS]
    text = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout
    told = json.loads(text)

    everybody = [[kind, 1] for kind in ("coordination", "data", "event")]
    both = [[kind, n] for kind in ("coordination", "data", "event") for n in (1, 2)]
    assert told["got"] == {"0/0": [], "1/0": everybody, "1/1": both}
    assert [double for double, _ in told["answers"]] == [6, 4, 2]
    assert [correlation for _, correlation in told["answers"]] == told["asked"]
    assert len(set(told["asked"])) == 3
    assert told["silent"] == "UnansweredError 1/1"
    assert told["took_s"] >= 0.2
    assert told["waiting"] == 0
    assert told["passed"] + told["lost"] == 600
    assert told["lost"] > 0
    assert told["alone"] == [0, 600], "who has no others loses nothing on the way to them"


def comparers(bots: int) -> list[dict[str, Any]]:
    """Write the one phase of a run with so many of them."""
    parts = [{"role": "comparer", "bots": bots, "pause_s": 0.2}]
    return [{"name": "all", "for_s": 3.0, "rate": 20.0, "parts": parts}]


def played(folder: Path, *, bots: int, **mesh: Any) -> dict[str, Any]:
    """Let two real worker processes play it."""
    tried = list[Path]()

    def play() -> dict[str, Any]:
        tried.append(folder / f"run-{len(tried)}")
        tried[-1].mkdir()
        with a_fake_mesh(**mesh) as ports:
            plan = {"rate": 20.0, "for_s": 3.0, "phases": comparers(bots), "workers": 2}
            return a_swarm(an_order(tried[-1], ports, **plan), []).run()

    return played_whole(play)


@pytest.mark.proves("B7")
def test_bots_of_two_worker_processes_ask_and_answer(tmp_path: Path) -> None:
    """Each worker has one bot, so every answer came from the other one; nobody was left waiting."""
    result = played(tmp_path, bots=2)

    (role,) = result["roles"]
    assert role["acts"].get("compared", 0) >= 2, role
    assert role["failures"] == {}, role
    assert role["lives"] == {"succeeded": 2}
    assert result["verdict"] == "PASS" or result["verdict"] == "INVALID", result["why"]
    assert result["generator"]["letters_lost"] == 0
    assert {each["outcome"] for each in result["checks"]} == {"held"}
    assert result["verdict"] == "PASS" or not is_believed(result) or "clock" in str(result["why"])


def test_a_run_that_loses_letters_on_their_way_is_invalid(tmp_path: Path) -> None:
    """Sixty bots write more than is passed on: at either end what was lost is counted and told."""
    result = played(tmp_path, bots=60)

    assert result["verdict"] == "INVALID"
    whys = [why for why in result["why"] if "letters between workers lost" in why]
    assert any(why.endswith("bots sent too many a second") for why in whys), result["why"]
    assert any("too many came for worker" in why for why in whys), result["why"]
    assert result["generator"]["letters_lost"] > 100


def test_bots_find_the_node_that_holds_another_chain(tmp_path: Path) -> None:
    """What one asks and the other answers are their nodes' own words: a fork is seen."""
    result = played(tmp_path, bots=8, bug="forks")

    (role,) = result["roles"]
    assert role["failures"].get("ForkedError", 0) > 0, role
    assert "UnansweredError" not in role["failures"]


def test_a_fork_that_only_a_bot_saw_is_a_broken_promise(tmp_path: Path) -> None:
    """At the end all nodes tell one chain: what was said meanwhile was said, and no share."""
    result = played(tmp_path, bots=8, bug=WAVERS)

    (agreement,) = (each for each in result["checks"] if each["name"] == "agreement")
    assert agreement["outcome"] == "broken"
    assert agreement["detail"].startswith("nodes told bots two blocks of height ")
    assert result["verdict"] == "SAFETY", result["why"]
    assert f"agreement: {agreement['detail']}" in result["why"]
