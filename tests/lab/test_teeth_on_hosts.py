"""Signed releases with a planted bug on real hosts: the scenario named for it turns red."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_mesh import LabMesh, deployed
from planted_by_hand import planting

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.rollback import rollback
from aitbc_toolkit.suites import catalogue, collecting, playing, sniffing
from aitbc_toolkit.suites.verdicts import Verdict, exit_of

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

MINORITY = "partition/minority"
MAIN = "node/aitbc_node/__main__.py"
HONEST = 'if __name__ == "__main__":\n    sys.exit(main())\n'
PLANTED = """\
if __name__ == "__main__":
    from aitbc_sim import live_bugs

    with live_bugs.planted("BUG"):
        sys.exit(main())
"""


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabMesh]:
    """Give each test a mesh of its own: what a bug has done to it does not heal."""
    with deployed(tmp_path_factory, "t") as mesh:
        yield mesh


def release_with(made: LabMesh, bug: str) -> None:
    """Deploy the present release with one bug in it, to every host."""
    made.git("checkout", "--quiet", "HEAD", "--", MAIN)
    path = made.checkout / MAIN
    text = path.read_text(encoding="utf-8")
    honest = made.git("show", f"HEAD:{MAIN}")
    assert honest.rstrip() == text.rstrip()
    assert text.count(HONEST) == 1, "the node begins in another way"
    path.write_text(text.replace(HONEST, PLANTED.replace("BUG", bug)), encoding="utf-8")
    made.commit(f"planted: {bug}")
    done = made.deploy()
    path.write_text(text, encoding="utf-8")
    made.commit(f"healed: {bug}")
    assert done.exit is Exit.OK, done.error


@pytest.mark.parametrize(
    ("bug", "scenario", "verdict"),
    [
        ("never-redial", "partition/minority", Verdict.LIVENESS),
        ("accept-2f-votes", "partition/quorum-loss[5s]", Verdict.SAFETY),
    ],
)
def test_a_release_with_a_bug_turns_its_scenario_red(
    made: LabMesh, tmp_path: Path, bug: str, scenario: str, verdict: Verdict
) -> None:
    """It deploys, since it works; only what it promises under a fault is broken, and is named."""
    release_with(made, bug)

    status = playing.play_parts(
        made.environment, catalogue.parts(scenario), scenario, folder=tmp_path, seed=5
    )

    told = json.loads((tmp_path / "verdict.json").read_text())
    assert (status, told["verdict"]) == (exit_of(verdict), verdict), told


def test_a_bug_by_hand_is_found_and_taken_back(made: LabMesh, tmp_path: Path) -> None:
    """As the README says it: passes, is red on the bug, and passes again behind a rollback.

    The bug leaves one of four behind, without which nobody else may be taken down: it goes first.
    """

    def played(name: str) -> Exit:
        folder = tmp_path / name
        folder.mkdir()
        parts = catalogue.parts(MINORITY)
        return playing.play_parts(made.environment, parts, MINORITY, folder=folder, seed=5)

    before = played("before")
    subprocess.run(planting(), cwd=made.checkout, check=True)
    made.commit("a bug")
    done = made.deploy()
    assert done.exit is Exit.OK, done.error
    with_bug = played("with-bug")
    with Mesh(made.environment) as mesh:
        votes = voting(made.environment, mesh.statuses())
    (silent,) = {each.name for each in made.environment.validators} - {*votes}
    made.records.clear()
    back = rollback(made.environment, made.records.append)

    assert back.exit is Exit.OK, back.error
    told = [each for each in made.records if each["type"] == "wave" and each["state"] == "begin"]
    waves = [each["nodes"] for each in told]
    assert (waves[0], sorted(waves)) == ([silent], [["v1"], ["v2"], ["v3"], ["v4"]])
    red = exit_of(Verdict.LIVENESS)
    assert (before, with_bug, played("behind")) == (Exit.OK, red, Exit.OK)
    [kept] = (tmp_path / "with-bug" / collecting.FOLDER).iterdir()
    assert (kept / collecting.MISSING).read_text() == ""
    packets = [path.stat().st_size for path in kept.glob("*.pcap")]
    assert len(packets) == len(made.environment.hosts)
    assert all(size > len(sniffing.HEADER) for size in packets)
    assert sum(packets) <= 5_000_000
