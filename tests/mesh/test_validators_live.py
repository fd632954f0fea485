"""Validators come, go and change their keys on a chain of real processes, by the command line.

What is claimed follows from who is needed: where every vote counts, a chain that goes on has them.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from driven_mesh import environment_of
from local_mesh import CHAIN_ID, HRP, Mesh, NodeProcess, local_mesh

from aitbc_node import keymaking
from aitbc_node.keyfiles import CONSENSUS_KEY, OPERATOR_KEY
from aitbc_node.ledger.params import Params
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit

pytestmark = pytest.mark.mesh

EPOCH = 10
SIGN_STATE = "sign_state"


@dataclass
class Site:
    """Be a mesh of processes with an operator's command line."""

    mesh: Mesh
    capsys: pytest.CaptureFixture[str]

    def do(self, line: str) -> Any:
        """Type a command that succeeds; return its document."""
        self.capsys.readouterr()
        ended = run([*line.split(), "--json"])
        shown = self.capsys.readouterr()
        assert ended == Exit.OK, (line, shown)
        return json.loads(shown.out)

    def decide(self, line: str) -> int:
        """Type a proposal that passes; return the last height of its epoch."""
        made = self.do(line)
        assert made["passed"] is True
        return int(made["epoch_ends"])

    def block(self, node: NodeProcess, height: int) -> Any:
        """Read a block from one node."""
        return self.mesh.read(node, f"/blocks/{height}")

    def signers(self, node: NodeProcess, height: int) -> set[str]:
        """Return whose precommits made a block final, as one node has them."""
        found = set(self.block(node, height)["certificate"]["signers"])
        assert found, f"{node.name} does not know who voted on block {height}"
        return found

    def newest(self, node: NodeProcess) -> range:
        """Return the two newest heights of a node."""
        top = self.mesh.top([node])
        return range(top - 1, top + 1)

    def until_epoch(self, nodes: list[NodeProcess], told: Any) -> int:
        """Wait until the epoch of a transaction is over; return its last height."""
        last = ends(told["height"])
        self.mesh.until_heights(nodes, last)
        return last


