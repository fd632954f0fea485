"""Each checker of the live suites turns red on a planted bug, and only then."""

from collections.abc import Callable, Iterator

import pytest

from aitbc_node.rpc import schema
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites import checkers
from aitbc_toolkit.suites.checkers import CHECKERS, BlockFact, History
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict, exit_of, worst
from aitbc_toolkit.suites.waiting import Look, wait_until

TX = "aa" * 32
OTHER = "bb" * 32


def a_fate(**other: object) -> schema.TxView:
    """Make the fate of a transaction in block 2."""
    told = {"id": TX, "status": "committed", "height": 2, "index": 0, "code": "ok", "fee": "210"}
    return schema.TxView(**{**told, **other})  # type: ignore[arg-type]


def an_audit(**other: object) -> schema.AuditAnswer:
    """Make a clean audit at height 3."""
    told = {"height": 3, "state_root": "r3", "supply": {"AIT": "100"}, "violations": []}
    return schema.AuditAnswer(**{**told, **other})  # type: ignore[arg-type]


def a_history() -> History:
    """Make what three nodes of a sound mesh say about three blocks and one transaction."""
    names = ("v1", "v2", "v3")
    return History(
        blocks={
            name: {
                1: BlockFact("b1", "r1", ()),
                2: BlockFact("b2", "r2", (TX,)),
                3: BlockFact("b3", "r3", ()),
            }
            for name in names
        },
        audits={name: an_audit() for name in names},
        fates={TX: {name: a_fate() for name in names}},
        heights={name: [1, 2, 2, 3] for name in names},
        offences=dict.fromkeys(names, (0, 0)),
        accepted={TX: True},
    )


def another_block(history: History) -> None:
    """One node holds another block final."""
    history.blocks["v2"][2] = BlockFact("x2", "r2", (TX,))


def another_state(history: History) -> None:
    """One node computed another state from the same block."""
    history.blocks["v3"][3] = BlockFact("b3", "x3", ())


def going_back(history: History) -> None:
    """One node lost a final block at a restart."""
    history.heights["v1"] = [1, 2, 1, 3]


def timed_backwards(history: History) -> None:
    """A block is of the same moment as the one below it."""
    for height, fact in history.blocks["v1"].items():
        later = min(height, 2)  # the third is of the moment of the second
        history.blocks["v1"][height] = BlockFact(fact.id, fact.state_root, fact.tx_ids, later)


def minted_alike(history: History) -> None:
    """Every node minted the same unit: roots agree, the audit does not."""
    for name in history.audits:
        history.audits[name] = an_audit(violations=["I1: AIT: held 101, supply 100"])


def minted_alone(history: History) -> None:
    """One node tells another supply at the same height."""
    history.audits["v2"] = an_audit(supply={"AIT": "101"})


def committed_twice(history: History) -> None:
    """A replayed transaction is in two blocks of everybody."""
    for blocks in history.blocks.values():
        blocks[3] = BlockFact("b3", "r3", (TX,))


def told_elsewhere(history: History) -> None:
    """A node's index names a block that does not hold the transaction."""
    history.fates[TX]["v1"] = a_fate(height=3)


def told_at_the_wrong_index(history: History) -> None:
    """A node's index names the wrong place inside of the block."""
    history.fates[TX]["v1"] = a_fate(index=1)


def ended_differently(history: History) -> None:
    """Two nodes tell different receipts of one transaction."""
    history.fates[TX]["v3"] = a_fate(fee="211")


def signed_twice(history: History) -> None:
    """A validator signed two votes for one step, and one node saw both."""
    history.offences["v2"] = (3, 4)


def forgotten(history: History) -> None:
    """A node took a transaction and died with it."""
    history.accepted[OTHER] = False


PLANTED: tuple[tuple[Callable[[History], None], str], ...] = (
    (another_block, "agreement"),
    (another_state, "state_root_equal"),
    (going_back, "height_monotone"),
    (timed_backwards, "time_monotone"),
    (minted_alike, "supply_conserved"),
    (minted_alone, "supply_conserved"),
    (signed_twice, "no_double_sign"),
    (forgotten, "accepted_tx_final"),
    (committed_twice, "tx_once"),
    (told_elsewhere, "tx_once"),
    (told_at_the_wrong_index, "tx_once"),
    (ended_differently, "tx_once"),
)


