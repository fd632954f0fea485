"""The dev mesh under its supervisor: whatever is killed, what was final stays and goes on."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from own_mesh import bring_up

from aitbc_node.rpc import schema
from aitbc_node.rpc.splits import Partition
from aitbc_toolkit import keys
from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.books import Schedule
from aitbc_toolkit.diagnose import ballots, sight
from aitbc_toolkit.diagnose.consensus import judge
from aitbc_toolkit.diagnose.network import diagnose
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.overview import Verdict, look
from aitbc_toolkit.release import ceremony, redialling, services, state
from aitbc_toolkit.release.deploy import Request, deploy
from aitbc_toolkit.release.reading import Mesh, tip
from aitbc_toolkit.release.renaming import rename
from aitbc_toolkit.release.roots import compare
from aitbc_toolkit.release.rotating import Way
from aitbc_toolkit.sending import Sender
from aitbc_toolkit.wallet import Wallet

pytestmark = pytest.mark.mesh

STEADY_S = {"fast": 20, "ci": 20, "nightly": 600}
STEADY_RATE = 10
FINAL_MS_MAX = 30_000


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Environment, Request]]:
    """Deploy the committed state of this checkout to four nodes on ports of their own."""
    with bring_up(tmp_path_factory.mktemp("up")) as mesh:
        yield mesh.environment, mesh.request


def processes(environment: Environment) -> dict[str, int]:
    """Find the process of each node of this mesh by its command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended since
        for each in environment.instances:
            if str(each.paths.config / "node.toml").encode() in words:
                found[each.name] = int(folder.name)
    return found


def height(environment: Environment) -> int:
    """Read the greatest final height that a node tells."""
    with Mesh(environment) as mesh:
        return tip(mesh.statuses())


