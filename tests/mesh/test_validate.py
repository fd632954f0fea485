"""What `aitbc validate` says of a live mesh comes from trying: sound it passes, harmed it fails."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_mesh import OwnMesh, bring_up

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import validating
from aitbc_toolkit.release.validating import Validation

pytestmark = pytest.mark.mesh


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnMesh]:
    """Deploy the committed state of this checkout to four nodes on ports of their own."""
    with bring_up(tmp_path_factory.mktemp("validate")) as found:
        yield found


def told(found: Validation) -> dict[str, tuple[str, str]]:
    """Map each item to its state and its evidence."""
    return {each.item: (each.state, each.evidence) for each in found.checks}


@pytest.mark.proves("E56")
def test_a_sound_mesh_is_fit_after_a_deploy_and_in_its_pace(mesh: OwnMesh) -> None:
    """Votes, roots, drift and transfers, then the newest blocks against the promised interval."""
    after = validating.validate(mesh.environment, "post")
    pace = validating.validate(mesh.environment, "bench")

    assert after.exit is Exit.OK, after.failed
    assert told(after)["votes"] == ("pass", "4 of 4 vote")
    assert set(told(after)) == {"votes", "state roots", "drift", "smoke"}
    assert set(told(pace)) == {"block interval", "extra rounds", "finality"}
    assert "promised 300 ms" in told(pace)["block interval"][1]


@pytest.mark.proves("E56")
def test_the_doors_of_a_sound_mesh_are_closed(mesh: OwnMesh) -> None:
    """Listeners, admin routes, links, key files and command lines, each tried on every node."""
    found = validating.validate(mesh.environment, "security")

    assert found.exit is Exit.OK, found.failed
    items = told(found)
    for name in ("v1", "v2", "v3", "v4"):
        assert items[f"{name} admin without token"] == ("pass", "refused with 401")
        assert items[f"{name} links"][0] == "pass"
        assert "secrets in none of" in items[f"{name} secrets in argv"][1]
        assert items[f"{name} unit hardening"][0] == "n.a."


@pytest.mark.proves("E56")
def test_each_open_door_is_found(mesh: OwnMesh) -> None:
    """A readable key, a secret in a command line and a dead node: each fails by itself."""
    keys = Path(mesh.environment.instance("v1").paths.keys)
    token = (keys / "admin.token").read_text().strip()
    (keys / "consensus.key").chmod(0o644)
    mesh.stop("v3")
    waits = [sys.executable, "-c", "input()", token]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as shown:
        try:
            found = validating.validate(mesh.environment, "security")
        finally:
            shown.kill()
    after = validating.validate(mesh.environment, "post")

    (keys / "consensus.key").chmod(0o600)
    failed = {each.item: each.evidence for each in found.failed}
    assert found.exit is Exit.FAILED
    assert failed["v1 key files"] == "consensus.key has mode 644"
    assert failed["v1 secrets in argv"] == f"admin.token is in cmdline of process {shown.pid}"
    assert failed["v3 service"] == "the node does not run (stopped)"
    assert token not in str(found.to_document())
    assert {each.item for each in after.failed} >= {"votes", "drift"}
