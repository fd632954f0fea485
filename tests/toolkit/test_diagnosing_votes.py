"""`aitbc diagnose consensus`, with troubles planted in four real RPC servers over one ledger."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from aitbc_node import bech32
from aitbc_node.blocks import NO_COMMIT, CommitVote
from aitbc_node.rpc import schema
from aitbc_node.storage.sign_state import NOTHING_SIGNED
from aitbc_node.types import Height, Power, Round, Signature
from aitbc_sim.pump import Pump
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.diagnose.ballots import BLOCKS, TURNS, turns_of
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import configuring
from aitbc_toolkit.rpc_client import RpcClient

pytestmark = pytest.mark.integration

ALL = ("v1", "v2", "v3", "v4")


def write_votes(
    mesh: Any, *, without: str = "", above: int = 0, rounds: int = 0, every: int = 1
) -> None:
    """Let all vote for each block in its first round, but one node above a height."""
    members = mesh.ledger.state.validators
    places = {name: members.index_of(mesh.ports[name].facts.validator) for name in ALL}
    for index, final in enumerate(mesh.ledger.finals):
        height = index + 1
        absent = without if height > above and height % every == 0 else ""
        votes = tuple(
            CommitVote(place, 0, Signature(b"s" * 64))
            for place in sorted(places[name] for name in ALL if name != absent)
        )
        round_ = Round(rounds if height % every == 0 else 0)
        certificate = replace(final.certificate, votes=votes, round=round_)
        block = replace(final.block, last_commit=NO_COMMIT)
        mesh.ledger.finals[index] = replace(final, certificate=certificate, block=block)


@pytest.fixture
def mesh(fake_mesh: Any) -> Any:
    """Give a mesh in which all four have voted for each of a page of blocks."""
    fake_mesh.ledger.grow(BLOCKS)
    write_votes(fake_mesh)
    return fake_mesh


def diagnosed(capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    """Run the command; return its status and its document."""
    status = run(["diagnose", "consensus", "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_a_mesh_whose_validators_all_vote_has_no_findings(
    mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is a row with its votes; the sum, the height under way and the next turns are told."""
    mesh.ports["v1"].view.sign_state = replace(NOTHING_SIGNED, step=1)
    assert run(["diagnose", "consensus"]) == Exit.OK
    shown = capsys.readouterr().out
    status, told = diagnosed(capsys)

    tip = len(mesh.ledger.finals)
    assert (status, told["findings"]) == (Exit.OK, [])
    assert [row["name"] for row in told["voters"]] == [*ALL]
    assert {(row["voted"], row["of"], row["state"]) for row in told["voters"]} == {
        (BLOCKS, BLOCKS, "voting")
    }
    assert (told["height"], told["round"], told["step"]) == (tip + 1, 0, "propose")
    assert told["voters"][0]["signed"] == {"height": 0, "round": -1, "step": 1}
    assert "4 of 4 power votes, 3 needed" in shown
    assert f"height {tip + 1} is in round 0, propose; {told['proposer']} proposes in it" in shown
    assert told["next_proposers"]["names"][0] == told["proposer"]
    assert shown.endswith("\ndev: nothing is wrong\n")


def _silent(mesh: Any) -> None:
    keys = {name: mesh.ports[name].facts.validator.hex() for name in ALL}
    public = {name: {"consensus_key": key} for name, key in keys.items()}
    configuring.remember(mesh.environment, public)
    mesh.kill("v3")


def _silent_and_unknown(mesh: Any) -> None:
    mesh.kill("v3")


def _does_not_vote(mesh: Any) -> None:
    write_votes(mesh, without="v3", above=10)


def _never_voted(mesh: Any) -> None:
    write_votes(mesh, without="v3")


def _seldom_votes(mesh: Any) -> None:
    write_votes(mesh, without="v3", every=4)


def _signs_nothing(mesh: Any) -> None:
    mesh.ports["v3"].view.refusal = "its sign state is lost"


def _is_behind(mesh: Any) -> None:
    mesh.ports["v3"].view.finals = mesh.ledger.finals[:5]


def _is_cut_off(mesh: Any) -> None:
    mesh.ports["v3"].view.reachable_power = Power(1)


def _has_signed_ahead(mesh: Any) -> None:
    mesh.ports["v3"].view.sign_state = replace(NOTHING_SIGNED, height=Height(90))


def _late_round(mesh: Any) -> None:
    mesh.ports["v2"].view.round = 4


def _many_rounds(mesh: Any) -> None:
    write_votes(mesh, rounds=1, every=4)


def _foreign_key(mesh: Any) -> None:
    port = mesh.ports["v3"]
    port.facts = port.view.facts = replace(port.facts, validator=None)


@pytest.mark.parametrize(
    ("asked", "lacking"), [("validators", "the validators"), ("blocks", "the newest blocks")]
)
def test_votes_of_which_nobody_tells_are_not_taken_for_good_ones(
    mesh: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    lacking: str,
) -> None:
    """The nodes answer, and no more than that: it fails, says what is unknown, and sums nothing."""
    assert mesh

    def refuse(*_: object) -> None:
        raise AitbcError("refused", hint="-")

    monkeypatch.setattr(RpcClient, asked, refuse)
    status, told = diagnosed(capsys)
    assert run(["diagnose", "consensus"]) == status == Exit.FAILED
    shown = capsys.readouterr().out

    assert told["voting_power"] is None
    (first, *_) = told["findings"]
    assert (first["level"], first["topic"]) == ("fail", "votes")
    assert first["says"] == f"who votes is unknown: no node told {lacking}"
    assert "diagnose network -e dev" in first["hint"]
    assert "power votes" not in shown
    assert "nothing is wrong" not in shown


