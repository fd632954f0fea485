"""Bad releases of the real node: each is stopped at wave 1 or before it, named, and leaves nothing.

The mesh makes blocks throughout; the exit code and the words say which kind it was.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bad_releases
import pytest
from own_mesh import OwnMesh, bring_up
from power_samples import sampled
from signed_work import a_key, public

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import journal, state
from aitbc_toolkit.release.deploy import deploy
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.reading import Mesh, Pace, tip
from aitbc_toolkit.release.request import Choice

pytestmark = pytest.mark.mesh

# Two failed rounds; more than that is a mesh that has stopped.
_GAP_MS_MAX = 8_000

AT_WAVE_1: Mapping[bad_releases.Kind, str] = {
    "does not start": "planted: does not start",
    "starts and crashes": "keeps crashing",
    "answers but does not vote": "voted in 0 of 3 consecutive heights",
}
BEFORE_WAVE_1: Mapping[bad_releases.Kind, tuple[str, str]] = {
    "cannot read the data": ("  data version     ", "aitbc status dev"),
    "wrong genesis": ("  replay           ", "git diff"),
}


@dataclass(frozen=True)
class Deployed:
    """A mesh whose nodes change one at a time, and the clone that they come from."""

    mesh: OwnMesh

    @property
    def environment(self) -> Environment:
        return self.mesh.environment

    @property
    def checkout(self) -> Path:
        return self.mesh.request.checkout

    def deploy(self, ref: str) -> Outcome:
        return deploy(self.environment, replace(self.mesh.request, ref=ref), self.mesh.tell)

    def runs(self) -> dict[str, str | None]:
        """Tell which release each node has, by its host."""
        return {row.name: row.release for row in state.look(self.environment).nodes}

    def height(self) -> int:
        with Mesh(self.environment) as mesh:
            return tip(mesh.statuses())

    def pace(self, first: int) -> Pace:
        """Measure the blocks since a height."""
        with Mesh(self.environment) as mesh:
            found = mesh.pace(first, tip(mesh.statuses()))
        assert found is not None
        return found

    def evidence(self) -> dict[str, Any]:
        """Read what the newest failed wave left."""
        files = journal.folder_of(self.environment).glob("*/evidence/wave-1.json")
        newest = max(files, key=lambda path: path.stat().st_mtime_ns)
        found: dict[str, Any] = json.loads(newest.read_text())
        return found

    @contextmanager
    def live_and_as_before(self) -> Iterator[None]:
        """Hold a mesh to its blocks and its releases, whatever is tried with it."""
        good, height = self.runs(), self.height()
        yield
        assert self.runs() == good
        assert self.pace(height).longest_gap_ms <= _GAP_MS_MAX
        assert state.look(self.environment).votes == 4

    def fails_at_wave_1(self, bad: str) -> Outcome:
        """Deploy what is not going to stay; see that one node was tried and the others were not."""
        with self.live_and_as_before():
            failed = self.deploy(bad)
        assert failed.exit is Exit.ROLLED_BACK, failed.error
        assert "wave 1 of 4" in failed.error
        assert len([line for line in failed.lines if line.startswith("  never changed")]) == 1
        assert "aitbc node logs" in failed.hint
        return failed

    def is_refused(self, bad: str) -> AitbcError:
        """Deploy what is not even tried."""
        with self.live_and_as_before(), pytest.raises(AitbcError) as caught:
            self.deploy(bad)
        assert caught.value.exit_status is Exit.REFUSED
        return caught.value


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Deploy the committed state of this checkout, which later goes wave by wave."""
    with bring_up(tmp_path_factory.mktemp("bad"), rollout="serial") as made:
        yield Deployed(made)


def test_an_unsigned_release_is_refused_before_any_host_is_asked(
    mesh: Deployed, tmp_path: Path
) -> None:
    """Where dev mode ends, a commit that nobody has signed waits for reviewers."""
    trust = mesh.environment.inventories / "dev" / "trust.toml"
    dev_mode, key = trust.read_text(), a_key(tmp_path, "dora")
    bad = bad_releases.commit(mesh.checkout, "unsigned")
    signer = f'principal = "dora@example"\nkey = "{public(key)}"\nroles = ["operator"]\n'
    bad_releases.git(mesh.checkout, "config", "user.signingkey", str(key))
    trust.write_text(f"[[signers]]\n{signer}")

    try:
        refused = mesh.is_refused(bad)
    finally:
        trust.write_text(dev_mode)

    assert "pending approval" in refused.message
    assert "aitbc approve" in refused.hint


