"""The throughput benchmark: what it runs on, when its figures count, and what they are made of."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aitbc_load import ceiling as program
from aitbc_toolkit import paths
from aitbc_toolkit.benchmarks import ceiling, holding, throughput, track
from aitbc_toolkit.benchmarks.ceiling import Ceiling
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import meshing
from aitbc_toolkit.suites.verdicts import Verdict

TOP = Ceiling(a_second=50_000.0, cores=2)
BOOKS = {"sent": 60_000, "final": 60_000, "promised": 0}


def a_cost(node: str) -> dict[str, Any]:
    """Tell what a node used: 50 us for each."""
    return {"node": node, "cpu_ms": 3_000.0, "per_tx": {"cpu_ms": 0.05}, "why": ""}


def told(**changed: object) -> dict[str, Any]:
    """Make what a swarm tells of 1,000 a second for a minute, 50 us of each validator for each."""
    return {
        "verdict": "INVALID",  # the swarm was late: that is no fault of the mesh
        "why": ["send lag p99 was 40.0 ms, at most 10 are good"],
        "for_s": 60.0,
        "rates": {"asked": 1_000.0, "offered": 1_000.0, "committed": 990.0},
        "books": BOOKS,
        "to_final": {"percentiles_ms": {"p50": 300.0, "p99": 900.0}},
        "send_lag": {"percentiles_ms": {"p99": 40.0}},
        "checks": [{"name": "agreement", "outcome": "held", "detail": ""}],
        "generator": {"cpu_s": 3.0, "cpu_share": 0.05, "cpu_us_per_tx": 50.0, "tx_bytes": 193.4},
        "costs": [a_cost(f"v{number}") for number in range(4)],
        **changed,
    }


def environment(folder: Path, validators: int) -> Environment:
    """Load the environment that is measured."""
    own = folder / "inventories" / "dev"
    own.mkdir(parents=True)
    written = (paths.inventories() / "dev" / "inventory.toml").read_text()
    (own / "inventory.toml").write_text(
        track.inventory(written, list(range(16_000, 16_000 + 3 * validators)))
    )
    return Inventory.load("dev", folder=own.parent, state=folder / "state")


@pytest.mark.parametrize("validators", [1, 4, 10])
def test_the_mesh_that_is_measured_is_dev_under_the_profile_bench(
    tmp_path: Path, validators: int
) -> None:
    """As many validators as asked, each behind ports of its own, and blocks each 200 ms."""
    found = environment(tmp_path, validators)

    assert [each.name for each in found.validators] == [f"v{n}" for n in range(1, validators + 1)]
    doors = {port for each in found.instances for port in (each.p2p_port, each.rpc_port)}
    assert len(doors) == 2 * validators
    assert (found.profile.limits, found.chain.block_interval_ms) == ("bench", 200)
    assert found.rules == Inventory.load("dev", state=tmp_path / "state").rules


def test_ports_that_somebody_has_are_not_taken() -> None:
    """They lie side by side, and another listener is gone round."""
    first = track.free_ports(3)
    with socket.socket() as other:
        other.bind(("127.0.0.1", first[1]))
        other.listen()
        second = track.free_ports(3)

    assert first == list(range(first[0], first[0] + 3))
    assert second[0] > first[0]


def test_ports_of_others_are_not_looked_at() -> None:
    """More than the area has is refused at once: looking would take them from who needs them."""
    assert len(track.free_ports(3 * track.VALIDATORS_MAX)) == 3 * track.VALIDATORS_MAX
    with pytest.raises(AitbcError, match="no 4001 free ports"):
        track.free_ports(4_001)


def test_efficiency_is_what_processor_time_would_allow_beside_verifying_alone() -> None:
    """50 us of each of four validators on two cores: 10,000 a second, of 12,500 at most."""
    found = throughput.figures(told(), told(), TOP, validators=4)

    assert (found["verdict"], found["why"]) == (Verdict.PASS, [])
    assert found["cpu_us_per_tx_per_validator"] == 50.0
    assert (found["capacity_tps"], found["verify_ceiling_tps"]) == (10_000.0, 12_500.0)
    assert found["efficiency"] == 0.8
    assert (found["committed_tps"], found["p50_ms"], found["p99_ms"]) == (990.0, 300.0, 900.0)
    assert found["generator"]["cpu_s"] == 3.0
    assert found["tx_bytes"] == 193.4


@pytest.mark.parametrize(
    ("whole", "half", "top", "verdict", "why"),
    [
        ({"verdict": "SAFETY", "why": ["agreement: two"]}, {}, TOP, Verdict.SAFETY, "agreement"),
        ({}, {}, Ceiling(39_000.0, 2), Verdict.INVALID, "19,500 a second, 20,000 are the least"),
        ({}, {}, Ceiling(50_000.0, 2, wait=1.2), Verdict.INVALID, "1.20 times its processor"),
        ({"books": {**BOOKS, "sent": 56_000}}, {}, TOP, Verdict.INVALID, "whole: 93.3 %"),
        ({}, {"books": {**BOOKS, "final": 0}}, TOP, Verdict.INVALID, "half: nothing became"),
        ({}, {"why": ["it was stopped before its time"]}, TOP, Verdict.INVALID, "half: it was st"),
        ({"books": {**BOOKS, "final": 59_000}}, {}, TOP, Verdict.INVALID, "whole: send lag"),
        ({"verdict": "LIVENESS", "why": ["9 late"]}, {}, TOP, Verdict.LIVENESS, "whole: 9 late"),
        ({}, {"verdict": "LIVENESS", "why": ["9 late"]}, TOP, Verdict.LIVENESS, "half: 9 late"),
        (
            {"verdict": "INCONCLUSIVE", "checks": [{"name": "one_fate", "outcome": "unknown"}]},
            {},
            TOP,
            Verdict.INCONCLUSIVE,
            "one_fate",
        ),
        ({}, {}, Ceiling(80_000.0, 2), Verdict.OBJECTIVE, "efficiency 0.500"),
        (
            {},
            {"to_final": {"percentiles_ms": {"p50": 1.0, "p99": 2_000.0}}},
            TOP,
            Verdict.OBJECTIVE,
            "p99 2,000 ms at half the load",
        ),
    ],
)
def test_the_measurement_is_judged_before_what_it_shows(
    whole: dict[str, Any], half: dict[str, Any], top: Ceiling, verdict: Verdict, why: str
) -> None:
    """A figure of a busy machine, or of a load that was not sent, is none."""
    found = throughput.figures(told(**whole), told(**half), top, validators=4)

    assert found["verdict"] == verdict
    assert why in found["why"][0]


LOST = {"books": {**BOOKS, "final": 59_401, "promised": 599}}


@pytest.mark.parametrize(("whole", "half"), [(LOST, {}), ({}, LOST)])
def test_what_a_node_took_and_nobody_saw_again_is_no_pass(
    whole: dict[str, Any], half: dict[str, Any]
) -> None:
    """However few they are, and whether or not the swarm was late as well."""
    late = throughput.figures(told(**whole), told(**half), TOP, validators=4)
    stopped = throughput.figures(
        told(**whole, why=["it was stopped"]), told(**half), TOP, validators=4
    )

    assert late["verdict"] == Verdict.LIVENESS
    assert "599 that a node took were not final" in late["why"][0]
    assert stopped["verdict"] == Verdict.INVALID


@pytest.mark.parametrize("known", [0, 1, 3])
def test_the_cost_of_some_validators_says_nothing_of_the_others(known: int) -> None:
    """A mean of whom could be read is none of all."""
    lost = [{"node": "v9", "cpu_ms": None, "per_tx": None, "why": "gone"}]
    costs = [a_cost(f"v{number}") for number in range(known)] + lost * (4 - known)

    found = throughput.figures(told(costs=costs), told(), TOP, validators=4)

    assert found["verdict"] == Verdict.INVALID
    assert found["why"] == [f"whole: the processor time of {known} of 4 validators was read"]


def test_less_than_the_minute_shows_nothing_of_it() -> None:
    """It can be tried, and its figures are told; a figure that is missed is told beside."""
    short = told(for_s=10.0, books={"sent": 10_000, "final": 10_000, "promised": 0})

    good = throughput.figures(short, told(), TOP, validators=4)
    bad = throughput.figures(short, told(), Ceiling(80_000.0, 2), validators=4)

    assert (good["verdict"], bad["verdict"]) == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)
    assert good["why"] == ["10 s show nothing of the 60 s that are asked for"]
    assert bad["why"] == [*good["why"], "efficiency 0.500, at least 0.60 is wanted"]
    assert good["efficiency"] == 0.8


def test_the_highest_rate_that_holds_is_looked_for() -> None:
    """Around what processor time would allow; where nothing holds, at the least that was tried."""
    asked: list[str] = []

    def highest(capacity: float, first: float) -> float:
        def attempt(name: str, rate: float) -> dict[str, Any]:
            asked.append(name)
            committed = min(rate, capacity)
            rates = {"asked": rate, "offered": rate, "accepted": rate, "committed": committed}
            sent = int(rate * 60)
            books = {"sent": sent, "final": sent, "pending": 0, "promised": 0}
            latency = {"percentiles_ms": {"p50": 1.0, "p95": 1.0, "p99": 1.0}}
            return told(rates=rates, books=books, to_final=latency)

        return holding.highest(attempt, first)

    assert 880 <= highest(1_000, first=900) <= 1_100
    assert 880 <= highest(1_000, first=1_500) <= 1_100
    assert highest(100, first=1_000) == 125
    assert len(set(asked)) < len(asked), "each search counts its steps from one"


def test_a_rate_that_holds_for_a_step_only_is_lowered_for_the_minute() -> None:
    """Twice at most; what fell behind all the same is told as it is."""

    def sustained(capacity: float) -> tuple[list[str], float]:
        names: list[str] = []

        def attempt(name: str, rate: float) -> dict[str, Any]:
            names.append(name)
            committed = min(rate, capacity)
            rates = {"asked": rate, "offered": rate, "accepted": rate, "committed": committed}
            books = {"sent": int(rate * 60), "final": int(rate * 60), "pending": 0, "promised": 0}
            lag = {"percentiles_ms": {"p99": 1.0}, "histogram": {"most_us": 0}}
            latency = {"percentiles_ms": {"p50": 1.0, "p95": 1.0, "p99": 1.0}}
            return told(rates=rates, books=books, send_lag=lag, to_final=latency)

        return names, holding.sustained(attempt, 1_000)[1]

    assert sustained(1_000) == (["whole"], 1_000)
    assert sustained(900) == (["whole", "whole-2"], 900)
    assert sustained(100) == (["whole", "whole-2", "whole-3"], 810)


def test_the_ceiling_is_the_best_that_was_seen() -> None:
    """Of those that had the cores for themselves; one that had not counts where none had."""
    busy = Ceiling(60_000, 2, wait=1.5)
    assert ceiling.best((busy, TOP)) is TOP
    assert ceiling.best((busy,)) is busy
    assert ceiling.best((Ceiling(40_000, 2), TOP, Ceiling(45_000, 2))) is TOP
    assert (TOP.per_core, TOP.tps(4)) == (25_000, 12_500)


def test_the_ceiling_is_counted_by_processor_time() -> None:
    """As the nodes' is: where others have half of a core, it lowers nothing, and is seen."""
    idle = {"verified": 90_000, "took_s": 3.0, "cpu_s": 3.0}
    shared = {"verified": 45_000, "took_s": 3.0, "cpu_s": 1.5}

    assert ceiling.together([idle, idle]) == Ceiling(60_000, 2, wait=1.0)
    assert ceiling.together([idle, shared]) == Ceiling(60_000, 2, wait=2.0)
    assert ceiling.together([idle, shared]).is_busy


