"""On real hosts: what the lab's release key signed is deployed, anything else is refused there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_mesh import LabMesh, deployed
from signed_work import a_key

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import audit

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabMesh]:
    """Give the tests of this file one mesh; each goes on from the commit of the one before."""
    with deployed(tmp_path_factory, "t") as made:
        yield made


def test_every_host_verifies_the_lab_s_own_signature(trusted: LabMesh) -> None:
    """The mirror of each host holds the signed tag, and the audit log says what was verified."""
    commit = trusted.git("rev-parse", "HEAD")
    mirror = f"/opt/aitbc/lab-{trusted.name}/repo.git"
    tag = f"rel/lab-{trusted.name}/1"

    for host in ("lab1", "lab2", "lab3", "lab4"):
        named = trusted.on(host, "git", f"--git-dir={mirror}", "rev-parse", f"{tag}^{{commit}}")
        assert named.strip() == commit

    records, findings = audit.check(audit.path_of(trusted.environment))
    assert findings == []
    entry = records[-1].entry
    assert (entry.subject, entry.level, entry.rule) == (commit, "trusted", "forge")
    assert entry.reason.startswith(f"tag {tag} is signed by release@lab-{trusted.name}")
    assert entry.reason.endswith("verified on 4 hosts")


@pytest.mark.proves("D2")
def test_a_stranger_s_signature_is_refused_by_every_host(trusted: LabMesh, tmp_path: Path) -> None:
    """Status 20, nothing of the commit is on a host, and the mesh runs what it ran.

    One host's mirror is told to use a verifier that always says yes: it refuses like the others.
    """
    before = trusted.commits()
    mirror = f"--git-dir=/opt/aitbc/lab-{trusted.name}/repo.git"
    trusted.on("lab1", "git", mirror, "config", "gpg.ssh.program", "/bin/true")
    stranger = a_key(tmp_path, "stranger")
    own = trusted.environment.folder / "release.key"
    kept = {each: each.read_bytes() for each in (own, own.with_name("release.key.pub"))}
    trusted.git("commit", "--quiet", "--allow-empty", "--message", "not ours")
    commit = trusted.git("rev-parse", "HEAD")
    own.write_bytes(stranger.read_bytes())
    own.with_name("release.key.pub").write_bytes(stranger.with_suffix(".pub").read_bytes())

    with pytest.raises(AitbcError, match="not signed by a key that") as caught:
        trusted.deploy()
    for path, content in kept.items():
        path.write_bytes(content)

    assert caught.value.exit_status is Exit.REFUSED
    assert [line.split()[0] for line in caught.value.message.splitlines()[1:5]] == [
        *("lab1", "lab2", "lab3", "lab4")
    ]
    releases = trusted.on("lab1", "ls", f"/opt/aitbc/lab-{trusted.name}/releases").split()
    assert commit not in releases
    assert trusted.commits() == before


def test_the_right_key_makes_the_same_commit_deployable(trusted: LabMesh) -> None:
    """The refused commit lies in the mirrors already; with a good tag it is taken."""
    commit = trusted.git("rev-parse", "HEAD")

    done = trusted.deploy()

    assert done.exit is Exit.OK, done.error
    assert set(trusted.commits().values()) == {commit}
