"""Records in, lines out: what a deploy looks like at one moment, at any width."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from aitbc_toolkit.cli.picture import ROWS, Picture

pytestmark = pytest.mark.unit

OLD, NEW = "8b1f3c2" + "0" * 33, "c41d9aa" + "0" * 33
Record = Mapping[str, Any]


def a_course(count: int) -> Record:
    """Build a full node and validators that go one by one."""
    names = ["f1", *(f"v{number}" for number in range(1, count))]
    nodes = {
        name: {
            "host": f"lab{number}",
            "role": "validator" if name[0] == "v" else "full",
            "power": int(name[0] == "v"),
            "from": OLD,
            "to": NEW,
        }
        for number, name in enumerate(names, start=1)
    }
    return {
        "type": "course",
        "action": "deploy",
        "environment": "lab",
        "run": "3e9f10aa00000000",
        "commit": NEW,
        "waves": [[name] for name in names],
        "arrived": [],
        "nodes": nodes,
    }


def a_step(name: str, took_s: float) -> list[Record]:
    """Build the two records of a step."""
    fields = {"type": "step", "step": name, "text": "4 hosts"}
    return [{**fields, "state": "begin"}, {**fields, "state": "done", "took_s": took_s}]


def a_wave(node: str, number: int, state: str, *, of: int = 5, kind: str = "wave") -> Record:
    """Build one record of a wave."""
    place = f"{kind} {number}/{of}"
    end = {"begin": "restart c41d9aa", "done": "ok voted in 3 heights"}.get(state, state)
    fields = {"type": "wave", "nodes": [node], "place": place, "state": state}
    return {**fields, "text": f"{place} {node} {end}", "took_s": 3.1}


def a_mesh(votes: Sequence[str], height: int = 18_204) -> Record:
    """Build what the nodes say."""
    told = {"height": height, "age_ms": 800, "longest_gap_ms": 2_100}
    return {"type": "mesh", **told, "votes": list(votes), "silent": []}


def under_way(count: int = 5) -> list[Record]:
    """Tell a deploy up to its third wave, which took the second validator first."""
    return [
        *a_step("lease", 0.2),
        {"type": "lease", "token": 7, "holder": "ops1 pid 33", "ends_in_s": 60.0},
        *a_step("observe", 1.2),
        *a_step("stage", 6.3),
        a_course(count),
        a_wave("f1", 1, "begin"),
        a_wave("f1", 1, "done"),
        a_wave("v2", 2, "begin"),
        a_wave("v2", 2, "done"),
        a_wave("v1", 3, "begin"),
        {"type": "gate", "nodes": {"v1": "voted in 2 of 3 heights"}, "ends_in_s": 41.0},
        a_mesh(["v2", "v3", "v4"]),
    ]


def drawn(records: Sequence[Record], width: int, *, now_s: float = 108.0, **more: Any) -> list[str]:
    """Draw what was told eight seconds ago in a run that began at 60."""
    picture = Picture("deploy", 60.0)
    for record in records:
        picture.take(record, now_s=100.0)
    return [line.plain for line in picture.lines(width, now_s=now_s, **more)]


GOLDEN: dict[int, str] = {
    60: """
Deploy lab: c41d9aa over 8b1f3c2    run 3e9f10a
  lease 0.2 s | observe 1.2 s | stage 6.3 s

  wave  node  release             state
  1 ok  f1    c41d9aa             voted in 3 heights
  2 ok  v2    c41d9aa             voted in 3 heights
  3 ~   v1    8b1f3c2 -> c41d9aa  voted in 2 of 3 heights
  4     v3    8b1f3c2 -> c41d9aa  waiting
  5     v4    8b1f3c2 -> c41d9aa  waiting

  power    [v2 v3 v4]  3 of 4 vote, 3 needed: none to spare…
  blocks   height 18,204, 8.8 s ago; longest gap 2.1 s
  lease    ends in 0:52, renewed meanwhile; ops1 pid 33
  elapsed  0:48    Ctrl-C stops; deploy lab --resume goes on
""",
    80: """
Deploy lab: c41d9aa over 8b1f3c2    run 3e9f10a
  lease 0.2 s | observe 1.2 s | stage 6.3 s

  wave  host  node  release             state                    by
  1 ok  lab1  f1    c41d9aa             voted in 3 heights
  2 ok  lab3  v2    c41d9aa             voted in 3 heights
  3 ~   lab2  v1    8b1f3c2 -> c41d9aa  voted in 2 of 3 heights  0:33 left
  4     lab4  v3    8b1f3c2 -> c41d9aa  waiting
  5     lab5  v4    8b1f3c2 -> c41d9aa  waiting

  power    [v2 v3 v4]  3 of 4 vote, 3 needed: none to spare; without v1
  blocks   height 18,204, 8.8 s ago; longest gap 2.1 s
  lease    ends in 0:52, renewed meanwhile; ops1 pid 33
  elapsed  0:48    Ctrl-C stops; deploy lab --resume goes on
