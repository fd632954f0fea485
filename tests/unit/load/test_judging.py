"""A run judges itself before it judges the mesh, and names every reason."""

from dataclasses import replace

import pytest

from aitbc_load.chainwatch import BROKEN, HELD, UNKNOWN, Check
from aitbc_load.judging import INCONCLUSIVE, INVALID, LIVENESS, PASS, SAFETY, Facts, judge

GOOD = Facts(
    asked=1_000,
    offered=1_000,
    final=1_000,
    promised=0,
    sent=1_000,
    lag_p99_ms=1.5,
    cpu_share=0.4,
    drain_s=60.0,
    checks=(Check("agreement", HELD, "20 heights"),),
)


def test_a_good_run_passes() -> None:
    """Nothing speaks against it, and no reason is made up."""
    assert judge(GOOD).verdict == PASS
    assert judge(GOOD).why == ()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (replace(GOOD, offered=989), "98.9 % of what was asked"),
        (replace(GOOD, phases=(("burst", 100, 98),)), "98.0 % of what phase burst asked"),
        (replace(GOOD, lag_p99_ms=10.1), "send lag p99 was 10.1 ms"),
        (replace(GOOD, lag_p99_ms=None), "nothing was sent"),
        (replace(GOOD, cpu_share=0.81), "81 % of its core"),
        (replace(GOOD, out_of_files=3), "no file handle was left for 3"),
        (replace(GOOD, engine_faults=1), "1 exceptions inside the swarm"),
        (replace(GOOD, letters_lost=4), "4 letters between workers lost"),
        (replace(GOOD, final=0), "nothing became final"),
        (replace(GOOD, idle=("spammer",)), "no node judged anything of role spammer"),
        (replace(GOOD, is_stopped=True, offered=500), "stopped before its time"),
    ],
)
def test_a_run_that_says_nothing_is_invalid(changed: Facts, reason: str) -> None:
    """Each of these alone makes a run INVALID, and is told."""
    judgement = judge(changed)

    assert judgement.verdict == INVALID
    assert len(judgement.why) == 1
    assert reason in judgement.why[0]


def test_invalid_beats_what_the_mesh_did_not_finish() -> None:
    """A late generator proves no loss; every reason is told at once."""
    judgement = judge(replace(GOOD, promised=9, cpu_share=0.95, lag_p99_ms=30.0))

    assert judgement.verdict == INVALID
    assert len(judgement.why) == 2


def test_what_must_never_happen_outranks_an_invalid_run() -> None:
    """No weakness of the generator makes two blocks of one height."""
    broken = Check("agreement", BROKEN, "nodes hold different blocks at height 7")

    judgement = judge(replace(GOOD, checks=(broken,), cpu_share=0.95))

    assert judgement.verdict == SAFETY
    assert "height 7" in judgement.why[0]


def test_what_was_taken_and_not_finished_is_liveness() -> None:
    """A promise that is open at the end fails the run."""
    judgement = judge(replace(GOOD, promised=3))

    assert judgement.verdict == LIVENESS
    assert judgement.why == ("3 that a node took were not final after 60 s",)


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ({"rejected": 1}, "1 of 1,000 sent did not become final (1 rejected)"),
        ({"rejected": 999}, "999 of 1,000 sent did not become final (999 rejected)"),
        ({"rejected": 0, "expired": 2}, "2 of 1,000 sent did not become final (2 expired)"),
        ({"rejected": 1, "expired": 2, "pending": 3}, "(1 rejected, 2 expired, 3 pending)"),
    ],
)
def test_a_mesh_that_serves_next_to_nobody_does_not_pass(errors: dict[str, int], told: str) -> None:
    """Who keeps the rules may fail less than once in a thousand, whatever became of the rest."""
    judgement = judge(replace(GOOD, final=1_000 - sum(errors.values()), errors=errors))

    assert judgement.verdict == LIVENESS
    (why,) = judgement.why
    assert told in why


def test_one_error_in_many_is_borne_and_one_broken_promise_is_not() -> None:
    """Less than 0.1 %; what a node took is no percentage."""
    borne = replace(GOOD, sent=1_001, final=1_000, errors={"rejected": 1, "pending": 0})

    assert judge(borne).verdict == PASS
    assert judge(replace(borne, promised=1)).verdict == LIVENESS


def test_what_could_not_be_looked_at_is_no_pass() -> None:
    """A check without an answer makes the run INCONCLUSIVE."""
    judgement = judge(replace(GOOD, checks=(Check("agreement", UNKNOWN, "nobody"),)))

    assert judgement.verdict == INCONCLUSIVE
