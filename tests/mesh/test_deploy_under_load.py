"""A deploy and a rollback while payments go on: nothing that was accepted is lost."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from own_mesh import OwnMesh, bring_up

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import history
from aitbc_toolkit.release.deploy import deploy
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


def test_check_26_a_deploy_and_a_rollback_under_load_lose_nothing(serial: OwnMesh) -> None:
    """Every node is restarted under payments: all accepted ones are final; it is on record."""
    another_commit(serial.request.checkout)

    done = deploy(serial.environment, replace(serial.request, load=RATE), serial.tell)
    back = rollback(serial.environment, serial.tell, load=RATE)

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
