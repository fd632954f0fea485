"""The swarm beside wrk: what is divided by what, and when a figure is none."""

from pathlib import Path
from typing import Any

import pytest
from pretend_swarm import a_fake_mesh, a_swarm, an_order

from aitbc_toolkit.benchmarks import generating
from aitbc_toolkit.errors import AitbcError

SAID = "Running 4s test\n  120000 requests in 4.00s, 11.90MB read\nRequests/sec:  30000.00\n"


def test_the_middle_of_the_rounds_is_compared() -> None:
    """One slow round of a busy machine decides nothing."""
    rates = {"wrk": [90_000.0, 100_000.0, 101_000.0], "single": [26_000.0, 5_000.0, 27_000.0]}

    found = generating.figures({**rates, "batch": [510_000.0, 100.0, 520_000.0]})

    assert (found["verdict"], found["why"]) == ("PASS", [])
    assert (found["ratio_single"], found["ratio_batch"]) == (0.26, 5.1)


def test_what_is_missed_is_told_with_what_is_wanted() -> None:
    """Each by itself."""
    found = generating.figures({"wrk": [100_000.0], "single": [20_000.0], "batch": [600_000.0]})

    assert found["verdict"] == "OBJECTIVE"
    assert found["why"] == ["single 0.20 of wrk, at least 0.25 is wanted"]


@pytest.mark.parametrize("more", ["Non-2xx or 3xx responses: 3", "Socket errors: connect 1"])
def test_requests_that_were_not_answered_are_no_figure(more: str) -> None:
    """To be refused costs less than to be served."""
    assert generating.requests(SAID) == 120_000
    with pytest.raises(AitbcError):
        generating.requests(SAID + more)
    with pytest.raises(AitbcError):
        generating.requests("nothing")


def test_a_swarm_that_was_not_followed_to_the_end_is_no_figure() -> None:
    """What is still pending was not tracked."""
    told: dict[str, Any] = {
        "books": {"sent": 100, "final": 100},
        "generator": {"tracked_cpu_s": 0.5},
    }

    assert generating.final_per_cpu_s(told) == 200
    with pytest.raises(AitbcError, match="99 of 100"):
        generating.final_per_cpu_s({**told, "books": {"sent": 100, "final": 99}})


def test_a_mesh_that_reads_nothing_makes_all_of_it_final(tmp_path: Path) -> None:
    """What is handed in to it is answered and told, each one, so that it can be tracked."""
    with a_fake_mesh(blind=True) as ports:
        told = a_swarm(an_order(tmp_path, ports, batch=5, for_s=1.0), []).run()

    assert told["books"]["sent"] == told["books"]["final"] == 100
    assert generating.final_per_cpu_s(told) > 0
