"""`aitbc economics`, against four servers that show one real ledger."""

import json
from typing import Any

import pytest

from aitbc_node import limits
from aitbc_node.ledger import objects
from aitbc_node.rpc.estimates import FeeEstimate
from aitbc_node.types import Amount
from aitbc_toolkit.cli import economics
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return the one JSON document on stdout."""
    return json.loads(capsys.readouterr().out)


def put(mesh: Any, key: objects.ObjectKey, record: Any) -> None:
    """Change one object behind the ledger's back."""
    mesh.ledger.state.adopt({key: record}, mesh.ledger.state.tree)


def test_the_price_of_gas_is_told_in_both_forms(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The document carries the node's figures; people read the same and what a transfer costs."""
    assert run(["economics", "gas-price", "--json"]) == Exit.OK
    told = document(capsys)

    assert run(["economics", "gas-price"]) == Exit.OK

    shown = capsys.readouterr().out.splitlines()
    assert told["price"] == fake_mesh.ledger.state.fees.price
    assert [line.split()[0] for line in shown[:4]] == ["now", "slow", "standard", "fast"]
    fee = f"0.{int(told['fees']['fast']):06}"
    assert shown[3] == f"fast        {told['fast']:,}, 21,000 gas cost {fee} AIT"
    assert shown[5] == "blocks      0.0 % full, the last ten"
    assert shown[6] == "tips        none needed, 0 of 3 blocks had no room"


def test_tips_are_told_where_blocks_are_full() -> None:
    """What goes on top of the fee, and how many blocks it was needed for."""
    full = FeeEstimate(
        height=9,
        price=10,
        slow=11,
        standard=20,
        fast=100,
        transfer_fee="1",
        tips={"slow": "0", "standard": "1", "fast": "2100"},
        full_blocks=12,
        blocks_seen=20,
    )

    told = "slow 0.000000 AIT, standard 0.000001 AIT, fast 0.002100 AIT on top of the fee; "
    assert f"tips        {told}12 of 20 blocks had no room" in economics._price_lines(full)


def test_any_amount_of_gas_is_priced(fake_mesh: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Twice the gas is twice the fee at one price; what no block has is refused by its name."""
    assert run(["economics", "gas-price", "--gas", "42000", "--json"]) == Exit.OK
    told = document(capsys)

    assert (told["gas"], told["fees"]["now"]) == (42_000, str(2 * int(told["transfer_fee"])))
    most = fake_mesh.ledger.state.params.max_block_gas
    assert run(["economics", "gas-price", "--gas", str(most + 1)]) == Exit.USAGE
    said = capsys.readouterr().err
    assert said.startswith(f"error: --gas {most + 1}: ")
    assert f"{most}" in said.partition("\n")[0].removeprefix(f"error: --gas {most + 1}")
    assert "hint: aitbc economics gas-price" in said


def test_stats_show_that_the_money_adds_up(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Supplies, pools and fees, and every promise with its verdict: kept, or not compared."""
    put(fake_mesh, (objects.ASSET, b"XYZ"), an_asset())

    assert run(["economics", "stats"]) == Exit.OK
    shown = capsys.readouterr().out
    assert run(["economics", "stats", "--json"]) == Exit.OK
    told = document(capsys)

    assert told["economics"]["conserved"] is True
    assert {row["name"] for row in told["audit"]["invariants"] if row["held"]} == {
        "I1",
        "I2",
        "I5",
        "I6",
        "I9",
        "I12",
    }
    assert [line.split() for line in shown.splitlines() if line.startswith("XYZ")] == [
        ["XYZ", "0", "0", "0", "0"]
    ]
    assert "adds up     yes" in shown
    assert "treasury    empty" in shown
    assert "bonded      4.000000 AIT, 0.00 % of all" in shown
    assert "I3     not compared  a vault's collateral covers what it minted (this chain" in shown


def test_stats_of_money_from_nowhere_exit_1(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken check is told with its figures, and the exit status says it to a script."""
    put(fake_mesh, (objects.POOL, b"treasury"), objects.Pool((("AIT", Amount(5)),)))

    assert run(["economics", "stats"]) == Exit.FAILED

    shown = capsys.readouterr().out
    assert "adds up     NO" in shown
    assert "treasury    0.000005 AIT" in shown
    supply = fake_mesh.ledger.state.asset("AIT").supply
    assert f"I1     BROKEN        AIT: held {supply + 5}, supply {supply}" in shown


def test_more_assets_than_an_answer_holds_are_counted(
    fake_mesh: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out of the table is told."""
    monkeypatch.setattr(limits, "RPC_ASSETS_MAX", 1)
    for number in range(2):
        put(fake_mesh, (objects.ASSET, b"XY%d" % number), an_asset())
    count = len(fake_mesh.ledger.state.tally.assets)

    held = (("AIT", Amount(0)), ("XY0", Amount(7)))
    put(fake_mesh, (objects.POOL, b"treasury"), objects.Pool(held))

    run(["economics", "stats"])

    shown = capsys.readouterr().out
    assert f"and {count - 1} more assets" in shown
    assert "treasury    0.000000 AIT, 7 base units of XY0" in shown


def an_asset() -> objects.Asset:
    """Define an asset that nobody has any of."""
    return objects.Asset("", 0, None, Amount(1), Amount(0), Amount(0), Amount(0))


def test_an_older_nodes_prices_are_told_without_fees() -> None:
    """What was not answered is left out, never told as zero."""
    old = FeeEstimate(height=1, price=10, slow=10, standard=20, fast=100, transfer_fee="1")

    assert next(iter(economics._price_lines(old))) == "now         10"
