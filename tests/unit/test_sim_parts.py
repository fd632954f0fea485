"""The simulator's own parts: a disk that forgets, links that fail, counts that must not be zero."""

import random

import pytest

from aitbc_node.blocks import PREVOTE
from aitbc_node.canonical import encode
from aitbc_node.errors import Exit
from aitbc_node.gossip.messages import Ping
from aitbc_node.storage.disk import DiskUnavailableError
from aitbc_sim.agenda import Agenda
from aitbc_sim.checkers import Checkers, Violation
from aitbc_sim.disk import PowerCutError, SimDisk
from aitbc_sim.edges import deafen, isolate, mute, ring, split
from aitbc_sim.frames import tag_of
from aitbc_sim.history import History, first_difference
from aitbc_sim.network import Network
from aitbc_sim.options import Options
from aitbc_sim.run import PASS, Case, Outcome, Summary
from aitbc_sim.testing import FakeSigner, a_key, a_proposal, a_set, a_value, a_vote, fake_verify

pytestmark = pytest.mark.unit

NODES = range(5)


def some_checkers() -> Checkers:
    """Return checkers of a chain of four that have seen nothing yet."""
    return Checkers(a_set([1, 1, 1, 1]), epoch_blocks=20)


def a_disk(seed: int) -> SimDisk:
    """Return an empty folder."""
    return SimDisk(random.Random(seed))  # noqa: S311 - repeatable on purpose


def test_what_is_planned_happens_by_its_time_and_then_in_the_order_of_asking() -> None:
    """The same as a list sorted by time, also where the present grows while it is worked off."""
    agenda, said = Agenda(), list[tuple[int, str]]()

    def say(word: str) -> None:
        said.append((at_ms, word))

    for at_ms, word in ((7, "late"), (3, "first"), (3, "second"), (9, "never")):
        agenda.plan(at_ms, say, word)
    for at_ms, row in agenda.until(8):
        while row:
            act, arguments = row.popleft()
            act(*arguments)
            if arguments == ("first",):
                agenda.plan(at_ms, say, "at once")

    assert said == [(3, "first"), (3, "second"), (3, "at once"), (7, "late")]
    assert not list(agenda.until(8))


def test_what_was_left_of_a_millisecond_is_still_there() -> None:
    """Who goes away in the middle finds the rest, and what is planned for that time later on."""
    agenda, said = Agenda(), list[str]()
    agenda.plan(0, said.append, "taken")
    agenda.plan(0, said.append, "left")

    def take() -> tuple[object, ...]:
        _, row = next(agenda.until(0))
        return row.popleft()[1]

    found = [take(), take()]
    agenda.plan(0, said.append, "again")

    assert [*found, take()] == [("taken",), ("left",), ("again",)]


def test_synced_bytes_survive_any_loss_of_power() -> None:
    """What was synced is there afterwards, in each of 200 draws."""
    for seed in range(200):
        disk = a_disk(seed)
        disk.write_at("log", 0, b"synced")
        disk.sync("log")
        disk.write_at("log", 6, b"unsynced")
        disk.lose_power()

        assert disk.read("log", 0, 6) == b"synced"


def test_unsynced_writes_survive_whole_torn_or_not() -> None:
    """All three happen, also a later write that survives an earlier one."""
    seen = set()
    for seed in range(200):
        disk = a_disk(seed)
        disk.write_at("log", 0, b"aaaa")
        disk.write_at("log", 4, b"bbbb")
        disk.lose_power()
        seen.add(disk.read("log"))

    assert b"aaaabbbb" in seen
    assert b"" in seen
    assert b"aa" in seen
    assert b"\0\0\0\0bbbb" in seen


def test_a_replaced_file_is_old_or_new_never_mixed() -> None:
    """A cut during `replace` leaves the old file."""
    disk = a_disk(1)
    disk.replace("state", b"old")
    disk.fuse = 0

    with pytest.raises(PowerCutError):
        disk.replace("state", b"new")
    disk.lose_power()

    assert disk.read("state") == b"old"


def test_the_fuse_cuts_after_so_many_operations() -> None:
    """Two operations pass, the third does not, and its bytes are not durable."""
    disk = a_disk(1)
    disk.fuse = 2
    disk.write_at("log", 0, b"a")
    disk.sync("log")

    with pytest.raises(PowerCutError):
        disk.write_at("log", 1, b"b")

    assert disk.is_cut
    assert disk.unsynced_writes == 1


def test_a_full_disk_takes_nothing_and_keeps_what_it_has() -> None:
    """The failed write has done nothing, so it can be tried again."""
    disk = a_disk(1)
    disk.write_at("log", 0, b"a")
    disk.refusal = "no space left"

    with pytest.raises(DiskUnavailableError):
        disk.write_at("log", 1, b"b")
    disk.refusal = ""

    assert disk.read("log") == b"a"


@pytest.mark.parametrize(
    ("blocked", "edges"),
    [
        (split([[0, 1], [2, 3, 4]]), 12),
        (isolate(2, NODES), 8),
        (deafen(2, NODES), 4),
        (mute(2, NODES), 4),
        (ring(NODES), 10),
    ],
)
def test_partitions_cut_the_edges_that_they_name(
    blocked: frozenset[tuple[int, int]], edges: int
) -> None:
    """Each shape has its number of directed edges, none from a node to itself."""
    assert len(blocked) == edges
    assert all(a != b for a, b in blocked)


