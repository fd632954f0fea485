"""A mesh of eight on this machine: all sign, and what was signed for production is refused."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from own_mesh import bring_up

from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import Output
from aitbc_node.types import Address, Amount
from aitbc_toolkit import keys, wallet
from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import state
from aitbc_toolkit.release.reading import Mesh, tip
from aitbc_toolkit.rpc_client import RefusedError

pytestmark = pytest.mark.mesh

NEIGHBOUR = Address(b"\x42" * 20)


@pytest.mark.proves("E71")
def test_eight_validators_sign_and_a_production_transaction_is_refused(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Every validator's precommit is in a commit; the same payment counts for one chain only."""
    with bring_up(tmp_path, validators=8) as mesh:
        environment = mesh.environment

        def signers() -> int:
            with Mesh(environment) as live:
                top = tip(live.statuses())
                blocks = live.blocks(max(1, top - 5), top)
            return max(len(block.last_commit.signers) for block in blocks)

        assert [each.name for each in environment.validators] == [f"v{n}" for n in range(1, 9)]
        eventually("eight votes", lambda: state.look(environment).votes == 8, deadline_s=60)
        eventually("a commit of eight", lambda: signers() == 8, deadline_s=60)

        payer = wallet.Wallet(keys.read_faucet(environment.folder))
        with open_mesh(environment) as client:
            now = wallet.look_any(client, interval_ms=environment.chain.block_interval_ms)
            production = Inventory.read("production").chain
            theirs = dataclasses.replace(now, chain_id=production.id, hrp=production.hrp)
            outs = [Output(NEIGHBOUR, NATIVE, Amount(1))]
            with pytest.raises(RefusedError, match="chain"):
                client.nodes[0].submit(payer.transfer(theirs, nonce=1, new=False, outs=outs))

        assert production.id != environment.chain.id
        assert production.hrp != environment.chain.hrp
