"""Signed releases with a planted bug on real hosts: the scenario named for it turns red."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_mesh import LabMesh, deployed

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.suites import catalogue, playing
from aitbc_toolkit.suites.verdicts import Verdict, exit_of

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

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
