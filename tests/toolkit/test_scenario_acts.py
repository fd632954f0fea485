"""What people do in a scenario: played in the simulator, and red where the ledger does wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from aitbc_node.ledger import staking
from aitbc_node.mempool import Mempool
from aitbc_sim import live_bugs
from aitbc_sim.bugs import planted
from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.suites import catalogue
from aitbc_toolkit.suites.scenario import crowding, each_type, loading, simulated
from aitbc_toolkit.suites.scenario.acts import ACTS
from aitbc_toolkit.suites.scenario.ledger import TAKEN
from aitbc_toolkit.suites.scenario.schema import ActStep
from aitbc_toolkit.suites.scenario.simulated_ledger import SimLedger
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.verdicts import Verdict

SEED = 11
FUNDED = 5
"""By this height everybody has his money, with that seed."""
TWICE = "economic/double-spend-and-replay"
STAKES = "economic/staking-churn"
MATURE = "economic/coins-mature"
CHURN = "churn/validator-set"
ROLLING = "upgrade/rolling-under-load"
RULES = "upgrade/rules-at-a-height"
SPAM = "economic/spam-and-stake-games[20]"
EACH = "smoke/each-module"


def played(name: str) -> Result:
    """Play one case in the simulator."""
    (part,) = catalogue.parts(name)
    assert part.case is not None
    return simulated.play(part.case, seed=SEED)


@pytest.mark.parametrize("name", [TWICE, STAKES, MATURE, CHURN, ROLLING, RULES, SPAM, EACH])
def test_a_scenario_of_acts_passes_and_each_of_them_was_judged(name: str) -> None:
    """People with keys do it through the nodes; what must hold of the ledger held."""
    told = played(name)

    assert told.verdict is Verdict.PASS, told.line
    assert set(told.invariants.values()) == {"held"}
    assert {row["outcome"] for row in told.checks} == {"held"}


def test_a_ledger_that_takes_a_transaction_twice_is_found_out() -> None:
    """The same bytes in two blocks are red by name, whoever handed them in."""
    with planted("include-twice"):
        told = played(TWICE)

    assert told.verdict is Verdict.SAFETY
    assert "tx_once" in told.line


@pytest.mark.parametrize(
    ("bug", "name", "verdict", "said"),
    [
        ("change-at-once", CHURN, Verdict.SAFETY, "validator_set"),
        ("stale-validator-set", CHURN, Verdict.SAFETY, "certificate"),
        ("never-redial", CHURN, Verdict.LIVENESS, "behind: v4"),
        ("ignore-upgrade", RULES, Verdict.SAFETY, "rules_known"),
    ],
)
def test_a_bug_in_what_changes_is_found_out(
    bug: str, name: str, verdict: Verdict, said: str
) -> None:
    """Who votes, and by which rules: each bug turns the scenario that is meant for it red."""
    with planted(bug):
        told = played(name)

    assert (told.verdict, said in told.line) == (verdict, True), told.line


def test_a_build_that_loses_blocks_when_it_begins_again_is_found_out() -> None:
    """A rolling deploy restarts every node: one that forgets final blocks is red."""
    with live_bugs.planted(live_bugs.LOSE):
        told = played(ROLLING)

    assert (told.verdict, "height_monotone" in told.line) == (Verdict.SAFETY, True), told.line


def test_a_pool_that_does_not_rank_by_price_is_found_out() -> None:
    """First come, first served lets dust keep everybody out: an objective missed by far."""

    def by_arrival(_: Mempool[Any], entry: Any) -> Any:
        return 0, entry.arrival, entry

    with patch.object(Mempool, "_head", by_arrival):
        told = played(SPAM)

    assert (told.verdict, "t_paid_p95" in told.line) == (Verdict.OBJECTIVE, True), told.line


def test_blocks_with_room_crowd_nobody_out() -> None:
    """A flood that fits into the blocks is no flood that was withstood."""
    (part,) = catalogue.parts(SPAM)
    assert part.case is not None
    step = ActStep(act="econ.spam", parameters={"spammers": 1, "times": 1, "blocks": 3})
    told = simulated.play(replace(part.case, steps=(step,)), seed=SEED)

    assert (told.verdict, "blocks had room" in told.line) == (Verdict.INVALID, True), told.line


def test_a_payment_that_never_gets_its_block_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks come for ever; the run does not wait as long."""
    monkeypatch.setattr(crowding, "_ended", lambda *_: [])
    (part,) = catalogue.parts(SPAM)
    assert part.case is not None
    step = ActStep(act="econ.spam", parameters={"spammers": 2, "times": 3, "blocks": 2})
    told = simulated.play(replace(part.case, steps=(step,)), seed=SEED)

    assert (told.verdict, told.line[:28]) == (Verdict.LIVENESS, "2 payments with a tip are in"), (
        told.line
    )


