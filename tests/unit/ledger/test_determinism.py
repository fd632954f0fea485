"""The same blocks give the same roots in every process, whatever its hash seed."""

import subprocess
import sys

import pytest

SCRIPT = """
from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.definitions import AssetDefine
from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.records import RecordPut
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_sim.town import CHAIN_ID, Town, a_genesis, address, key_of, pay, supply

names = [f"citizen {number}" for number in range(20)]
town = Town(a_genesis(rich=names, params=Params(epoch_blocks=3)))

def everything(name, turn):
    votes = key_of(f"{name} votes {turn}")
    proof = possession_proof(CHAIN_ID, address(name), votes)
    coin = f"COIN{turn}X{names.index(name)}"
    return [
        AssetDefine(coin, "coin", 2, address(name), 1, 100),
        AssetSupply(coin, address(names[turn]), 100),
        RecordPut("name", name.encode(), bytes(turn), 2),
        ValidatorPut(key=votes.public_key, proof=proof),
        StakeBond(address(name), 3_000_000 + turn),
        StakeUnbond(address(name), 1_000_000),
        AccountPolicy(1, tuple(sorted(key_of(who).public_key for who in (name, names[turn])))),
    ]

town.apply(town.tx("mint", *[supply(name, 1000 + place) for place, name in enumerate(names[:9])]))
for turn in range(5):
    outs = [(names[(turn * 7 + place) % 20], place + 1) for place in range(6)]
    several = Transfer(
        tuple(Output(address(to), ("AIT", "mUSDA")[n % 2], n) for to, n in outs)
    )
    payments = [town.tx(name, several, pay(names[turn], 3)) for name in names[:15]]
    acts = [town.tx(name, *everything(name, turn)) for name in names[15:]]
    done = town.apply(*acts, *payments)
    assert [receipt.code for receipt in done.receipts[:5]] == ["ok"] * 5, done.receipts
    print(town.state.root.hex())
"""


def roots_under(hash_seed: str) -> list[str]:
    """Run the script in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split()


@pytest.mark.integration
@pytest.mark.proves("M12")
def test_roots_do_not_depend_on_the_hash_seed() -> None:
    """No root ever depends on the order in which a set or dict happens to be walked (I7)."""
    roots = roots_under("0")

    assert len(set(roots)) == 5
    assert all(roots_under(seed) == roots for seed in ("1", "4242"))