def test_one_way_shapes_are_one_way() -> None:
    """A deaf node can be heard, a mute one can hear, and a ring is the same both ways."""
    assert all(target == 2 for _, target in deafen(2, NODES))
    assert all(source == 2 for source, _ in mute(2, NODES))
    assert {(b, a) for a, b in ring(NODES)} == ring(NODES)


def test_frames_keep_their_order_and_blocked_edges_carry_nothing() -> None:
    """Like a connection: what is sent later does not arrive earlier."""
    network = Network(Options(delay_ms=(1, 400)), random.Random(3))  # noqa: S311 - repeatable on purpose
    network.link(0, 1)
    ways = [way for _ in range(200) for way in network.ways(0, (1,), "txs", 0)]
    arrivals = [at_ms for _, at_ms in ways]
    network.blocked = isolate(0, range(2))

    assert arrivals == sorted(arrivals)
    assert {way.edge for way, _ in ways} == {(0, 1)}
    assert list(network.ways(0, (1,), "txs", 0)) == []


def test_only_the_named_kind_is_lost_and_only_on_lossy_edges() -> None:
    """Half of the prevotes vanish from 0 to 1; nothing else does."""
    network = Network(Options(loss=(("prevote", 0.5),)), random.Random(3))  # noqa: S311 - repeatable on purpose
    network.lossy = frozenset({(0, 1)})
    network.link(0, 1)

    def arrived(source: int, target: int, kind: str) -> int:
        return sum(1 for _ in range(400) for _ in network.ways(source, (target,), kind, 0))

    assert 150 < arrived(0, 1, "prevote") < 250
    assert arrived(0, 1, "precommit") == 400
    assert arrived(1, 0, "prevote") == 400


def test_a_second_signature_in_one_place_is_a_violation() -> None:
    """The own vote twice is fine, another id in its place is not; others' votes do not count."""
    checkers = some_checkers()
    vote = a_vote(PREVOTE, a_value("v"), by=1)
    checkers.sent(a_key(1), [vote, vote, a_vote(PREVOTE, a_value("w"), by=2)])

    with pytest.raises(Violation, match="no_double_sign"):
        checkers.sent(a_key(1), [a_vote(PREVOTE, a_value("w"), by=1)])


def test_two_proposals_in_one_round_are_a_violation() -> None:
    """A proposer signs one value a round."""
    checkers = some_checkers()
    checkers.sent(a_key(0), [a_proposal(a_value("v"), by=0)])

    with pytest.raises(Violation, match="no_double_sign"):
        checkers.sent(a_key(0), [a_proposal(a_value("w"), by=0)])


def test_a_height_that_goes_back_is_a_violation() -> None:
    """What was durable and announced comes back after a crash."""
    with pytest.raises(Violation, match="height_monotone"):
        some_checkers().restarted(0, 4, least=5)  # type: ignore[arg-type]  # plain numbers


def test_cheap_signatures_tell_keys_and_messages_apart() -> None:
    """Good enough to notice a wrong key or message."""
    signature = FakeSigner(a_key(1)).sign(b"message")

    assert fake_verify(a_key(1), b"message", signature)
    assert not fake_verify(a_key(2), b"message", signature)
    assert not fake_verify(a_key(1), b"other", signature)


def test_the_tag_of_a_frame_is_read_without_decoding() -> None:
    """A short string right behind the array's head."""
    assert tag_of(encode(Ping(7))) == b"ping"


def test_the_trace_covers_time_node_and_every_byte() -> None:
    """Any difference changes the hash, and the first differing step is named."""

    def trace(now_ms: int, index: int, wall_ms: int) -> History:
        history = History(keep_steps=True)
        history.add(now_ms, index, "boot", [])
        history.add(now_ms, index, f"event {wall_ms}", [])
        return history

    base = trace(1, 2, 3)

    assert len({t.digest for t in (base, trace(9, 2, 3), trace(1, 9, 3), trace(1, 2, 9))}) == 4
    assert base.digest == trace(1, 2, 3).digest
    assert base.steps is not None
    other = trace(1, 2, 9).steps
    assert other is not None
    assert first_difference(base.steps, other).startswith("step 1:")
    assert first_difference(base.steps, base.steps[:1]) == "step 1: one run ends here"


def an_outcome(verdict: str, case: Case | None = None) -> Outcome:
    """Return the outcome of some run."""
    return Outcome(case or Case(3), verdict, "", 20, 1, 1.0, "", {})


@pytest.mark.parametrize(
    ("verdicts", "never", "status"),
    [
        ([], {}, Exit.OK),
        ([], {"lock": 0}, Exit.INVALID),
        (["liveness"], {}, Exit.STUCK),
        (["crash", "liveness"], {}, Exit.BUG),
        (["liveness", "agreement", "crash"], {}, Exit.UNSAFE),
    ],
)
def test_a_sweep_ends_with_its_worst_class(
    verdicts: list[str], never: dict[str, int], status: Exit
) -> None:
    """Unsafe before a crash before stuck; a sweep that met too little is invalid, not green."""
    violations = tuple(map(an_outcome, verdicts))

    assert Summary(9, violations, (), 1.0, 1.0, never, {}).exit_status == status


def test_a_failing_seed_prints_one_line_that_repeats_it() -> None:
    """With the kind of day and the planted bug, if there was one."""
    hard = Case(3, "skip-lock", "hard")

    assert an_outcome(PASS).repeat_command == "./aitbc sim run --seed 3"
    assert an_outcome(PASS, hard).repeat_command.endswith("--seed 3 --profile hard --bug skip-lock")
    assert hard.without_bug() == Case(3, None, "hard")