def test_a_bad_transaction_that_is_carried_out_is_found_out() -> None:
    """It is told by the name of its type."""
    with patch.object(each_type, "_refusal", lambda *_: TAKEN):
        told = played(EACH)

    assert (told.verdict, "wrongly taken: account.policy" in told.line) == (Verdict.SAFETY, True)


def test_a_type_that_has_no_bad_example_is_not_passed_over() -> None:
    """Who adds a type of transaction is told that it is missing here."""
    with patch.object(each_type, "_bad", lambda *_: iter(())):
        told = played(EACH)

    assert (told.verdict, "no bad one of account.policy" in told.line) == (
        Verdict.INCONCLUSIVE,
        True,
    )


def test_a_good_one_that_is_lacking_is_no_judgement_that_held() -> None:
    """The row of the good ones is judged by them, and not by the bad ones."""
    with patch.object(each_type, "_good", lambda *_: iter(())):
        told = played(EACH)

    (row,) = [each for each in told.checks if each["name"] == "good ones taken"]
    assert (told.verdict, row["outcome"] == "held") == (Verdict.INCONCLUSIVE, False)


def test_a_reward_that_was_earned_and_is_not_paid_is_no_pass() -> None:
    """Where the pool pays, a claim must have its effect; it is not merely told as not shown."""
    with patch.object(staking, "pay_out", lambda draft, operator, _who: draft.membership(operator)):
        told = played(EACH)

    assert (told.verdict, "took no effect: wrong-state" in told.line) == (Verdict.LIVENESS, True)


def test_coins_that_come_early_are_found_out() -> None:
    """What is on its way back is paid at its height; a ledger that pays at once is red."""
    with planted("pay-unbonding-early"):
        told = played(MATURE)

    assert told.verdict is Verdict.SAFETY


def test_a_reward_for_what_was_never_at_stake_is_found_out() -> None:
    """Who bonds within an epoch earns nothing of it, or the scenario is red."""
    with patch.object(staking, "_freshened", lambda *_: ()):
        told = played(STAKES)

    assert told.verdict is Verdict.SAFETY
    assert told.line.endswith(": ok")


def both_made(self: SimLedger, tx_id: str) -> Any:
    """Say of every transaction, behind those that fund people, that it is in a block."""
    first = next(iter(self._world.receipts), b"")
    is_later = self.height() > FUNDED
    return _fate(self, tx_id) or (_fate(self, first.hex()) if is_later else None)


def poorer(self: SimLedger, who: Any) -> Any:
    """Say of everybody that one unit is gone."""
    told = _holding(self, who)
    return told._replace(owned=told.owned - 1)


def overdue(self: SimLedger, who: Any) -> Any:
    """Say of what is on its way back that it should have come long ago."""
    told = _holding(self, who)
    rows = tuple(row._replace(matures=1, counted_until=1) for row in told.returning)
    return told._replace(returning=rows)


def at_once(self: SimLedger, who: Any) -> Any:
    """Say of what was taken back that it is at hand."""
    told = _holding(self, who)
    coming = sum(row.amount for row in told.returning)
    return told._replace(returning=(), owned=told.owned + coming)


_fate, _holding = SimLedger.fate, SimLedger.holding


@pytest.mark.parametrize(
    ("name", "part", "lie", "verdict", "said"),
    [
        (TWICE, "fate", both_made, Verdict.SAFETY, "2 of two payments made"),
        (TWICE, "hand_in", lambda _, rows: ["nonce"] * len(rows), Verdict.INFRA, "final"),
        (STAKES, "holding", poorer, Verdict.SAFETY, "unexplained: {'staker 0': -1"),
        (MATURE, "holding", overdue, Verdict.SAFETY, "at height"),
        (MATURE, "holding", at_once, Verdict.SAFETY, "at hand at once: ['staker 0'"),
    ],
)
def test_what_a_ledger_says_is_judged(
    name: str, part: str, lie: Callable[..., Any], verdict: Verdict, said: str
) -> None:
    """Whatever an act requires of the ledger is red, and told, where the ledger says otherwise."""
    with patch.object(SimLedger, part, lie):
        told = played(name)

    assert (told.verdict, said in told.line) == (verdict, True), told.line


