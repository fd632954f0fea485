"""What people do in a scenario, against four real RPC servers over one ledger."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from aitbc_node.blocks import tx_id
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.types import Amount
from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.suites import playing, waiting, witness
from aitbc_toolkit.suites.catalogue import Part
from aitbc_toolkit.suites.scenario import loading, on_mesh
from aitbc_toolkit.suites.scenario.desk import COIN
from aitbc_toolkit.suites.scenario.live_ledger import LiveLedger
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

MADE = """
scenario: economic/made
about: somebody pays twice and again, and one payment is made of each two
backends: [dev]
budget: {wall: 10m}
steps:
  - {act: econ.double_spend, sides: [v1, [v2, v3]], parameters: {pairs: 2}}
  - {act: econ.one_wins}
  - {act: econ.replay}
"""


@pytest.fixture
def growing(fake_mesh: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A mesh that makes a block every few milliseconds."""
    monkeypatch.setattr(waiting, "POLL_S", 0.01)
    monkeypatch.setattr(witness, "POLL_S", 0.02)
    fake_mesh.grow_every(0.2)
    return fake_mesh


def a_case(folder: Path, text: str = MADE) -> Any:
    """Read a scenario that a test has written."""
    path = folder / "economic" / "made.yaml"
    path.parent.mkdir()
    path.write_text(text)
    return loading.load(path)[0]


def test_people_act_over_public_answers_alone(growing: Any, tmp_path: Path) -> None:
    """They are funded by the faucet, sign for themselves, and everything that must hold does."""
    case = a_case(tmp_path)
    run = tmp_path / "run"
    run.mkdir()

    playing.play_parts(
        growing.environment,
        [Part(case.name, case=case)],
        case.name,
        folder=run,
        seed=3,
        inject=lambda *_: nullcontext(),  # type: ignore[arg-type,return-value]  # nothing is broken
    )

    (told,) = json.loads((run / "verdict.json").read_text())["scenarios"]
    assert told["verdict"] == "PASS", told["line"]
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    acts = [row["name"] for row in events if row["kind"] == "act"]
    assert acts == [step.act for step in case.acts]


def test_what_operators_do_is_not_played_where_their_keys_are_not(
    growing: Any, tmp_path: Path
) -> None:
    """It is told before anything is begun; nobody's key is looked for on his host."""
    text = MADE.replace("{act: econ.replay}", "{act: chain.leave, on: v1}")
    case = a_case(tmp_path, text)

    assert on_mesh.unfit(case, growing.environment) == "chain.leave cannot be done on dev"
    with open_mesh(growing.environment) as mesh:
        ledger = LiveLedger(growing.environment, mesh)
        with pytest.raises(ScenarioError) as refused:
            ledger.keys()
    assert refused.value.verdict is Verdict.INFRA


def test_what_somebody_has_is_read_wherever_it_is(fake_mesh: Any) -> None:
    """At hand, behind a validator and on its way back: together all but the fees."""
    with open_mesh(fake_mesh.environment) as mesh:
        ledger = LiveLedger(fake_mesh.environment, mesh)
        purse, behind = ledger.purse(), ledger.operator("v1")
        before = ledger.holding(purse.account)
        acts = [StakeBond(behind, Amount(2 * COIN)), StakeUnbond(behind, Amount(COIN))]
        raws = [
            purse.act(ledger.chain(), nonce=before.nonce + place, new=True, bodies=[act])
            for place, act in enumerate(acts)
        ]
        told = ledger.hand_in([("v1", raws[0])]) + ledger.hand_in([("v2", raws[1])])
        fates = [ledger.fate(tx_id(raw).hex()) for raw in raws]
        after = ledger.holding(purse.account)
        votes, pool = ledger.votes(), ledger.reward_pool()

    assert told == ["ok", "ok"]
    assert all(fate is not None and fate.took_effect for fate in fates)
    assert (after.bonded, [row.amount for row in after.returning]) == (COIN, [COIN])
    assert after.wealth == before.wealth - sum(fate.fee for fate in fates if fate)
    assert after.returning[0].matures > after.height
    assert (votes[behind], set(votes.values()), pool) == (1, {1}, 0)


def test_nobody_has_the_key_of_an_earlier_run(growing: Any) -> None:
    """The same name is the same person within a run, and another one in the next."""
    with open_mesh(growing.environment) as mesh:
        one, other = (LiveLedger(growing.environment, mesh) for _ in range(2))

        assert one.someone("spender 0").account == one.someone("spender 0").account
        assert one.someone("spender 0").account != other.someone("spender 0").account
