"""The smoke suite against four real RPC servers over one ledger that grows by itself."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitbc_node.codes import Code, Refusal
from aitbc_node.events import TxOutcome
from aitbc_node.ledger.transactions import parse
from aitbc_toolkit import junit
from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.junit import Outcome
from aitbc_toolkit.suites import live, playing, smoke, transfers, waiting
from aitbc_toolkit.suites.checkers import CHECKERS
from aitbc_toolkit.suites.history import Recorder
from aitbc_toolkit.suites.scene import Scene, play
from aitbc_toolkit.suites.verdicts import Verdict

COUNT = 5


@pytest.fixture
def growing(fake_mesh: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A mesh that makes a block every few milliseconds, and says that blocks are quick."""
    monkeypatch.setattr(waiting, "POLL_S", 0.01)
    monkeypatch.setattr(smoke, "TRANSFERS_PER_NODE", COUNT)
    fake_mesh.grow_every(0.02)
    return fake_mesh


def run_on(mesh: Any, suite: str, folder: Path) -> Exit:
    """Run a suite on a mesh with a fixed seed."""
    return playing.run_on(mesh.environment, suite, folder=folder, seed=7)


def verdict_of(folder: Path) -> Any:
    """Return the document that a run left behind."""
    return json.loads((folder / "verdict.json").read_text())


@pytest.mark.parametrize("name", ["smoke/boot", "smoke/tx-lifecycle"])
def test_a_sound_mesh_passes(growing: Any, tmp_path: Path, name: str) -> None:
    """A sound mesh passes, every invariant held, and the record says so."""
    assert run_on(growing, name, tmp_path) == Exit.OK

    told = verdict_of(tmp_path)
    (scenario,) = told["scenarios"]
    assert (told["exit"], told["seed"], scenario["verdict"]) == (0, 7, "PASS")
    assert set(scenario["invariants"].values()) == {"held"}
    (case,) = junit.read(tmp_path / "junit.xml")
    assert (case.outcome, "M12" in case.proves) == (Outcome.PASSED, True)
    evidence = json.loads((tmp_path / f"{name.replace('/', '-')}.json").read_text())
    assert set(evidence["blocks"]) == {"v1", "v2", "v3", "v4"}


def test_a_seed_may_be_played_again_on_the_same_mesh(growing: Any, tmp_path: Path) -> None:
    """Its accounts have paid before, in that scenario or under another one's load."""
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
        assert run_on(growing, "smoke/tx-lifecycle", tmp_path / name) == Exit.OK


def test_what_happened_is_told_as_it_happens(growing: Any, tmp_path: Path) -> None:
    """Heights, steps and checks have their times, and the record has the line that repeats it."""
    run_on(growing, "smoke/boot", tmp_path)

    told = verdict_of(tmp_path)
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    heights = [json.loads(line) for line in (tmp_path / "heights.jsonl").read_text().splitlines()]
    assert [each["kind"] for each in events] == ["step", *["check"] * len(CHECKERS), "step"]
    assert {each["node"] for each in heights} == {"v1", "v2", "v3", "v4"}
    assert told["repro"] == f"./aitbc test smoke/boot -e {growing.environment.name} --seed 7"
    assert {each["outcome"] for each in told["checks"]} == {"held"}
    assert (told["scenario"], len(told["commit"])) == ("smoke/boot", 40)
    assert told["started"] <= told["ended"]


def test_transfers_go_through_every_node(growing: Any, tmp_path: Path) -> None:
    """As many transfers are handed to each node, and one of each once more elsewhere."""
    run_on(growing, "smoke/tx-lifecycle", tmp_path)

    counts = [len(set(port.submitted)) for port in growing.ports.values()]
    assert sum(counts) == 4 * COUNT + 1 + 4
    assert min(counts) >= COUNT + 1


def test_the_quick_form_after_a_deploy(growing: Any) -> None:
    """The quick form says in one line what it did, and nothing is wrong."""
    told = live.smoke(growing.environment, quick=True)

    assert told.problem == ""
    checks = 1 + len(CHECKERS)
    assert told.done.startswith(f"{checks} of {checks} checks, 4 transfers, one through each node")


