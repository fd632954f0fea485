"""A deploy and a rollback while payments go on: nothing is lost, and never are too many away."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from own_mesh import OwnMesh, bring_up
from power_samples import PERIOD_S, Samples, sampled

from aitbc_node import config
from aitbc_node.crypto import peer_id
from aitbc_node.keyfiles import CONSENSUS_KEY, NODE_KEY, load_signer
from aitbc_node.ledger import document
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import history, state
from aitbc_toolkit.release.deploy import deploy
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.request import Choice
from aitbc_toolkit.release.rollback import rollback

pytestmark = pytest.mark.mesh

RATE = 20


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnMesh]:
    """Four validators that are restarted one after the other."""
    with bring_up(tmp_path_factory.mktemp("load")) as mesh:
        profile = mesh.environment.profile.model_copy(update={"rollout": "serial"})
        mesh.environment = replace(mesh.environment, profile=profile)
        yield mesh


def another_commit(checkout: Path) -> None:
    """Commit something that differs."""
    who = ["-c", "user.name=a tester", "-c", "user.email=tester@example.org"]
    more = ["commit", "--quiet", "--allow-empty", "--no-verify", "-m", "another"]
    subprocess.run(["git", "-C", str(checkout), *who, *more], check=True)


@dataclass(frozen=True)
class Changed:
    """How a deploy and a rollback under load ended, and who voted meanwhile."""

    done: Outcome
    back: Outcome
    samples: Samples


@pytest.fixture(scope="module")
def changed(serial: OwnMesh) -> Changed:
    """Restart every node twice, under payments."""
    another_commit(serial.request.checkout)
    with sampled(serial.environment) as samples:
        done = deploy(serial.environment, replace(serial.request, load=RATE), serial.tell)
        back = rollback(serial.environment, serial.tell, load=RATE)
    return Changed(done, back, samples)


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
        profile = mesh.environment.profile.model_copy(update={"rollout": "all"})
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
