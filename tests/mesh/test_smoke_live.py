"""The smoke suite and the reading commands against real node processes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from driven_mesh import environment_of
from local_mesh import CHAIN_ID, Mesh, local_mesh

from aitbc_node.codes import Code
from aitbc_node.crypto import SigningKey
from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.definitions import AssetDefine
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.policy import address_of, single_key
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.ledger.transactions import Transaction, gas_of, sign
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Amount, Gas, Height
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.rpc_client import RefusedError, RpcClient
from aitbc_toolkit.suites import live, playing

FAUCET_SEED = b"\x07" * 32
FAUCET = SigningKey(FAUCET_SEED)
OWNERS = [SigningKey(bytes([number]) * 32) for number in (1, 2, 3)]


@pytest.fixture
def site(
    tmp_path: Path, eventually: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Mesh, Environment]]:
    """Four processes, and the environment that the command line takes them for."""
    with local_mesh(tmp_path, eventually) as mesh:
        mesh.until_heights(mesh.nodes, 2)
        found = environment_of(mesh, tmp_path / "state")
        monkeypatch.setattr("aitbc_toolkit.cli.reaching.load", lambda _named: found)
        yield mesh, found


@pytest.mark.proves("M12", "A9")
def test_the_smoke_suite_passes_on_real_processes(
    site: tuple[Mesh, Environment], tmp_path: Path
) -> None:
    """Boot, transfers and a cold join pass, and every invariant holds in each of them."""
    _mesh, found = site
    folder = tmp_path / "run"
    folder.mkdir()

    status = playing.run_on(found, "smoke", folder=folder, seed=1)

    told = json.loads((folder / "verdict.json").read_text())
    assert status == Exit.OK, told
    assert [each["verdict"] for each in told["scenarios"]] == ["PASS"] * 3
    for each in told["scenarios"]:
        assert set(each["invariants"].values()) == {"held"}, each


@pytest.mark.proves("A9")
def test_payments_through_each_node_are_final_once_everywhere(
    site: tuple[Mesh, Environment], capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty payments by `tx send` through each node are one block each, told alike by all."""
    mesh, found = site
    ids = [pay(capsys, "--node", node.name, "--no-wait") for node in mesh.nodes for _ in range(20)]

    # One account pays them all, so the last one is final only after all others.
    assert run(["tx", "wait", ids[-1]]) == Exit.OK
    capsys.readouterr()
    fates = []
    for each in found.instances:
        run(["tx", "show", ids[-1], "--node", each.name, "--json"])
        fates.append(json.loads(capsys.readouterr().out))
    with live.open_mesh(found) as asked:
        told = asked.ask_all(lambda node: blocks_of(node, ids))

    assert len(set(ids)) == 80
    assert fates == [fates[0]] * 4
    assert set(told.values()) == {(1,) * 80}


@pytest.mark.proves("E39")
def test_two_of_three_owners_spend_and_every_nodes_books_are_right(
    site: tuple[Mesh, Environment], capsys: pytest.CaptureFixture[str]
) -> None:
    """One bundle makes a coin and hands the account over; then any two sign, and one does not."""
    mesh, found = site
    sender = address_of(single_key(FAUCET.public_key))
    policy = AccountPolicy(2, tuple(sorted(owner.public_key for owner in OWNERS)))
    coin = AssetDefine("COIN", "coin", 2, sender, Amount(1), Amount(700))
    spend = Transfer((Output(address_of(single_key(OWNERS[0].public_key)), "COIN", Amount(300)),))

    with live.open_mesh(found) as asked:
        handed = signed([FAUCET], coin, AssetSupply("COIN", sender, 700), policy, nonce=0)
        assert asked.wait(asked.submit(handed).id, deadline_s=30).code == Code.OK
        with pytest.raises(RefusedError) as alone:
            asked.submit(signed(OWNERS[:1], spend, nonce=1))
        last = asked.wait(asked.submit(signed(OWNERS[1:], spend, nonce=1)).id, deadline_s=30)
    assert (last.code, alone.value.code, alone.value.field) == (Code.OK, Code.E_SIGNATURE, "sigs")
    assert last.height is not None
    mesh.until_heights(mesh.nodes, last.height)

    capsys.readouterr()
    for each in found.instances:
        assert run(["economics", "stats", "--node", each.name, "--json"]) == Exit.OK
        told = json.loads(capsys.readouterr().out)
        assert told["economics"]["assets"]["COIN"]["held"] == "700"
        assert int(told["economics"]["assets"]["AIT"]["burned"]) > 0
        assert told["audit"]["blocks_compared"] == told["audit"]["height"] >= last.height


def signed(signers: list[SigningKey], *bodies: Body, nonce: int) -> bytes:
    """Have these keys sign for the faucet's account."""
    tx = Transaction(
        chain_id=CHAIN_ID,
        sender=address_of(single_key(FAUCET.public_key)),
        nonce=nonce,
        valid_until=Height(10_000),
        gas_limit=Gas(0),
        max_gas_price=10**6,
        tip=Amount(0),
        policy=None,
        bundle=len(bodies) > 1,
        bodies=bodies,
    )
    gas = gas_of(tx, signatures=len(signers))
    return sign(msgspec.structs.replace(tx, gas_limit=gas), signers)


def pay(capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """Pay one coin to the faucet; return the id."""
    capsys.readouterr()
    assert run(["tx", "send", "--to", "faucet", "--amount", "1", "--json", *more]) == Exit.OK
    return str(json.loads(capsys.readouterr().out)["id"])


def blocks_of(node: RpcClient, ids: list[str]) -> tuple[int, ...]:
    """Count in how many blocks of a node each transaction is."""
    tip = node.status().height
    pages = [node.blocks(first, 20) for first in range(1, tip + 1, 20)]
    found = [tx for page in pages for block in page for tx in block.tx_ids]
    return tuple(found.count(tx_id) for tx_id in ids)


def test_what_is_said_while_validators_die(
    site: tuple[Mesh, Environment],
    capsys: pytest.CaptureFixture[str],
    eventually: Callable[..., None],
) -> None:
    """One of four killed is a row, and payments are final; with two killed nothing is taken."""
    mesh, found = site
    before = live.smoke(found, quick=True)
    assert (before.problem, "4 transfers, one through each node" in before.done) == ("", True)

    mesh.nodes[3].kill()
    mesh.grow(mesh.nodes[:3], 2)

    shown = status_document(capsys)
    assert shown["verdict"] == "degraded"
    assert shown["nodes"][3]["state"] == "unreachable (connection refused)"
    assert [row["voting"] for row in shown["nodes"]] == [True, True, True, False]
    assert run(["tx", "send", "--to", "faucet", "--amount", "1"]) == Exit.OK
    assert live.smoke(found).problem == "smoke/quick INFRA: no answer from n3"

    mesh.nodes[2].kill()
    eventually("both to see it", lambda: all(sees_no_quorum(node) for node in mesh.nodes[:2]))

    halted = status_document(capsys)
    assert (halted["verdict"], halted["voting_power"]) == ("stalled", 0), "nobody is cut off"
    assert run(["tx", "send", "--to", "faucet", "--amount", "1"]) == Exit.UNREACHABLE
    assert "[no-quorum]" in capsys.readouterr().err


def sees_no_quorum(node: Any) -> bool:
    """Tell whether a node says that it sees no quorum."""
    status = node.get("/status")
    return status is not None and bool(status["stale"])


def status_document(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `network status --json`."""
    capsys.readouterr()
    assert run(["network", "status", "--json"]) == Exit.OK
    return json.loads(capsys.readouterr().out)