def spent(*steps: ActStep, said: Callable[[Any], list[str]]) -> Result:
    """Play acts of two pairs on a ledger that answers so, and takes no payment of a pair."""
    (part,) = catalogue.parts(TWICE)
    assert part.case is not None
    real = SimLedger.hand_in

    def answer(self: SimLedger, rows: Any) -> list[str]:
        return real(self, rows) if len(rows) == 1 else said(rows)

    with patch.object(SimLedger, "hand_in", answer):
        return simulated.play(replace(part.case, steps=steps), seed=SEED)


def test_payments_that_nobody_ever_makes_are_no_pass() -> None:
    """Of two payments none is made: that is standing still, and no attack that was withstood."""
    told = spent(a_pair(), ActStep(act="econ.one_wins"), said=lambda rows: [TAKEN] * len(rows))

    assert told.verdict is Verdict.LIVENESS
    assert "2 of 2 are undecided" in told.line


def a_pair(**parameters: int) -> ActStep:
    """Let two people pay twice, at two validators."""
    parameters = {"pairs": 2, **parameters}
    return ActStep(act="econ.double_spend", sides=["v1", "v2"], parameters=parameters)


@pytest.mark.parametrize(
    ("first", "second", "no_quorum", "said"),
    [
        ("no-quorum", "no-quorum", False, "no node took any of two payments"),
        ("no-quorum", "no-quorum", True, ""),
        ("ok", "no-quorum", True, ""),
        ("ok", "nonce", False, ""),
        ("nonce", "no-quorum", True, "the first side neither took any nor had no quorum: nonce 2x"),
        ("ok", "", True, "nobody of the second side answered"),
        ("ok", "", False, "nobody of the second side answered"),
        ("", "", False, "nobody of the first side answered"),
    ],
)
def test_money_is_paid_twice_only_where_both_sides_were_tried(
    first: str, second: str, said: str, *, no_quorum: bool
) -> None:
    """Nodes that all refuse, or do not answer, have withstood nothing; no quorum is told apart."""
    step = a_pair(no_quorum=1) if no_quorum else a_pair()

    told = spent(step, said=lambda rows: [first, second] * (len(rows) // 2))

    assert told.verdict is (Verdict.INVALID if said else Verdict.PASS), told.line
    assert said in told.line


MADE = """
scenario: economic/made
about: somebody pays twice, and one payment is made
backends: [sim]
steps:
  - {act: econ.double_spend, sides: [v1, v2], parameters: {pairs: 2}}
  - {act: econ.one_wins}
"""


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("econ.one_wins", "econ.one_win", "unknown act 'econ.one_win', the nearest is"),
        ("pairs: 2", "pears: 2", "unknown parameter 'pears', the nearest is pairs"),
        ("pairs: 2", "pairs: many", "pairs"),
        ("sides: [v1, v2]", "sides: [v1]", "econ.double_spend has two `sides`"),
        ("{act: econ.one_wins}", "{act: econ.one_wins, sides: [v1, v2]}", "has no `sides`"),
        ("sides: [v1, v2]", "sides: [v1, anny(1)]", "the nearest is any(N)"),
    ],
)
def test_a_mistake_in_an_act_is_told_with_its_line(
    tmp_path: Path, right: str, wrong: str, said: str
) -> None:
    """Before anything is begun, with file and line."""
    path = tmp_path / "economic" / "made.yaml"
    path.parent.mkdir()
    path.write_text(MADE.replace(right, wrong))

    with pytest.raises(ConfigError) as refused:
        loading.load(path)

    assert said in refused.value.message
    assert f"{path.name}:" in refused.value.message


def test_every_act_is_told_in_the_manual() -> None:
    """Who writes a scenario finds each of them."""
    manual = (catalogue.folder().parents[1] / "docs" / "scenarios.md").read_text(encoding="utf-8")

    assert [name for name in ACTS if f"`{name}`" not in manual] == []