def ends(height: int) -> int:
    """Return the last height of a height's epoch."""
    return -(-height // EPOCH) * EPOCH


def operator(node: NodeProcess) -> str:
    """Name the key of a node's operator."""
    return str(node.folder / "keys" / OPERATOR_KEY)


def key_of(node: NodeProcess) -> str:
    """Return the consensus key that a node began with."""
    return str(node.public["consensus_key"])


@pytest.fixture
def site_of(
    tmp_path: Path,
    eventually: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[..., Site]]:
    """Bring up a mesh with epochs of ten blocks that the command line takes for its own."""
    with ExitStack() as stack:

        def bring_up(rules: Mapping[str, int] = {}, **shape: Any) -> Site:
            params = Params(epoch_blocks=EPOCH, validators_open=0, **rules)
            made = local_mesh(tmp_path, eventually, params=params, rich=True, **shape)
            mesh = stack.enter_context(made)
            mesh.until_heights(mesh.nodes, 2)
            found = environment_of(mesh, tmp_path / "state")
            monkeypatch.setattr("aitbc_toolkit.cli.reaching.load", lambda _named: found)
            return Site(mesh, capsys)

        yield bring_up


@pytest.mark.proves("E1")
def test_a_validator_is_admitted_votes_from_the_next_epoch_and_is_removed(
    site_of: Callable[..., Site],
) -> None:
    """With a founder down its vote is needed, and blocks go on; after its removal it has none.

    It registers with the public part of its key and bonds; more than two thirds of the power say
    yes to it, and later to its removal. Outside of that it neither votes nor proposes.
    """
    site = site_of(validators=4, waiting=1)
    *founders, joiner = site.mesh.nodes
    down, witness = founders[:2]
    up = founders[1:]
    address = joiner.public["operator_address"]
    say_yes = f"--key {operator(down)} " + " ".join(f"--voter {operator(each)}" for each in up)
    key = f"--consensus-key {key_of(joiner)} --proof {joiner.public['proof']}"
    site.do(f"validator register --key {operator(joiner)} {key} --stake 1")

    joined = site.decide(f"validator add {address} {say_yes}")
    site.mesh.until_heights(site.mesh.nodes, joined)
    down.kill()
    site.mesh.grow([*up, joiner], 3)

    shown = site.do(f"validator show {address}")
    assert (shown["status"], shown["seat"], shown["power"]) == ("active", "admitted", 1)
    for height in site.newest(witness):
        assert site.signers(witness, height) == {key_of(node) for node in [*up, joiner]}

    removed = site.decide(f"validator remove {address} {say_yes}")
    site.mesh.until_heights([*up, joiner], removed)
    site.mesh.grow([*up, joiner], 3)

    shown = site.do(f"validator show {address}")
    assert (shown["status"], shown["seat"], shown["power"]) == ("candidate", "removed", 0)
    for height in range(1, site.mesh.top([witness]) + 1):
        if joined < height <= removed:
            continue
        assert key_of(joiner) not in site.signers(witness, height), height
        assert key_of(joiner) != site.block(witness, height)["proposer"], height


@pytest.mark.proves("E8")
def test_a_rotated_key_takes_over_with_the_epoch(
    site_of: Callable[..., Site], tmp_path: Path
) -> None:
    """Each block to the epoch's end has the old key's vote, and each behind it the new one's.

    Of three voters all are needed, so a chain that goes on has missed no vote of either key; that
    is why it needs `--force`.
    """
    site = site_of()
    rotating, *others, down = site.mesh.nodes
    down.kill()
    made = keymaking.make(tmp_path / "new", role="validator", hrp=HRP, chain_id=CHAIN_ID)
    new = tmp_path / "new"
    told = site.do(
        f"validator rotate --key {operator(rotating)} --consensus-key {new}/{CONSENSUS_KEY} --force"
    )
    last = site.until_epoch([rotating, *others], told)

    rotating.stop()
    keys = rotating.folder / "keys"
    for name in (CONSENSUS_KEY, SIGN_STATE):
        (keys / name).rename(keys / f"{name}.until-{last}")
        shutil.copy(new / name, keys / name)
    rotating.start()
    site.mesh.until_heights([rotating, *others], last + EPOCH + 2)

    for height in range(told["height"], site.mesh.top(others) + 1):
        found = site.signers(others[0], height)
        assert (key_of(rotating) in found) == (height <= last), height
        assert (made["consensus_key"] in found) == (height > last), height
    assert site.do(f"validator show {rotating.name}")["key"] == made["consensus_key"]


@pytest.mark.nightly
def test_who_is_away_is_jailed_and_asks_for_its_vote_again(
    site_of: Callable[..., Site], eventually: Callable[..., None]
) -> None:
    """It has no vote from the next epoch on, nothing is slashed, and it is needed again later."""
    rules = {"absence_window_blocks": 20, "absence_missed_bps": 5_000, "jail_blocks": 5}
    site = site_of(rules)
    away, *others = site.mesh.nodes
    address = away.public["operator_address"]

    def told() -> list[Any]:
        return [site.mesh.read(node, f"/state/validators/{address}") for node in others]

    away.kill()
    eventually(
        "an absent validator in jail", lambda: {row["status"] for row in told()} == {"jailed"}
    )
    eventually("an epoch without its vote", lambda: {row["power"] for row in told()} == {0})
    (jailed, *_) = told()
    assert (jailed["jailed_for"], jailed["bonded"]) == ("absence", "1000000")

    away.start()
    site.mesh.until_heights(site.mesh.nodes, jailed["jailed_until"] + 1)
    asked = site.do(f"validator unjail --key {operator(away)}")
    last = site.until_epoch(site.mesh.nodes, asked)
    others[0].kill()
    needed = [away, *others[1:]]
    site.mesh.grow(needed, 3)

    witness = others[1]
    assert site.mesh.top([witness]) > last
    for height in site.newest(witness):
        assert site.signers(witness, height) == {key_of(node) for node in needed}
