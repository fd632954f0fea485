"""A build that the running ones would not understand never reaches a node; all builds are real."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_mesh import OwnMesh, bring_up

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import history, state
from aitbc_toolkit.release import services as services_of
from aitbc_toolkit.release.deploy import deploy
from aitbc_toolkit.release.finalizing import finalize
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.rollback import rollback
from aitbc_toolkit.remote import Hosts

pytestmark = pytest.mark.mesh


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnMesh]:
    """Deploy the committed state of this checkout to four nodes on ports of their own."""
    with bring_up(tmp_path_factory.mktemp("compatible")) as found:
        yield found


def a_commit(mesh: OwnMesh, file: str = "", *, before: str = "", after: str = "") -> str:
    """Commit the first build, with one text of one file replaced; return the commit."""
    checkout = mesh.request.checkout

    def git(*words: str) -> str:
        identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
        argv = ["git", "-C", str(checkout), *identity, *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    git("checkout", "--quiet", "--detach", "origin/HEAD")
    if file:
        path = checkout / "node" / "aitbc_node" / file
        text = path.read_text()
        assert before in text, f"{file} has no {before}"
        path.write_text(text.replace(before, after))
    git(
        "commit",
        "--quiet",
        "--all",
        "--allow-empty",
        "--message",
        f"a change of {file or 'nothing'}",
    )
    return git("rev-parse", "HEAD")


def services(mesh: OwnMesh) -> dict[str, int]:
    """Read the process of every node."""
    with Hosts(mesh.environment) as remote:
        told = Crew(mesh.environment, remote).glance()
    return {name: each["service"]["pid"] for name, each in told.items()}


def found(mesh: OwnMesh) -> str:
    """Read what the last deploy said of compatibility."""
    said = [each for each in mesh.records if each.get("step") == "compatible"]
    return str(said[-1]["text"])


def refused(mesh: OwnMesh) -> AitbcError:
    """Deploy what is not going to be taken; see that nothing was restarted."""
    before, runs = services(mesh), history.read(mesh.environment)

    with pytest.raises(AitbcError) as caught:
        deploy(mesh.environment, mesh.request, mesh.tell)

    assert services(mesh) == before
    assert history.read(mesh.environment) == runs, "no run was begun"
    assert state.look(mesh.environment).votes == 4
    assert caught.value.exit_status is Exit.REFUSED
    assert "changed so far   nothing that runs, on no host" in caught.value.message
    return caught.value


def test_two_builds_that_go_together_are_tried_once(mesh: OwnMesh) -> None:
    """The first deploy of a pair tries it and says so; the next one remembers."""
    nothing = found(mesh)
    a_commit(mesh)
    done = deploy(mesh.environment, mesh.request, mesh.tell)
    first = found(mesh)
    assert rollback(mesh.environment, mesh.tell).exit is Exit.OK
    deploy(mesh.environment, mesh.request, mesh.tell)
    second = found(mesh)

    assert done.exit is Exit.OK, done.error
    assert nothing == "skipped: nothing runs yet"
    assert first.startswith("wire ok, replay of ")
    assert "gives the same state root, handshake ok, data version known, on " in first
    assert " ms)" in first
    assert ", as localhost found at 20" in second
    data = [Path(each.paths.data) for each in mesh.environment.instances]
    assert all((each / "blocks.log").is_file() for each in data)
    assert not any((each / "run" / "compare").exists() for each in data)


@pytest.mark.parametrize(
    ("file", "before", "after", "says"),
    [
        ("gossip/messages.py", 'tag="ping"', 'tag="pinged"', "  wire             what the new"),
        ("blocks.py", "PROTOCOL_VERSION = 1", "PROTOCOL_VERSION = 2", "  handshake        the"),
    ],
)
def test_check_20_an_incompatible_wire_change_is_refused_before_wave_1(
    mesh: OwnMesh, file: str, before: str, after: str, says: str
) -> None:
    """What the old build cannot read is named; no process is another one."""
    a_commit(mesh, file, before=before, after=after)

    failure = refused(mesh)

    assert "is not compatible with" in failure.message
    assert says in failure.message
    assert "node/aitbc_node" in failure.hint


def test_check_20_another_state_root_is_caught_by_replay(mesh: OwnMesh) -> None:
    """The height and both roots are told; the wire of that build is fine."""
    a_commit(mesh, "ledger/trie.py", before='b"aitbc/leaf\\0"', after='b"aitbc/leaf2\\0"')

    failure = refused(mesh)

    assert "  replay           height 1: the network has root " in failure.message
    assert "this build computes" in failure.message
    assert "wire" not in failure.message
    assert "upgrade height" in failure.hint


@pytest.mark.nightly
def test_check_06_a_rollback_works_before_finalize_and_is_refused_after(mesh: OwnMesh) -> None:
    """A build that knows newer data: the way back is open until it is made final.

    In CI the refusal is shown by test_older_builds, without a mesh.
    """
    versions = "DATA_VERSIONS = DataVersions(oldest=FIRST, newest="
    a_commit(mesh, "storage/versions.py", before=f"{versions}1", after=f"{versions}2")
    assert deploy(mesh.environment, mesh.request, mesh.tell).exit is Exit.OK
    back = rollback(mesh.environment, mesh.tell)
    assert deploy(mesh.environment, mesh.request, mesh.tell).exit is Exit.OK
    mesh.stop("v4")
    with pytest.raises(AitbcError) as early:
        finalize(mesh.environment, mesh.tell)
    services_of.control(mesh.environment, "start", "v4", mesh.tell)

    done, again = (finalize(mesh.environment, mesh.tell) for _ in range(2))

    before = services(mesh)
    with pytest.raises(AitbcError) as late:
        rollback(mesh.environment, mesh.tell)
    assert back.exit is Exit.OK, back.error
    assert early.value.exit_status is Exit.REFUSED
    assert "v4               is not healthy" in early.value.message
    assert sorted(done.changed) == ["v1", "v2", "v3", "v4"]
    assert (done.facts["data_version"], again.changed) == (2, [])
    assert late.value.exit_status is Exit.REFUSED
    assert "its data are in version 2 since a finalize, that build reads 1 to 1" in (
        late.value.message
    )
    assert "aitbc deploy dev --ref" in late.value.hint
    assert services(mesh) == before
