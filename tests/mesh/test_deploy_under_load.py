"""A deploy and a rollback while payments go on: nothing is lost, and never are too many away."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from own_mesh import OwnMesh, bring_up
from power_samples import PERIOD_S, Samples, sampled

from aitbc_node import config, limits
from aitbc_node.crypto import SigningKey, peer_id
from aitbc_node.keyfiles import CONSENSUS_KEY, NODE_KEY, load_signer
from aitbc_node.ledger import document, transfers
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.records import RecordPut
from aitbc_node.rpc import schema
from aitbc_node.types import Amount
from aitbc_toolkit import keys, payments, wallet
from aitbc_toolkit.asking import MeshClient, open_mesh
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import history, state
from aitbc_toolkit.release.deploy import deploy
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.request import Choice
from aitbc_toolkit.release.rollback import rollback

pytestmark = pytest.mark.mesh

RATE = 20
GAP_MS_MAX = 2 * (limits.PROPOSE_TIMEOUT_MS + limits.VOTE_TIMEOUT_MS)
"""Twice the time in which a round without its proposer gives way to the next one."""
TRIES = 3


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnMesh]:
    """Four validators that are restarted one after the other."""
    with bring_up(tmp_path_factory.mktemp("load")) as mesh:
        profile = msgspec.structs.replace(mesh.environment.profile, rollout="serial")
        mesh.environment = replace(mesh.environment, profile=profile)
        yield mesh


def another_commit(checkout: Path) -> None:
    """Commit something that differs."""
    who = ["-c", "user.name=a tester", "-c", "user.email=tester@example.org"]
    more = ["commit", "--quiet", "--allow-empty", "--no-verify", "-m", "another"]
    subprocess.run(["git", "-C", str(checkout), *who, *more], check=True)


@dataclass(frozen=True)
class Changed:
    """How a deploy and a rollback under load ended, who voted meanwhile, what became of names."""

    done: Outcome
    back: Outcome
    samples: Samples
    names: Sequence[schema.TxView]

    @property
    def longest_gap_ms(self) -> int:
        """Give the longest time between two blocks of both."""
        return max(int(each.facts["longest_gap_ms"]) for each in (self.done, self.back))


def change_everything(serial: OwnMesh) -> Changed:
    """Restart every node twice, under payments, and while somebody takes names and reads."""
    another_commit(serial.request.checkout)
    with sampled(serial.environment) as samples, naming(serial) as names:
        done = deploy(serial.environment, replace(serial.request, load=RATE), serial.tell)
        back = rollback(serial.environment, serial.tell, load=RATE)
    return Changed(done, back, samples, names)


@contextmanager
def naming(serial: OwnMesh) -> Iterator[list[schema.TxView]]:
    """Put names on the ledger and read them back, one after the other, until the block ends."""
    found: list[schema.TxView] = []
    ended = threading.Event()
    # Before the deploy pays its senders from the same account: no nonce is taken twice.
    owner = _funded(serial)
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(_take_names, serial, owner, found, ended)
        try:
            yield found
        finally:
            ended.set()
            working.result()


def _funded(serial: OwnMesh) -> wallet.Wallet:
    """Make an account that can pay for names."""
    environment = serial.environment
    owner = wallet.Wallet(SigningKey(os.urandom(32)))
    faucet = wallet.Wallet(keys.read_faucet(environment.folder))
    funds = transfers.Transfer((transfers.Output(owner.account, NATIVE, Amount(10**9)),))
    with open_mesh(environment) as mesh:
        _settled(mesh, *payments.hand_in(environment, mesh, faucet, [funds]))
    return owner


def _take_names(
    serial: OwnMesh, owner: wallet.Wallet, found: list[schema.TxView], ended: threading.Event
) -> None:
    environment = serial.environment
    with open_mesh(environment) as mesh:
        while not ended.is_set():
            body = RecordPut("name", os.urandom(8), b"under load", 1_000)
            try:
                raw, tx_id = payments.hand_in(environment, mesh, owner, [body])
            except AitbcError:
                continue  # nobody took it, so nobody promised anything
            found.append(_settled(mesh, raw, tx_id))
            mesh.ask_all(lambda node: node.economics())


def _settled(mesh: MeshClient, raw: bytes, tx_id: str) -> schema.TxView:
    """Wait for the end of a transaction, also while for a moment no node answers."""
    until = time.monotonic() + 60
    while True:
        try:
            return mesh.wait(tx_id, deadline_s=60, raw=raw)
        except AitbcError:
            if time.monotonic() > until:
                raise


@pytest.fixture(scope="module")
def changed(serial: OwnMesh) -> Changed:
    """Restart every node twice, under load."""
    return change_everything(serial)


def holds_the_budget(samples: Samples, restarted: Sequence[str]) -> None:
    """Require that the others had a quorum in every sample, and that each restart was seen."""
    assert samples.too_many() == []
    assert samples.seen_away == set(restarted), "or the samples do not see what happens"
    assert samples.period_s < 3 * PERIOD_S, "too few looks to claim anything"


def test_check_01_no_sample_of_a_deploy_finds_more_power_down_than_the_mesh_can_spare(
    changed: Changed,
) -> None:
    """Looked at every 200 ms during a deploy and a rollback: at most one of four does not vote."""
    holds_the_budget(changed.samples, changed.done.changed)


@pytest.mark.nightly
def test_check_01_seven_validators_never_lose_more_than_two(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The same with seven; and the samples do see a mesh whose nodes restart all at once.

    In CI the test of four stands for it.
    """
    with bring_up(tmp_path_factory.mktemp("seven"), validators=7, rollout="serial") as mesh:
        another_commit(mesh.request.checkout)
        with sampled(mesh.environment) as samples:
            done = deploy(mesh.environment, mesh.request, mesh.tell)
        profile = msgspec.structs.replace(mesh.environment.profile, rollout="all")
        another_commit(mesh.request.checkout)
        with sampled(mesh.environment) as careless:
            deploy(replace(mesh.environment, profile=profile), mesh.request, mesh.tell)

    assert done.exit is Exit.OK, done.error
    holds_the_budget(samples, done.changed)
    assert careless.too_many()


