"""No step in the way of a transaction costs more of a verification than it may: ratios, no seconds.

The shares are some twice of what was measured, so that they fail for what got slow and not for a
busy machine.
"""

import json
from functools import partial

import pytest

from aitbc_toolkit.benchmarks import hot_paths
from aitbc_toolkit.benchmarks.hot_paths import Path
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit


def test_every_hot_path_costs_what_it_may() -> None:
    """Reading, admission, pool, gossip, execution and roots, each beside verifying once."""
    found = hot_paths.measure(hot_paths.hot_paths(200), rounds=9)

    assert found[0].share == 1.0
    assert not [row.to_document() for row in found if not row.is_within]


def test_a_step_that_got_slow_is_found() -> None:
    """One that verifies each transaction again is told, with what it costs."""
    verify, read, *_ = hot_paths.hot_paths(20)

    def slow() -> None:
        read.do()
        verify.do()

    planted = Path("read", "verifies, too", read.share, slow, read.count)
    _, found = hot_paths.measure([verify, planted])

    assert not found.is_within
    assert found.share > 0.9


def test_the_best_round_counts() -> None:
    """What else the machine did in one of them makes no step slow."""
    spans = iter([10, 500, 10, 10, 10, 500, 10, 10])

    def work() -> None:
        sum(range(next(spans) * 1_000))

    one = Path("one", "", 1.0, partial(work), 1)
    other = Path("other", "", 10.0, partial(work), 1)
    first, second = hot_paths.measure([one, other], rounds=4)

    assert first.share == 1.0
    assert second.share < 10


def test_the_command_tells_each_path_with_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """One document: what each step costs, what it may, cores, versions and commit."""
    status = run(["benchmark", "performance", "--json"])

    told = json.loads(capsys.readouterr().out)
    assert status in {Exit.OK, Exit.OBJECTIVE}
    assert (told["verdict"] == "PASS") == (status == Exit.OK)
    assert [row["name"] for row in told["paths"]][:3] == ["verify", "read", "admit"]
    assert told["machine"]["cores"] > 0
    assert len(told["commit"]) == 40
