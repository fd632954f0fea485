"""`aitbc network`, against four servers that show one ledger."""

import json
from typing import Any

import msgspec
import pytest

from aitbc_node.types import Power
from aitbc_toolkit.cli import tables
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.cli.tables import Column
from aitbc_toolkit.errors import Exit


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return the one JSON document on stdout."""
    return json.loads(capsys.readouterr().out)


def test_a_healthy_mesh_is_ok(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Every node is a row with what it says of itself, and the verdict is ok."""
    status = run(["network", "status", "--json"])

    told = document(capsys)
    assert status == Exit.OK
    assert told["verdict"] == "ok"
    assert (told["height_spread"], told["silent_ms"]) == (0, None)
    assert [row["name"] for row in told["nodes"]] == ["v1", "v2", "v3", "v4"]
    root = fake_mesh.ledger.state.root.hex()
    for row in told["nodes"]:
        assert (row["height"], row["round"], row["peers"], row["commit"], row["voting"]) == (
            (3, 0, 3, "8b1f3c2", True)
        )
        assert row["state_root"] == root


def test_a_dead_node_is_a_row_that_says_so(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A node that is down has no values and a reason; the mesh is degraded, the exit status 0."""
    fake_mesh.kill("v4")

    status = run(["network", "status", "--json"])

    told = document(capsys)
    dead = told["nodes"][3]
    assert (status, told["verdict"]) == (Exit.OK, "degraded")
    assert (dead["name"], dead["state"]) == ("v4", "unreachable (connection refused)")
    assert dead["height"] is dead["state_root"] is dead["commit"] is None
    assert dead["voting"] is False
    assert (told["voting_power"], told["needed_power"]) == (3, 3)


def test_the_table_says_what_the_document_says(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """People read the same rows, a sentence with the power, and one next command."""
    fake_mesh.kill("v4")

    run(["network", "status"])

    shown = capsys.readouterr()
    assert "v4    localhost  validator" in shown.out
    assert "unreachable (connection refused)" in shown.out
    assert "dev is DEGRADED: 3 of 4 power votes, 3 needed; no more may go down" in shown.out
    assert shown.err == "hint: start what is down: aitbc node start v4 -e dev\n"


def test_check_09_69_nobody_there(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """When no node answers the rows still say why, and the exit status is that of unreachable."""
    for name in ("v1", "v2", "v3", "v4"):
        fake_mesh.kill(name)

    status = run(["network", "status", "--json"])

    told = document(capsys)
    assert (status, told["verdict"], told["pace"]) == (Exit.UNREACHABLE, "down", None)


def test_a_lagging_node_is_seen(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A node that is far behind the others is catching up, and roots are compared at its height."""
    behind = fake_mesh.ports["v2"].view
    fake_mesh.ledger.grow(7)
    behind.finals = fake_mesh.ledger.finals[:2]
    behind.state = fake_mesh.ledger.state

    run(["network", "status", "--json"])

    told = document(capsys)
    assert (told["height_spread"], told["common_height"]) == (8, 2)
    assert told["nodes"][1]["state"] == "catching up"


def test_a_forked_node_is_forked(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Another state root at the same height is the worst verdict, and is named."""
    other = type(fake_mesh.ledger)(fake_mesh.faucet)
    other.state.adopt({}, None)  # a tree without anything in it
    strayed = fake_mesh.ports["v3"].view
    strayed.state, strayed.finals = other.state, other.finals

    run(["network", "status", "--json"])
    told = document(capsys)
    assert run(["network", "health"]) == Exit.FAILED

    assert told["verdict"] == "forked"
    assert "state roots differ at height 3" in capsys.readouterr().out


def test_a_cut_off_node_is_a_partition(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A node that reaches no quorum says so itself."""
    fake_mesh.ports["v1"].view.reachable_power = Power(1)

    run(["network", "status", "--json"])

    told = document(capsys)
    assert told["verdict"] == "partitioned"
    assert told["nodes"][0]["state"] == "cut off, reaches power 1 of 4"


def test_both_sides_of_a_split_are_told(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Who reaches whom, with how much power, and which side can make blocks; strongest first."""
    views = {name: port.view for name, port in fake_mesh.ports.items()}
    keys = {name: fake_mesh.ports[name].facts.validator for name in views}
    for name in ("v1", "v2", "v4"):
        views[name].missing, views[name].reachable_power = frozenset({keys["v3"]}), Power(3)
    views["v3"].missing = frozenset(keys[name] for name in ("v1", "v2", "v4"))
    views["v3"].reachable_power = Power(1)

    assert run(["network", "health"]) == Exit.FAILED
    lines = capsys.readouterr().out.splitlines()
    run(["network", "status", "--json"])

    majority = "side of v1, v2, v4: power 3 of 4, can make blocks, out of reach: v3"
    minority = "side of v3: power 1 of 4, cannot make blocks, out of reach: v1, v2, v4"
    sides = [line.strip() for line in lines if "side of" in line]
    assert sides == [majority, minority]
    told = document(capsys)
    assert told["verdict"] == "partitioned"
    assert [side["quorum"] for side in told["sides"]] == [True, False]


def test_nodes_that_are_down_are_no_partition(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who reaches everybody that runs is cut off from nobody: the mesh stands, and says since when.

    What helps is to start what is down, and that is what is hinted at.
    """
    for name in ("v1", "v2"):
        fake_mesh.kill(name)
    for name in ("v3", "v4"):
        fake_mesh.ports[name].view.reachable_power = Power(2)

    assert run(["network", "health"]) == Exit.FAILED
    said = capsys.readouterr()
    run(["network", "status", "--json"])

    told = document(capsys)
    assert (told["verdict"], told["voting_power"]) == ("stalled", 0)
    assert told["silent_ms"] >= 0
    assert [row["state"] for row in told["nodes"][2:]] == ["no quorum, reaches power 2 of 4"] * 2
    assert "dev is STALLED: 0 of 4 power votes, 3 needed; 3 more must come back" in said.out
    assert "/min" not in said.out
    assert "no block for " in said.out
    assert said.err == "hint: start what is down: aitbc node start v1 -e dev\n"


def test_a_node_that_misses_more_than_what_is_down_is_cut_off(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """One is down, and of the three others two do not reach each other's side: a partition."""
    fake_mesh.kill("v1")
    for name, power in (("v2", 2), ("v3", 2), ("v4", 1)):
        fake_mesh.ports[name].view.reachable_power = Power(power)

    run(["network", "status", "--json"])

    told = document(capsys)
    assert told["verdict"] == "partitioned"
    assert told["nodes"][3]["state"] == "cut off, reaches power 1 of 4"


def test_power_that_has_moved_tells_what_is_down_from_what_is_cut_off(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The chain's power counts, not that of its genesis: v1 has 5 of 8, and it is down."""
    fake_mesh.move_power({"v1": 5})
    fake_mesh.kill("v1")
    for name in ("v2", "v3", "v4"):
        fake_mesh.ports[name].view.reachable_power = Power(3)

    assert run(["network", "health"]) == Exit.FAILED
    said = capsys.readouterr()
    run(["network", "status", "--json"])

    told = document(capsys)
    assert (told["verdict"], told["total_power"], told["needed_power"]) == ("stalled", 8, 6)
    assert {row["state"] for row in told["nodes"][1:]} == {"no quorum, reaches power 3 of 8"}
    assert said.err == "hint: start what is down: aitbc node start v1 -e dev\n"


def test_a_node_without_power_that_is_down_hides_no_partition(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The jailed v4 is down, and v1 reaches two of the three that vote: one of them is cut off."""
    fake_mesh.move_power({"v4": 0})
    fake_mesh.kill("v4")
    fake_mesh.ports["v1"].view.reachable_power = Power(2)

    run(["network", "status", "--json"])

    told = document(capsys)
    assert told["verdict"] == "partitioned"
    assert told["nodes"][0]["state"] == "cut off, reaches power 2 of 3"


def test_a_node_in_trouble_says_why(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A validator that signs nothing is a row with its own reason."""
    view = fake_mesh.ports["v2"].view
    view.refusal, view.last_voted_height = "no sign state beside the key", 0
    fake_mesh.ledger.grow(4)

    run(["network", "status", "--json"])

    told = document(capsys)
    assert told["verdict"] == "degraded"
    assert told["nodes"][1]["state"] == "in trouble (no sign state beside the key)"


def test_old_blocks_are_a_stall(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """When even the newest block is old nobody counts as voting."""
    for place, final in enumerate(fake_mesh.ledger.finals):
        header = msgspec.structs.replace(final.block.header, time_ms=1_700_000_000_000)
        block = msgspec.structs.replace(final.block, header=header)
        fake_mesh.ledger.finals[place] = msgspec.structs.replace(final, block=block)

    run(["network", "status", "--json"])

    told = document(capsys)
    assert (told["verdict"], told["voting_power"]) == ("stalled", 0)


def test_check_09_1_health_is_a_check(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Health exits 0 or 1, and names what is wrong."""
    assert run(["network", "health"]) == Exit.OK
    fake_mesh.kill("v4")
    capsys.readouterr()

    assert run(["network", "health"]) == Exit.FAILED

    said = capsys.readouterr()
    assert "v4 on localhost: unreachable (connection refused)" in said.out
    assert said.err == "hint: start what is down: aitbc node start v4 -e dev\n"


def test_health_points_to_what_an_ailing_node_wrote(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A node that answers and takes no part can be asked itself."""
    view = fake_mesh.ports["v3"].view
    view.refusal, view.last_voted_height = "no sign state beside the key", 0
    fake_mesh.ledger.grow(4)

    assert run(["network", "health"]) == Exit.FAILED

    assert capsys.readouterr().err == "hint: what v3 wrote: aitbc node logs v3 -e dev\n"


@pytest.mark.parametrize(
    "command", [["network", "status"], ["network", "health"], ["node", "list"]]
)
def test_a_silent_mesh_leads_to_its_hosts(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """Whoever asks a mesh of which no node answers is told where more can be seen."""
    for name in ("v1", "v2", "v3", "v4"):
        fake_mesh.kill(name)
    capsys.readouterr()

    assert run(command) == Exit.UNREACHABLE

    assert capsys.readouterr().err == "hint: what runs on its hosts: aitbc status dev\n"


def test_peers_are_listed_by_name(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Links carry the names of the inventory; a dead node has none."""
    fake_mesh.kill("v4")

    status = run(["network", "peers", "--json"])

    rows = document(capsys)["nodes"]
    assert status == Exit.OK
    assert [peer["name"] for peer in rows[0]["peers"]] == ["v2", "v3", None]
    assert rows[3]["peers"] is None


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_table_fits_and_never_wraps(width: int) -> None:
    """At every width each row is one line no wider than the terminal."""
    columns = (Column("NODE"), Column("HOST", spare=2), Column("STATE"))
    rows = [["v1", "h" * 50, "unreachable (" + "x" * 40 + ")"]] * 3

    lines = tables.draw(columns, rows, width=width)

    assert len(lines) == 4
    assert max(map(len, lines)) <= width
    assert ("HOST" in lines[0]) == (width >= 110)


def test_a_row_is_cut_on_a_terminal_and_whole_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing shows as dots; whoever reads a file has no width, and gets all of it."""
    columns, row = (Column("NODE"), Column("WHAT")), ["v1", "x" * 300]

    (_, cut) = tables.draw(columns, [row], width=40)
    monkeypatch.delenv("COLUMNS", raising=False)
    (_, whole) = tables.draw(columns, [row])

    assert (len(cut), cut[-4:]) == (40, "x...")
    assert whole.endswith("x" * 300)


def test_a_node_cannot_redraw_the_terminal() -> None:
    """Control characters from a node are shown as question marks."""
    (_, line) = tables.draw((Column("NODE"),), [["v1\x1b[2J\r\n"]], width=80)

    assert line == "v1?[2J??"


def test_an_unknown_environment_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that does not exist is refused with the nearest one, before anything is asked."""
    status = run(["network", "status", "-e", "labb"])

    shown = capsys.readouterr()
    assert (status, shown.out) == (Exit.USAGE, "")
    assert shown.err.startswith("error: unknown environment 'labb', the nearest is lab\nhint: ")


def test_the_picture_of_the_links_has_every_node(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A node that is down has a line, too; the sentence below says whether it is one mesh."""
    fake_mesh.kill("v4")

    assert run(["network", "topology"]) == Exit.OK
    drawn = capsys.readouterr().out
    assert run(["network", "topology", "--json"]) == Exit.OK

    told = document(capsys)
    lines = drawn.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["v1", "v2", "v3", "v4"]
    assert "connection refused" in lines[4]
    assert [node["name"] for node in told["nodes"]] == ["v1", "v2", "v3", "v4"]
    assert f"{told['links']} links" in drawn
