"""`aitbc tx send --rate --for`, against four servers that show one real ledger."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from aitbc_node.blocks import tx_id
from aitbc_node.codes import Code
from aitbc_node.events import TxOutcome
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit


def sent(capsys: pytest.CaptureFixture[str], *, rate: int = 20, for_s: int = 1) -> Any:
    """Send on for a moment and return the books."""
    status = run(["tx", "send", "--rate", str(rate), "--for", str(for_s), "--json"])
    shown = capsys.readouterr()
    assert status == Exit.OK, shown.err
    return json.loads(shown.out)


def test_everything_is_final_and_spread_over_the_nodes(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many as were due, from several accounts, through every node; nothing lost."""
    told = sent(capsys)

    assert (told["sent"], told["accepted"], told["final"]) == (20, 20, 20)
    assert (told["lost"], told["expired"], told["rejected"], told["open"]) == (0, 0, 0, 0)
    assert set(told["to_final_ms"]) == {"p50", "p95", "p99"}
    assert min(len(port.submitted) for port in fake_mesh.ports.values()) >= 5


def test_what_a_dead_node_did_not_take_goes_to_the_next_one(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same bytes elsewhere; the books say how often and why."""
    fake_mesh.kill("v2")

    told = sent(capsys)

    assert (told["accepted"], told["final"], told["lost"]) == (20, 20, 0)
    assert told["refused"]["connection refused"] >= 5


def test_what_a_node_forgot_is_handed_in_again(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A 202 of a node that then loses its memory is not the end: the same bytes, another node."""
    port = fake_mesh.ports["v3"]
    forgotten: list[bytes] = []

    async def forget(raws: Sequence[bytes]) -> Sequence[TxOutcome]:
        forgotten.extend(raws)
        return [TxOutcome(tx_id(raw), Code.OK) for raw in raws]

    port.submit = forget

    told = sent(capsys, rate=4)

    assert forgotten
    assert (told["accepted"], told["final"], told["lost"]) == (4, 4, 0)


def test_the_books_for_people(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Each sum has a line; what was lost stands beside what was accepted."""
    assert fake_mesh.faucet is not None

    assert run(["tx", "send", "--rate", "4", "--for", "1"]) == Exit.OK

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Sent 4 transactions at ")
    assert [line.split()[0] for line in lines[1:6]] == [
        "accepted",
        "final",
        "expired",
        "rejected",
        "lost",
    ]
    assert lines[5] == "  lost          0 of 4 accepted"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("--rate 20", "--rate and --for go together"),
        ("--for 20", "--rate and --for go together"),
        ("--rate 201 --for 1", "201 is not in the range 1<=x<=200"),
        ("--rate 1 --for 601", "601 is not in the range 1<=x<=600"),
        ("--rate 1 --for 1 --to faucet", "no --to"),
        ("--rate 1 --for 1 --asset mUSDA", "no --asset"),
        ("--amount 1", "missing option '--to'"),
        ("--to faucet", "missing option '--amount'"),
    ],
)
def test_what_makes_no_sense_is_64(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str], words: str, error: str
) -> None:
    """It is told before anything is sent."""
    assert run(["tx", "send", *words.split()]) == Exit.USAGE

    assert error in capsys.readouterr().err
    assert not any(port.submitted for port in fake_mesh.ports.values())
