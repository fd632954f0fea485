"""Many nodes that know one address: they form one mesh with bounded degrees, and keep it."""

import random
from functools import partial

import pytest

from aitbc_node import limits
from aitbc_node.gossip.book import Book
from aitbc_node.gossip.exchange import ASK_MS, Exchange
from aitbc_node.gossip.standing import Standing
from aitbc_sim.small_world import SmallWorld
from aitbc_toolkit.graph import Graph

MINUTE_MS = 60_000


def judge(world: SmallWorld) -> Graph:
    """Check what holds of every node at every moment; return the links."""
    for node in world.nodes:
        if node.mesh is not None:
            assert node.mesh.peers.dialled_count() <= limits.OUTBOUND_MAX
            assert len(node.mesh.linked()) <= limits.PEERS_MAX
            banned = dict(node.mesh.peers.standing.banned(world.now_ms))
            assert not banned.keys() & set(node.mesh.linked()), "linked with who is banned"
    return Graph(world.links())


@pytest.mark.parametrize("count", [4, 20, 60])
def test_one_address_is_enough_and_may_vanish(count: int) -> None:
    """After a minute all have links enough; without the first node they are still one mesh."""
    form_and_lose_the_first(count)


def form_and_lose_the_first(count: int) -> None:
    """Check that a mesh forms itself, and that it needs no node for ever."""
    world = SmallWorld(count)
    world.run(MINUTE_MS)
    degree_min = min(limits.DEGREE_MIN, count - 1)

    graph = judge(world)
    assert min(graph.degrees().values()) >= degree_min
    assert graph.diameter() is not None
    assert (graph.diameter() or 0) <= 5
    world.stop(0)
    world.run(10_000)

    graph = judge(world)
    assert len(graph.components()) == 1
    assert min(graph.degrees().values()) >= min(limits.DEGREE_MIN, count - 2)


def ban_and_redial(count: int = 6) -> None:
    """Let one node catch another with a forgery, and check that they stay apart."""
    world = SmallWorld(count)
    world.run(MINUTE_MS)
    judge_node, culprit = world.nodes[1], world.nodes[2]
    assert judge_node.mesh is not None
    assert culprit.id in judge_node.mesh.linked()

    world.catch(judge_node.number, culprit.number)
    for _ in range(20):
        world.run(1_000)
        judge(world)
    assert culprit.mesh is not None
    assert culprit.mesh.linked(), "the others have nothing against it"


def test_who_is_banned_stays_out_however_often_it_comes() -> None:
    """It dials again and again, and is dialled by nobody who has banned it."""
    ban_and_redial()


few = partial(form_and_lose_the_first, 12)
TEETH = {
    "ban-never-applied": (Standing, "is_banned", lambda *_: False, ban_and_redial),
    "passes-nobody-on": (Book, "sample", lambda *_, **__: [], few),
    "believes-nobody": (
        Exchange,
        "told",
        lambda *_, **__: [],
        few,
    ),
}
"""What takes the place of what, and the check that must turn red."""


@pytest.mark.parametrize("name", TEETH)
def test_a_planted_bug_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks that cannot fail would say nothing about the network."""
    owner, part, bug, check = TEETH[name]
    monkeypatch.setattr(owner, part, bug)

    with pytest.raises(AssertionError):
        check()


def test_a_mesh_of_four_does_not_go_on_asking_for_others() -> None:
    """Where everybody is linked with everybody, asking again and again finds nobody."""
    world = SmallWorld(4)
    world.run(MINUTE_MS)
    before = world.questions

    world.run(2 * MINUTE_MS)

    assert 0 < world.questions - before <= 4 * 2 * MINUTE_MS // ASK_MS


@pytest.mark.nightly
def test_any_fifteen_of_fifty_may_go() -> None:
    """Those with the most links, and any others: what is left is one mesh at once."""
    world = SmallWorld(50)
    world.run(4 * MINUTE_MS)
    graph, dice = judge(world), random.Random(14)  # noqa: S311 - not for secrets
    degrees = graph.degrees()
    best = sorted(degrees, key=lambda node: -degrees[node])[:15]

    assert len(graph.components(without=best)) == 1
    for _ in range(300):
        assert len(graph.components(without=dice.sample(sorted(degrees), 15))) == 1


def churn(minutes: int) -> None:
    """Let 30 % of thirty nodes go each minute, and come back a while later with nothing."""
    world, dice = SmallWorld(30), random.Random(13)  # noqa: S311 - not for secrets
    world.run(MINUTE_MS)
    away: list[tuple[int, int]] = []
    for second in range(0, minutes * 60, 6):
        up = [node.number for node in world.nodes[1:] if node.mesh is not None]
        gone = dice.choice(up)
        world.stop(gone)
        away.append((second + 30, gone))
        while away and away[0][0] <= second:
            world.start(away.pop(0)[1])
        world.run(5_000)
        settled = Graph(world.links())
        young = {str(number) for until, number in away if until <= second + 12}
        assert len(settled.components(without=young)) == 1, f"in pieces at second {second}"
        judge(world)
        world.run(1_000)


def test_a_mesh_under_churn_stays_in_one_piece() -> None:
    """For a minute; five seconds after each loss all that run hang together."""
    churn(1)


@pytest.mark.nightly
@pytest.mark.proves("E13")
def test_ten_minutes_of_churn_leave_one_piece() -> None:
    """The same for ten minutes."""
    churn(10)
