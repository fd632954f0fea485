"""Each type of transaction has a cost that was measured here, or there is none at all."""

import json

import pytest

from aitbc_node.codes import Code
from aitbc_node.ledger.families import FAMILIES
from aitbc_node.ledger.transfers import Transfer
from aitbc_sim.town import pay
from aitbc_toolkit.benchmarks import ledger, specimens
from aitbc_toolkit.benchmarks.ledger import Job, RefusedError
from aitbc_toolkit.benchmarks.specimens import SPECIMENS, Specimen
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit

TAGS = [body.__struct_config__.tag for body in FAMILIES]


@pytest.mark.proves("C28")
def test_every_type_is_timed_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """p50 and p95 of each in one document, with cores, versions and commit."""
    assert run(["benchmark", "ledger", "--rounds", "1", "--json"]) is Exit.OK

    told = json.loads(capsys.readouterr().out)
    assert [row["type"] for row in told["types"]] == TAGS
    for row in told["types"]:
        assert 0 < row["apply_us"]["p50"] <= row["apply_us"]["p95"], row
        assert row["apply_us"]["p50"] < row["whole_us"]["p50"] <= row["whole_us"]["p95"], row
        assert row["whole_us"]["p50"] > told["empty_block_us"]["p50"], row
    assert set(told["timed"]) == {"apply_us", "whole_us", "empty_block_us"}
    assert (told["rounds"], told["timings"]) == (1, specimens.COUNT)
    assert told["accounts"] > specimens.CITIZENS
    assert told["machine"]["cores"] > 0
    assert told["versions"]["python"]
    assert len(told["commit"]) == 40


@pytest.mark.proves("C28")
def test_people_see_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each type, and what was timed in words."""
    assert run(["benchmark", "ledger", "--rounds", "1"]) is Exit.OK

    head, *rows = capsys.readouterr().out.splitlines()
    assert " ".join(head.split()) == "TYPE APPLY p50 APPLY p95 WHOLE p50 WHOLE p95 ABOUT"
    assert [row.split()[0] for row in rows[: len(TAGS)]] == TAGS
    assert "us of processor time, 100 timings of each, 3005 accounts" in rows
    assert rows[-1].startswith("  here   ")


def test_what_is_refused_is_an_error_and_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Someone who pays more than it has is told to be refused; nothing is printed as measured."""
    planted = Specimen("pays too much", lambda _, number: (f"citizen {number}", pay("a", 10**15)))
    monkeypatch.setitem(SPECIMENS, Transfer, planted)

    assert run(["benchmark", "ledger", "--json"]) is Exit.FAILED
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "error: transfer was refused (insufficient) when apply was" in shown.err


@pytest.mark.parametrize("forged", ["signature", "twice"])
def test_what_no_block_may_hold_is_refused_as_well(forged: str) -> None:
    """Its bytes are not of the sender, or were executed before: both say so with their code."""
    found = specimens.ground()
    tx = found.town.tx("citizen 200", pay("citizen 201", 5))
    if forged == "twice":
        found.town.apply(tx)
    raw = tx.raw[:-1] + bytes([tx.raw[-1] ^ 1]) if forged == "signature" else tx.raw
    wanted = {"signature": Code.E_SIGNATURE, "twice": Code.E_NONCE}[forged]

    got = ledger._whole(found.town.state, found.town.context(), raw)

    assert got == wanted
    with pytest.raises(RefusedError, match=f"made up was refused \\({wanted}\\) when it"):
        Job("made up", "it", lambda: got).took_us()