PLANTED: list[tuple[Callable[[Any], None], str, str, str, str]] = [
    (
        _silent,
        "fail",
        "votes",
        "v3 (power 1) does not answer: connection refused; its last vote is in block 23 of 23",
        "node start v3 -e dev",
    ),
    (
        _silent_and_unknown,
        "warn",
        "key",
        "validator ",
        "validator list -e dev",
    ),
    (
        _does_not_vote,
        "fail",
        "votes",
        "v3 answers at height 23 and does not vote; its last vote is in block 10 of 23",
        "node logs v3 -e dev",
    ),
    (
        _never_voted,
        "fail",
        "votes",
        "v3 answers at height 23 and does not vote; none of the last 20 blocks has its vote",
        "node logs v3 -e dev",
    ),
    (
        _seldom_votes,
        "warn",
        "votes",
        "v3 votes, but late or seldom: 5 of the last 20 blocks are without its vote",
        "network peers -e dev",
    ),
    (
        _signs_nothing,
        "fail",
        "votes",
        "v3 signs nothing: its sign state is lost; its last vote is in block 23 of 23",
        "node logs v3 -e dev",
    ),
    (
        _is_behind,
        "fail",
        "votes",
        "v3 is 18 blocks behind; its last vote is in block 23 of 23",
        "node logs v3 -e dev",
    ),
    (
        _is_cut_off,
        "fail",
        "votes",
        "v3 reaches power 1 of 4 only; its last vote is in block 23 of 23",
        "network partition -e dev",
    ),
    (
        _has_signed_ahead,
        "warn",
        "signing",
        "v3 has signed up to height 90 and knows blocks up to 23",
        "node logs v3 -e dev",
    ),
    (
        _late_round,
        "fail",
        "rounds",
        "height 24 is in round 4, propose; ",
        "network health -e dev",
    ),
    (
        _many_rounds,
        "warn",
        "rounds",
        "5 of the last 20 blocks took more than one round, 5 rounds too many in all",
        "network peers -e dev",
    ),
    (
        _foreign_key,
        "warn",
        "key",
        "validator ",
        "validator list -e dev",
    ),
]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted[0].__name__[1:])
def test_a_planted_trouble_is_the_one_finding(
    planted: tuple[Callable[[Any], None], str, str, str, str],
    mesh: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A sentence that names it, the command that helps, and 1 unless it is a warning."""
    plant, level, topic, says, hint = planted
    plant(mesh)

    status, told = diagnosed(capsys)

    assert len(told["findings"]) == 1, told["findings"]
    [found] = told["findings"]
    assert (found["level"], found["topic"]) == (level, topic)
    assert found["says"].startswith(says)
    assert hint in found["hint"]
    assert status == (Exit.FAILED if level == "fail" else Exit.OK)


def test_a_halt_is_told_once_with_the_sum_and_whom_it_lacks(
    mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of four are down: those who wait for them are not said to be at fault."""
    _silent(mesh)
    mesh.kill("v4")
    for index, final in enumerate(mesh.ledger.finals):
        header = replace(final.block.header, time_ms=1_700_000_000_000 + index)
        mesh.ledger.finals[index] = replace(final, block=replace(final.block, header=header))
    for name in ("v1", "v2"):
        mesh.ports[name].view.reachable_power = Power(2)

    status, told = diagnosed(capsys)

    assert status == Exit.FAILED
    assert [each["topic"] for each in told["findings"]] == ["blocks", "votes", "votes"]
    assert "nodes with power 2 of 4 answer, 3 needed" in told["findings"][0]["says"]
    assert told["findings"][0]["hint"] == "aitbc node start v3 -e dev"
    assert {each["node"] for each in told["findings"][1:]} == {"v3", "v4"}


def test_where_nobody_answers_nothing_is_known(
    mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 69, and where to look."""
    for name in ALL:
        mesh.kill(name)

    assert run(["diagnose", "consensus"]) == Exit.UNREACHABLE

    shown = capsys.readouterr()
    assert shown.out.count("unreachable (connection refused)") == len(ALL)
    assert shown.out.endswith("dev: no node answered\n")
    assert shown.err == "hint: what runs on its hosts: aitbc status dev\n"


def test_the_told_proposers_are_those_of_the_chain() -> None:
    """By the priorities that a node shows, for powers that are not alike."""
    pump = Pump(powers=(1, 2, 3, 4)).start()
    pump.run_to(3)
    height, members = next(
        (each.machine.view.height, each.machine.view.validators) for each in pump.nodes
    )
    rows = [
        schema.ValidatorView(
            address=bech32.address_text("aitt", each.operator),
            key=each.key.hex(),
            power=each.power,
            priority=each.priority,
            status="active",
            proposer=False,
        )
        for each in members.members
    ]

    told = turns_of(rows, TURNS)

    pump.run_to(height + TURNS)
    store = pump.nodes[0].store
    assert store is not None
    blocks = [store.block(Height(height + ahead)) for ahead in range(1, TURNS + 1)]
    assert told == [block.block.header.proposer.hex() for block in blocks if block]
    assert len(set(told)) == len(members.members)