def test_a_dead_node_is_infrastructure(growing: Any, tmp_path: Path) -> None:
    """A node that does not answer ends the run as infrastructure, and is named."""
    growing.kill("v2")

    assert run_on(growing, "smoke/boot", tmp_path) == Exit.INFRASTRUCTURE

    assert "no answer from v2" in verdict_of(tmp_path)["scenarios"][0]["line"]
    assert live.smoke(growing.environment).problem == "smoke/quick INFRA: no answer from v2"


def test_a_mesh_that_stands_still_is_stuck(
    fake_mesh: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without new blocks the wait ends at its deadline, with what it saw last."""
    monkeypatch.setattr(smoke, "LIVENESS_S", 0.3)

    assert run_on(fake_mesh, "smoke/boot", tmp_path) == Exit.STUCK

    line = verdict_of(tmp_path)["scenarios"][0]["line"]
    assert "height 13 on every node" in line
    assert "last seen: heights v1 3, v2 3, v3 3, v4 3" in line


def test_a_node_without_links_is_stuck(
    growing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All peers means all: a node that lacks a link fails the boot."""
    monkeypatch.setattr(smoke, "LIVENESS_S", 0.5)
    growing.ports["v3"].view.links.pop()

    assert run_on(growing, "smoke/boot", tmp_path) == Exit.STUCK

    assert "peers v3 2" in verdict_of(tmp_path)["scenarios"][0]["line"]


def test_slow_blocks_miss_the_objective(
    fake_mesh: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mesh that works but is slow passes liveness and misses the objective, with both numbers."""
    monkeypatch.setattr(smoke, "ROUND_TIMEOUT_S", 0.0)
    chain = msgspec.structs.replace(fake_mesh.environment.chain, block_interval_ms=1)
    fake_mesh.environment = dataclasses.replace(fake_mesh.environment, chain=chain)
    fake_mesh.grow_every(0.02)

    assert run_on(fake_mesh, "smoke/boot", tmp_path) == Exit.OBJECTIVE

    assert "allowed 0.0 s" in verdict_of(tmp_path)["scenarios"][0]["line"]


def test_a_fork_is_unsafe_whatever_else_is_wrong(
    growing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node with other blocks is a safety verdict even when the scenario itself was stuck."""
    monkeypatch.setattr(smoke, "LIVENESS_S", 0.5)
    strayed = growing.ports["v3"].view
    strayed.finals = [
        msgspec.structs.replace(
            final,
            certificate=msgspec.structs.replace(final.certificate, block_id=b"x" * 32),
        )
        for final in growing.ledger.finals
    ]

    assert run_on(growing, "smoke/boot", tmp_path) == Exit.UNSAFE

    (scenario,) = verdict_of(tmp_path)["scenarios"]
    assert scenario["invariants"]["agreement"] == "broken"
    assert scenario["line"].startswith("agreement: block of height")


def test_a_lost_effect_is_unsafe(growing: Any, tmp_path: Path) -> None:
    """A node that tells another end of a transfer turns the run unsafe."""
    honest = growing.ports["v4"].view.fates
    growing.ports["v4"].view.fates = Rejecting(honest)

    assert run_on(growing, "smoke/tx-lifecycle", tmp_path) == Exit.UNSAFE

    assert verdict_of(tmp_path)["scenarios"][0]["invariants"]["tx_once"] == "broken"


class Rejecting(dict[Any, Any]):
    """Tell of every transaction that it was rejected."""

    def __init__(self, honest: dict[Any, Any]) -> None:
        super().__init__()
        self._honest = honest

    def get(self, key: Any, default: Any = None) -> Any:
        known = self._honest.get(key)
        return default if known is None else ("rejected", *known[1:3], "amount", *known[4:])


def test_a_lost_transaction_is_noticed(fake_mesh: Any) -> None:
    """A transaction that was accepted and that no node knows is lost, unless one is silent."""
    with live.open_mesh(fake_mesh.environment) as mesh:
        recorder = Recorder(mesh)
        recorder.accepted(["ab" * 32])

        recorder.finish(first=1)
        assert recorder.history.accepted == {"ab" * 32: False}
        fake_mesh.kill("v1")
        recorder.finish(first=1)
        assert recorder.history.accepted == {"ab" * 32: True}


def test_conflicting_votes_are_counted_from_the_start(fake_mesh: Any) -> None:
    """Only what a node saw during the scenario counts, also when it restarted meanwhile."""
    name = 'aitbc_notes_total{name="consensus.equivocation"}'
    views = [port.view for port in fake_mesh.ports.values()]
    for view, before in zip(views, (0, 5, 5, 5), strict=True):
        view.metrics = lambda count=before: f"{name} {count}.0\n".encode()
    with live.open_mesh(fake_mesh.environment) as mesh:
        recorder = Recorder(mesh)
        for view, after in zip(views, (1, 5, 6, 2), strict=True):
            view.metrics = lambda count=after: f"{name} {count}.0\n".encode()

        recorder.finish(first=1)

    seen = recorder.history.offences
    assert seen == {"v1": (0, 1), "v2": (5, 5), "v3": (5, 6), "v4": (0, 2)}


def test_a_checker_that_throws_is_no_pass(growing: Any) -> None:
    """A broken checker leaves its invariant unknown, and the run inconclusive."""

    def broken(_history: object) -> list[str]:
        raise RuntimeError("planted")

    with live.open_mesh(growing.environment) as mesh:
        result = play(
            "x/y",
            lambda _scene: "fine",
            environment=growing.environment,
            mesh=mesh,
            seed=1,
            checkers={"agreement": broken},
        )

    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.invariants == {"agreement": "unknown: planted"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smoek", "unknown suite 'smoek', the nearest is smoke"),
        ("nightyl", "unknown suite 'nightyl', the nearest is nightly"),
        ("smoke/bot", "unknown scenario 'smoke/bot', the nearest is smoke/boot"),
    ],
)
def test_an_unknown_suite_is_named_with_the_nearest(name: str, message: str) -> None:
    """A suite that does not exist is a usage error before anything is asked."""
    with pytest.raises(UsageError, match=message):
        playing.run(name, "dev")


def test_a_payment_that_waits_ahead_does_not_stop_smoke(fake_mesh: Any) -> None:
    """A nonce that somebody's transaction waits with is left to it, and the next one is used."""
    honest = fake_mesh.ledger.take
    taken: list[int] = []

    def waiting(raw: bytes) -> TxOutcome:
        parsed = parse(raw)
        assert not isinstance(parsed, Refusal)
        if parsed.tx.nonce == 2 and not taken:
            taken.append(parsed.tx.nonce)
            honest(raw)  # it is somebody else's as far as the suite can tell
            return TxOutcome(parsed.id, Code.E_NONCE, "nonce", "another one waits with nonce 2")
        return honest(raw)

    fake_mesh.ledger.take = waiting
    with open_mesh(fake_mesh.environment) as mesh:
        scene = Scene(fake_mesh.environment, mesh, Recorder(mesh), 1, 1)

        paid = transfers.pay_through_each(scene)

    assert (taken, len(set(paid))) == ([2], 4)


@pytest.mark.parametrize("as_json", [False, True])
def test_programs_are_told_no_steps(
    growing: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    """People see that a scenario begins; with --json nothing but what was always said."""
    playing.run_on(growing.environment, "smoke/boot", folder=tmp_path, seed=7, as_json=as_json)

    begun = [line for line in capsys.readouterr().err.splitlines() if line.endswith(" begins")]
    assert [line.split()[0] for line in begun] == ([] if as_json else ["smoke/boot"])


@pytest.mark.parametrize("suite", ["smoke", "partition/minority"])
def test_a_mesh_that_is_down_is_told_once_and_before_anything_is_waited_for(
    fake_mesh: Any, monkeypatch: pytest.MonkeyPatch, suite: str
) -> None:
    """Not by each scenario in its own words: INFRA, with the command that brings it up."""
    for name in ("v1", "v2", "v3", "v4"):
        fake_mesh.kill(name)
    monkeypatch.setattr(playing.Inventory, "load", lambda _name: fake_mesh.environment)

    with pytest.raises(AitbcError, match=f"{suite} on dev: INFRA, no node answers") as told:
        playing.run(suite, "dev")

    assert told.value.exit_status is Exit.INFRASTRUCTURE
    assert told.value.hint == "aitbc up dev"