def test_the_ceiling_verifies_what_a_swarm_signs() -> None:
    """Each signature is good, so that nothing is told of a verifier that refuses early."""
    wanted = program.checks(7, signers=2, each=3)

    found = program.verified(wanted, 0.01)

    assert len(wanted) == 6
    assert found["verified"] % 6 == 0
    assert found["verified"] > 0
    assert found["cpu_s"] <= found["took_s"] + 0.1


def test_throughput_of_another_environment_is_not_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It fills a chain with a million transfers: nobody's mesh but its own."""
    assert run(["benchmark", "throughput", "-e", "production"]) is Exit.USAGE
    assert "hint: aitbc benchmark throughput -e dev" in capsys.readouterr().err


def test_what_kept_a_mesh_from_coming_up_is_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking down what never ran fails as well, and says nothing about why."""

    def fail(why: str) -> Callable[..., None]:
        def failing(*_words: object, **_more: object) -> None:
            raise AitbcError(why)

        return failing

    monkeypatch.setattr(track, "deploy", fail("a port is in use"))
    monkeypatch.setattr(meshing, "down", fail("nothing runs"))

    told: list[object] = []
    with pytest.raises(AitbcError, match="a port is in use"), track.track(1, told.append):
        pass

    note = {"type": "note", "text": "nodes of the benchmark may still run: nothing runs"}
    assert note in told
