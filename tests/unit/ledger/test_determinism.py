"""The same blocks give the same roots in every process, whatever its hash seed."""

import subprocess
import sys

import pytest

SCRIPT = """
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_sim.town import Town, a_genesis, address, pay, supply

names = [f"citizen {number}" for number in range(20)]
town = Town(a_genesis(rich=names))
town.apply(town.tx("mint", *[supply(name, 1000 + place) for place, name in enumerate(names[:9])]))
for turn in range(5):
    outs = [(names[(turn * 7 + place) % 20], place + 1) for place in range(6)]
    several = Transfer(
        tuple(Output(address(to), ("AIT", "mUSDA")[n % 2], n) for to, n in outs)
    )
    town.apply(*[town.tx(name, several, pay(names[turn], 3)) for name in names])
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