@pytest.mark.proves("M6")
def test_what_is_handed_in_is_final_within_thirty_seconds(
    up: tuple[Environment, Request],
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    """Ten a second, each when it is due, through every node: 99 of 100 that soon, none lost."""
    environment, _ = up
    for_s = STEADY_S[pytestconfig.getoption("--tier")]
    with open_mesh(environment) as mesh:
        sender = Sender(environment, mesh, Schedule(STEADY_RATE, for_s))
        sender.fund(Wallet(keys.read_faucet(environment.folder)))
        tally = sender.run()

    print(tally.to_document())  # noqa: T201 - measured
    record_property("to_final_ms", tally.to_final_ms)
    assert tally.final == tally.sent == STEADY_RATE * for_s
    assert tally.lost == 0
    assert tally.to_final_ms[99] < FINAL_MS_MAX


@pytest.mark.proves("E55")
def test_a_killed_node_is_started_by_its_supervisor_and_votes_again(
    up: tuple[Environment, Request], eventually: Callable[..., None]
) -> None:
    """The others make blocks meanwhile; nobody has to do anything."""
    environment, _ = up
    before = processes(environment)
    at_kill = height(environment)

    os.kill(before["v2"], signal.SIGKILL)

    eventually("blocks without v2", lambda: height(environment) > at_kill, deadline_s=60)
    eventually("v2 to vote", lambda: state.look(environment).votes == 4, deadline_s=60)
    after = processes(environment)
    assert after["v2"] != before["v2"]
    assert {name: after[name] for name in ("v1", "v3", "v4")} == {
        name: before[name] for name in ("v1", "v3", "v4")
    }


@pytest.mark.proves("E12")
@pytest.mark.parametrize("objective_s", [None, pytest.param(20.0, marks=pytest.mark.nightly)])
def test_a_frozen_node_is_down_for_everybody_until_it_goes_on(
    up: tuple[Environment, Request], eventually: Callable[..., None], objective_s: float | None
) -> None:
    """Its links say nothing more, its peers name it as out of reach, and the mesh is degraded."""
    environment, _ = up
    frozen = processes(environment)["v3"]
    os.kill(frozen, signal.SIGSTOP)
    began = time.monotonic()
    try:
        eventually("v3 to be down", lambda: is_down(environment, "v3"), deadline_s=60)
        took_s = time.monotonic() - began
    finally:
        os.kill(frozen, signal.SIGCONT)

    eventually("v3 to vote", lambda: state.look(environment).votes == 4, deadline_s=60)
    print(f"seen as down after {took_s:.1f} s")  # noqa: T201 - measured
    assert objective_s is None or took_s <= objective_s


def is_down(environment: Environment, name: str) -> bool:
    """Tell whether the mesh is said to be degraded by this node, and the others miss it."""
    with open_mesh(environment) as mesh:
        seen = look(environment, mesh)
        told = mesh.ask_all(lambda node: node.get("/net/partition", Partition))
    rows = {row.name: row for row in seen.nodes}
    missed = [len(each.unreachable) for each in told.values() if isinstance(each, Partition)]
    return (
        seen.verdict is Verdict.DEGRADED
        and rows[name].state.startswith("unreachable")
        and missed == [1, 1, 1]
    )


def test_a_running_node_is_not_said_to_have_been_started(
    up: tuple[Environment, Request],
) -> None:
    """`node start` of a node that runs changes nothing, and says so."""
    environment, _ = up
    before = processes(environment)

    done = services.control(environment, "start", "v1", lambda _record: None)

    assert done.exit is Exit.OK
    assert done.lines[0].startswith("v1 of dev runs already")
    assert processes(environment) == before


def test_another_checkout_does_not_take_this_mesh_for_its_own(
    up: tuple[Environment, Request], tmp_path: Path
) -> None:
    """On the same ports, by the same inventory: without our genesis the nodes are a stranger's."""
    environment, _ = up
    inventories = environment.inventories
    other = Inventory.load("dev", folder=inventories, state=tmp_path / "other")

    seen = state.look(other)
    with open_mesh(other) as mesh:
        overview = look(other, mesh)

    assert (seen.votes, {row.height for row in seen.nodes}) == (0, {None})
    assert (overview.verdict, overview.voting_power) == (Verdict.DOWN, 0)
    for row in (*seen.nodes, *overview.nodes):
        assert row.state.startswith("a stranger's node: genesis ")
    assert state.look(environment).votes == 4
    found = diagnose(sight.look(other)).findings
    assert [each.topic for each in found if each.level == "fail"] == ["chain"] * 4
    assert {each.hint for each in found} == {"ss -ltnp   # on localhost"}


def test_a_diagnosis_names_the_node_that_was_stopped_and_how_it_starts(
    up: tuple[Environment, Request], eventually: Callable[..., None]
) -> None:
    """Nothing else is found wrong, and when it votes again nothing is: all reach all once more."""
    environment, _ = up

    def failures() -> list[str]:
        found = diagnose(sight.look(environment)).findings
        return [each.says for each in found if each.level == "fail"]

    def lacking() -> list[str]:
        with open_mesh(environment) as mesh:
            found = judge(ballots.look(environment, mesh)).findings
        return [each.node for each in found if each.level == "fail"]

    def is_recovered() -> bool:
        done = redialling.recover(environment, "", lambda _record: None)
        return done.exit is Exit.OK and all(done.facts["dialled"].values())

    eventually("nothing to be wrong", lambda: failures() == [], deadline_s=60)
    services.control(environment, "stop", "v3", lambda _record: None)
    try:
        stopped = ["v3 does not run on localhost (stopped)"]
        eventually("v3 to be found", lambda: failures() == stopped, deadline_s=60)
        eventually("its vote to be missed", lambda: lacking() == ["v3"], deadline_s=60)
    finally:
        services.control(environment, "start", "v3", lambda _record: None)
    eventually("nothing to be wrong", lambda: failures() == [], deadline_s=60)
    eventually("all votes", lambda: lacking() == [], deadline_s=60)
    eventually("all to dial and to reach all", is_recovered, deadline_s=60)


def test_after_everything_was_killed_up_goes_on_from_the_last_final_block(
    up: tuple[Environment, Request],
) -> None:
    """Supervisor and nodes die at once; the same command brings the same chain back."""
    environment, request = up
    at_kill = height(environment)
    supervisor = int((Path(environment.hosts[0].layout.supervisor) / "supervisord.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    for pid in processes(environment).values():
        os.kill(pid, signal.SIGKILL)

    again = deploy(environment, request, lambda _record: None)

    assert again.exit is Exit.OK, again.error
    with Mesh(environment) as mesh:
        same = compare(mesh)
        kept = mesh.blocks(1, at_kill)
    assert (same.problem, bool(same.root)) == ("", True)
    assert [block.height for block in kept] == list(range(1, at_kill + 1))
    assert height(environment) > at_kill


@pytest.mark.proves("C27")
def test_a_node_with_another_key_is_linked_by_it_and_no_more_by_the_old_one(
    up: tuple[Environment, Request], eventually: Callable[..., None]
) -> None:
    """One change of one node; refused, and nothing changed, for as long as it cannot be spared."""
    environment, _ = up
    changes = list[Any]()

    def is_renamed() -> bool:
        try:
            changes.append(rename(environment, "v4", lambda _record: None, Way()))
        except AitbcError as refused:
            if refused.exit_status != Exit.REFUSED:
                raise
        return bool(changes)

    eventually("v4 to be spared", is_renamed, deadline_s=60)
    assert changes[0].exit is Exit.OK, changes[0].error
    (told,) = changes[0].facts["node_keys"]

    def linked() -> list[set[str]]:
        with open_mesh(environment) as mesh:
            found = mesh.ask_all(lambda node: node.get("/net/peers", schema.Peers))
        seen = [each for each in found.values() if isinstance(each, schema.Peers)]
        rest = [each for each in seen if each.id != told["new"]]
        return [{row.id for row in each.peers} & {told["old"], told["new"]} for each in rest]

    eventually("links by the new key", lambda: linked() == [{told["new"]}] * 3, deadline_s=60)
    assert told["new"] == ceremony.known(environment)["v4"]["peer_id"] != told["old"]
    eventually("v4 to vote", lambda: state.look(environment).votes == 4, deadline_s=60)