def test_supplies_are_compared_above_one_block_only() -> None:
    """A fork has a supply on each side; who holds the same block, or none, is compared."""
    history = a_history()
    minted_alone(history)
    history.blocks["v2"][3] = BlockFact("x3", "x3", ())
    assert checkers.supply_conserved(history) == []

    history.audits["v3"] = an_audit(supply={"AIT": "102"})
    assert ["of v3" in line for line in checkers.supply_conserved(history)] == [True]
    del history.blocks["v3"][3]
    assert ["of v3" in line for line in checkers.supply_conserved(history)] == [True]


@pytest.mark.parametrize("name", CHECKERS)
def test_a_sound_history_passes(name: str) -> None:
    """No checker cries wolf."""
    assert CHECKERS[name](a_history()) == []


@pytest.mark.parametrize(
    ("plant", "name"), PLANTED, ids=lambda each: getattr(each, "__name__", each)
)
def test_a_planted_bug_turns_its_checker_red(plant: Callable[[History], None], name: str) -> None:
    """The named checker sees the bug, and says where."""
    history = a_history()

    plant(history)

    assert CHECKERS[name](history) != []


def test_every_checker_has_a_planted_bug() -> None:
    """A checker that nothing can turn red would prove nothing."""
    assert {name for _, name in PLANTED} == set(CHECKERS)


def test_a_node_still_waiting_is_no_violation() -> None:
    """A node that has not seen the block yet tells pending, which contradicts nobody."""
    history = a_history()
    history.fates[TX]["v3"] = schema.TxView(id=TX, status="pending")

    assert checkers.tx_once(history) == []


def test_a_state_that_never_changed_shows_nothing() -> None:
    """Equal roots count only when there was something to be unequal about."""
    history = a_history()
    assert checkers.has_changed(history)

    for blocks in history.blocks.values():
        for height in blocks:
            blocks[height] = BlockFact(f"b{height}", "r", ())

    assert not checkers.has_changed(history)


def test_the_worst_verdict_wins() -> None:
    """Several verdicts give the exit status of the worst, in the order of the rules."""
    order = [10, 15, 14, 16, 13, 11, 12, 0]
    verdicts = list(Verdict)

    assert [int(exit_of(verdict)) for verdict in verdicts] == order
    for place, verdict in enumerate(verdicts):
        assert worst(verdicts[place:]) is verdict
    assert exit_of(worst([])) is Exit.INVALID


class FakeClock:
    """Let time pass only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def looks(*shown: str) -> Callable[[], Look[int]]:
    """Show these in turn, the last one for ever; `!` means done."""
    waiting: Iterator[str] = iter(shown)
    last = [""]

    def look() -> Look[int]:
        last[0] = next(waiting, last[0])
        return Look(done=last[0].endswith("!"), value=len(last[0]), shown=last[0])

    return look


def test_a_wait_ends_when_it_is_done() -> None:
    """What was waited for is returned at once."""
    clock = FakeClock()

    value = wait_until("x", looks("a", "b!"), deadline_s=5, clock=clock, pause=clock.pause)

    assert (value, clock.now < 0.2) == (2, True)


def test_a_wait_that_fails_says_what_it_saw_last() -> None:
    """A deadline that passes is a liveness verdict naming the condition and the last look."""
    clock = FakeClock()

    with pytest.raises(ScenarioError, match=r"ten blocks: not within 5\.\d s; last seen: height 3"):
        wait_until("ten blocks", looks("height 3"), deadline_s=5, clock=clock, pause=clock.pause)


def test_progress_stretches_a_deadline_but_not_for_ever() -> None:
    """A wait that moves goes on beyond its deadline, and ends at the stretch."""
    clock = FakeClock()
    slow = looks(*(str(n // 20) for n in range(2_000)))

    with pytest.raises(ScenarioError) as caught:
        wait_until("x", slow, deadline_s=5, stretch_s=20, clock=clock, pause=clock.pause)

    assert caught.value.verdict is Verdict.LIVENESS
    assert 24.5 < clock.now < 26