@pytest.mark.parametrize(
    "kind",
    ["cannot read the data", pytest.param("wrong genesis", marks=pytest.mark.nightly)],
)
def test_a_release_that_cannot_live_with_the_chain_is_refused_before_wave_1(
    mesh: Deployed, kind: bad_releases.Kind
) -> None:
    """Data that it cannot read, a chain that is not its own: tried on a copy, beside what runs."""
    words, hint = BEFORE_WAVE_1[kind]

    refused = mesh.is_refused(bad_releases.commit(mesh.checkout, kind))

    assert words in refused.message, refused.message
    assert hint in refused.hint
    assert "changed so far   nothing that runs, on no host" in refused.message


@pytest.mark.proves("E51")
@pytest.mark.parametrize("kind", AT_WAVE_1)
@pytest.mark.nightly
def test_check_04_health_is_participation(mesh: Deployed, kind: bad_releases.Kind) -> None:
    """An open port that answers 200 is no vote, and a unit that is up at one look is not well."""
    failed = mesh.fails_at_wave_1(bad_releases.commit(mesh.checkout, kind))

    assert AT_WAVE_1[kind] in failed.error, failed.error


@pytest.mark.nightly
def test_check_05_another_state_root_is_stopped_after_wave_1(mesh: Deployed) -> None:
    """Height, roots and commits of every node are kept; the fleet is on the release before."""
    bad = bad_releases.commit(mesh.checkout, "another state root")

    failed = mesh.fails_at_wave_1(bad)

    kept = mesh.evidence()
    assert "roots are not those of its execution" in failed.error
    [other] = kept["failed"]
    assert kept["nodes"][other]["commit"] == bad
    assert f"state root {'00' * 32} here" in kept["nodes"][other]["trouble"]
    assert len({node["state_root"] for node in kept["nodes"].values()}) == 1, "of the last common"


@pytest.mark.nightly
def test_check_18_slow_finality_behind_green_hosts_goes_back(mesh: Deployed) -> None:
    """Every node votes and answers; the blocks of the new release come late, and it is said so."""
    bad = bad_releases.commit(mesh.checkout, "slow")

    failed = mesh.fails_at_wave_1(bad)

    assert "finality is slow" in failed.error


@pytest.mark.nightly
def test_check_16_a_drained_restart_costs_at_most_one_round(mesh: Deployed) -> None:
    """Measured by the rounds of all blocks of a deploy that restarts every node."""
    new = bad_releases.commit(mesh.checkout, "unsigned")

    done = mesh.deploy(new)

    assert done.exit is Exit.OK, done.error
    assert len(done.changed) == 4
    assert done.facts["extra_rounds"] <= len(done.changed)


@pytest.mark.nightly
def test_check_16_a_restart_that_ends_before_the_own_turn_costs_no_round(tmp_path: Path) -> None:
    """With blocks slow enough, a drained node is back before it has to propose again."""
    interval_ms = 3000
    with bring_up(tmp_path, rollout="serial", interval_ms=interval_ms) as made:
        new = bad_releases.commit(made.request.checkout, "unsigned")
        request = replace(made.request, ref=new, choice=Choice(only=("v2",)))

        done = deploy(made.environment, request, made.tell)

    assert done.exit is Exit.OK, done.error
    assert done.facts["undrained"] == []
    assert done.facts["restart_ms"] < 3 * interval_ms, "the time to the own turn of four"
    assert done.facts["extra_rounds"] == 0


@pytest.mark.nightly
@pytest.mark.proves("E47")
@pytest.mark.proves("E51")
def test_a_release_whose_smoke_suite_fails_goes_back_by_itself(mesh: Deployed) -> None:
    """It votes in every wave and takes no payment: all return, one at a time, on a live mesh.

    In CI stand-in nodes do: `test_a_mesh_that_is_not_proved_goes_back_one_node_at_a_time`.
    """
    bad = bad_releases.commit(mesh.checkout, "takes no payments")

    with mesh.live_and_as_before(), sampled(mesh.environment) as samples:
        failed = mesh.deploy(bad)

    assert failed.exit is Exit.ROLLED_BACK, failed.error
    assert "[no-quorum]" in failed.error
    assert samples.too_many() == []
    assert samples.seen_away == {"v1", "v2", "v3", "v4"}