""",
    100: """
Deploy lab: c41d9aa over 8b1f3c2    run 3e9f10a
  lease 0.2 s | observe 1.2 s | stage 6.3 s

  wave  host  node  release             state                    by
  1 ok  lab1  f1    c41d9aa             voted in 3 heights
  2 ok  lab3  v2    c41d9aa             voted in 3 heights
  3 ~   lab2  v1    8b1f3c2 -> c41d9aa  voted in 2 of 3 heights  0:33 left
  4     lab4  v3    8b1f3c2 -> c41d9aa  waiting
  5     lab5  v4    8b1f3c2 -> c41d9aa  waiting

  power    [v2 v3 v4]  3 of 4 vote, 3 needed: none to spare; without v1
  blocks   height 18,204, 8.8 s ago; longest gap 2.1 s
  lease    ends in 0:52, renewed meanwhile; ops1 pid 33
  elapsed  0:48    Ctrl-C stops; deploy lab --resume goes on
""",
}


@pytest.mark.parametrize("width", GOLDEN)
def test_a_deploy_under_way(width: int) -> None:
    """At 80 columns all is there; at 60 whole columns go before a state is cut."""
    assert drawn(under_way(), width) == GOLDEN[width].strip("\n").splitlines()


@pytest.mark.parametrize("count", [2, 5, 13, 50])
@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_no_picture_higher(width: int, count: int) -> None:
    """Whatever the terminal is, nothing wraps; 24 rows hold every fleet."""
    lines = drawn(under_way(count), width)

    assert max(map(len, lines)) <= width
    assert len(lines) <= ROWS
    assert len(drawn(under_way(count), width, rows=14)) <= 14


def test_of_a_large_fleet_the_failing_and_the_moving_are_shown() -> None:
    """The others are counted by what they do."""
    lines = drawn([*under_way(50), a_wave("v2", 2, "failed", of=50)], 80)

    table = lines[3 : lines.index("", 3)]
    assert [line.split()[:4] for line in table[1:3]] == [
        ["2", "!", "lab3", "v2"],
        ["3", "~", "lab2", "v1"],
    ]
    assert table[3] == "  and 48 more: 1 done, 47 waiting"
    assert len(table) == 4


def test_a_return_is_told_per_node() -> None:
    """The node that failed goes back first and shows the release that it has again."""
    failed = [*under_way(), a_wave("v1", 3, "failed")]
    back = [a_wave("v1", 1, "begin", of=3, kind="return"), a_wave("v1", 1, "done", kind="return")]

    before, after = (drawn(told, 100) for told in (failed, [*failed, *back]))

    assert "  3 !   lab2  v1    c41d9aa             failed" in before
    assert "  3 ok  lab2  v1    8b1f3c2             back, voted in 3 heights" in after


@pytest.mark.parametrize(
    ("votes", "end"),
    [
        (["v1", "v2", "v3", "v4"], "4 of 4 vote, 3 needed: 1 may be down"),
        (["v1", "v2", "v3"], "3 of 4 vote, 3 needed: none to spare; without v4"),
        (["v1", "v2"], "2 of 4 vote, 3 needed: no quorum; without v3 v4"),
    ],
)
def test_the_power_line_says_how_many_may_go(votes: list[str], end: str) -> None:
    """Two thirds are not enough."""
    lines = drawn([a_course(5), a_mesh(votes)], 100)

    assert f"  power    [{' '.join(votes)}]  {end}" in lines


def test_before_the_waves_the_step_at_work_is_shown() -> None:
    """It says for how long it has been at work, and a lease that was not renewed is no secret."""
    begun = {"type": "step", "step": "stage", "state": "begin", "text": "4 hosts"}
    lease = {"type": "lease", "token": 7, "holder": "ops1", "ends_in_s": 5.0}

    assert drawn([*a_step("lease", 0.2), lease, begun], 80) == [
        "aitbc deploy",
        "  lease 0.2 s",
        "  now      0:08  stage: 4 hosts",
        "  lease    not renewed in time; ops1",
        "  elapsed  0:48",
    ]


def test_the_last_picture_says_nothing_that_runs_on() -> None:
    """No age, no lease and no way to stop it: it stays on the terminal."""
    lines = drawn(under_way(), 80, is_ended=True)

    assert lines[-2:] == [
        "  blocks   height 18,204; longest gap 2.1 s",
        "  elapsed  0:48",
    ]


def test_control_bytes_of_others_are_not_drawn() -> None:
    """A reason may come from any machine."""
    gate = {"type": "gate", "nodes": {"v1": "\x1b[2Jgone\r"}, "ends_in_s": 41.0}

    text = "\n".join(drawn([*under_way(), gate], 80))

    assert "?[2Jgone?" in text
    assert not set(text) & {"\x1b", "\r"}