def test_check_26_a_deploy_and_a_rollback_under_load_lose_nothing(
    serial: OwnMesh, changed: Changed
) -> None:
    """Every node is restarted under payments: all accepted ones are final; it is on record."""
    done, back = changed.done, changed.back

    for outcome in (done, back):
        assert outcome.exit is Exit.OK, outcome.error
        assert len(outcome.changed) == 4
        load = outcome.facts["load"]
        assert load["accepted"] >= RATE, json.dumps(load)
        assert (load["lost"], load["open"], load["expired"], load["rejected"]) == (0, 0, 0, 0), load
        assert load["final"] == load["sent"] == load["accepted"]
        lost = f"  lost transactions  0 of {load['accepted']:,} accepted"
        assert lost in outcome.lines
        assert outcome.facts["longest_gap_ms"] > 0
        assert outcome.facts["extra_rounds"] >= 0
    kept = history.read(serial.environment)[-1]
    assert kept.figures["load"] == back.facts["load"]
    without = deploy(serial.environment, serial.request, serial.tell)
    assert without.exit is Exit.OK, without.error
    assert "load" not in without.facts
    assert not any("lost" in line for line in without.lines)


@pytest.mark.proves("D16")
def test_check_26_blocks_keep_coming_while_every_node_is_restarted_under_load(
    serial: OwnMesh, changed: Changed
) -> None:
    """Once of three no gap beyond two failed rounds; never is one lost, or more than one away.

    A shared machine may hold every process back for longer than that, so the gap alone has three
    tries.
    """
    for _ in range(TRIES):
        assert changed.samples.too_many() == []
        assert changed.samples.seen_away == set(changed.done.changed)
        for outcome in (changed.done, changed.back):
            assert outcome.exit is Exit.OK, outcome.error
            load = outcome.facts["load"]
            assert load["final"] == load["sent"] == load["accepted"] >= RATE, load
        assert changed.names
        assert {each.status for each in changed.names} == {"committed"}
        if changed.longest_gap_ms <= GAP_MS_MAX:
            return
        changed = change_everything(serial)
    pytest.fail(f"{changed.longest_gap_ms} ms between two blocks, {TRIES} times above {GAP_MS_MAX}")


@pytest.mark.proves("A22")
def test_peer_lists_and_genesis_hold_the_keys_that_lie_on_the_hosts(serial: OwnMesh) -> None:
    """Read from the key files themselves: whom each node dials, and who the validators are."""
    nodes = serial.environment.instances
    ids = {
        each.name: peer_id(load_signer(Path(each.paths.keys) / NODE_KEY).public_key).hex()
        for each in nodes
    }
    keys = {load_signer(Path(each.paths.keys) / CONSENSUS_KEY).public_key for each in nodes}

    for each in nodes:
        folder = Path(each.paths.config)
        dialled = config.parse((folder / "node.toml").read_text(), folder / "node.toml").p2p
        genesis = document.from_json((folder / "genesis.json").read_text())
        assert {peer.id for peer in dialled.bootstrap} == {*ids.values()} - {ids[each.name]}
        assert {entry.key for entry in genesis.validators} == keys


def test_check_01_with_one_validator_down_a_deploy_of_another_is_refused_with_the_sum(
    serial: OwnMesh,
) -> None:
    """Three of four are just enough: none of them may be restarted, and nothing is touched.

    A deploy of all would begin with the one that is down, which costs no vote.
    """
    serial.stop("v4")
    before = [(row.name, row.release, row.service) for row in state.look(serial.environment).nodes]
    another_commit(serial.request.checkout)
    only_v1 = replace(serial.request, choice=Choice(only=("v1",)))

    with pytest.raises(AitbcError) as refused:
        deploy(serial.environment, only_v1, serial.tell)

    after = [(row.name, row.release, row.service) for row in state.look(serial.environment).nodes]
    assert refused.value.exit_status is Exit.REFUSED
    assert "  not voting       v4" in refused.value.message.splitlines()
    assert "3*2 = 6 <= 2*4 = 8" in refused.value.message
    assert after == before
