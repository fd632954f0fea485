"""What each environment renders to is kept as a file, so that a change of it is seen in review.

Run this file with Python to write the files anew.
"""

import json
from pathlib import Path

import msgspec
import pytest

from aitbc_node.ledger.params import faults
from aitbc_toolkit import render
from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import founding

GOLDEN = Path(__file__).with_name("golden")
NAMES = ("dev", "lab", "staging", "production")
STATE = Path("/home/operator/aitbc/.aitbc")
COMMIT = "c" * 40


def load(name: str, lab_state: Path) -> Environment:
    """Load an environment as it is on any machine; the lab has addresses of its own."""
    if name != "lab":
        return Inventory.load(name, state=STATE)
    folder = lab_state / "labs" / "lab"
    folder.mkdir(parents=True, exist_ok=True)
    hosts = [
        {"name": f"lab{n}", "ipv4": f"10.213.0.{10 + n}", "port": 22, "key": "/k"}
        for n in range(1, 5)
    ]
    (folder / "lab.json").write_text(json.dumps({"folder": str(folder), "hosts": hosts}))
    return Inventory.load(name, state=lab_state)


def written(environment: Environment) -> str:
    """Write what the first node of an environment is given; the others differ by name and port."""
    peer_ids = {each.name: each.name.encode().hex().zfill(40) for each in environment.instances}
    ready = render.configurations(environment, commit=COMMIT, peer_ids=peer_ids, genesis="{}")
    files = ready[environment.instances[0].name].files
    head = f"# {environment.name}: {json.dumps(msgspec.to_builtins(environment.chain))}\n"
    head += f"# profile: {json.dumps(msgspec.to_builtins(environment.profile))}\n"
    return head + "".join(f"==== {name}\n{files[name]}" for name in ("node.toml", "service"))


@pytest.mark.proves("E53")
@pytest.mark.parametrize("name", NAMES)
def test_an_environment_renders_to_its_golden_file(name: str, tmp_path: Path) -> None:
    """Byte for byte; after a change that is meant, `python` of this file writes them anew."""
    expected = (GOLDEN / f"{name}.txt").read_text()

    assert written(load(name, tmp_path)) == expected, f"python {Path(__file__).name} writes anew"


def test_only_production_addresses_bear_the_production_prefix() -> None:
    """A payment to or from the wrong network does not even parse; chain ids differ everywhere."""
    chains = {name: Inventory.read(name).chain for name in NAMES}

    assert [name for name, chain in chains.items() if chain.hrp == "ait"] == ["production"]
    assert len({chain.id for chain in chains.values()}) == len(chains)


@pytest.mark.proves("E53")
@pytest.mark.parametrize(
    ("name", "rollout", "canary", "bake_s", "approvals"),
    [
        ("dev", "all", 0, 30, 0),
        ("lab", "serial", 0, 30, 0),
        ("staging", "serial", 0, 30, 1),
        ("production", "serial", 1, 600, 2),
    ],
)
def test_how_a_release_comes_to_an_environment_is_that_of_the_table(
    name: str, rollout: str, canary: int, bake_s: int, approvals: int
) -> None:
    """All at once in development, one by one in staging; production watches a canary before."""
    profile = Inventory.read(name).profile

    assert (profile.rollout, profile.approvals) == (rollout, approvals)
    assert (profile.canary, profile.bake_s) == (canary, bake_s)


@pytest.mark.parametrize(
    ("name", "unbonding_blocks", "is_open", "power_max_bps"),
    [
        ("dev", 300, 1, 10_000),
        ("lab", 600, 1, 10_000),
        ("staging", 1_800, 0, 3_333),
        ("production", 362_880, 0, 3_333),
    ],
)
def test_what_an_environment_says_of_its_chain_is_in_its_genesis(
    name: str, unbonding_blocks: int, is_open: int, power_max_bps: int
) -> None:
    """Bonds of production wait 21 days, and nobody votes there whom the others did not admit."""
    made = founding.parameters(Inventory.read(name).chain)

    assert made.unbonding_blocks == unbonding_blocks
    assert made.validators_open == is_open
    assert made.unjail_by_itself == is_open, "in development and labs only"
    assert made.absence_window_blocks >= 1_200
    assert made.validator_power_max_bps == power_max_bps
    assert list(faults(made)) == []


def test_times_of_a_chain_that_do_not_fit_together_are_named_as_they_are_written() -> None:
    """Blocks of 3 s make 300 s of unbonding too few for evidence: the inventory's words say so."""
    chain = msgspec.structs.replace(Inventory.read("dev").chain, block_interval_ms=3_000)

    with pytest.raises(ConfigError) as refused:
        founding.parameters(chain)

    assert "unbonding_blocks" in refused.value.message
    assert refused.value.hint.startswith("unbonding_s = 300 is 100 blocks of 3,000 ms")


if __name__ == "__main__":
    import tempfile

    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as state:
        for each in NAMES:
            (GOLDEN / f"{each}.txt").write_text(written(load(each, Path(state))))
