"""Signed releases with a planted bug on real hosts: the scenario named for it turns red."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab_mesh import LabMesh, deployed
from planted_by_hand import planting

from aitbc_sim.live_bugs import FORK, LOSE, MINT_LATER
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.rollback import rollback
from aitbc_toolkit.remote import Hosts
from aitbc_toolkit.suites import catalogue, collecting, playing, sniffing
from aitbc_toolkit.suites.scenario import breaking
from aitbc_toolkit.suites.scenario.arena import Planned
from aitbc_toolkit.suites.scenario.breaking import Injector
from aitbc_toolkit.suites.verdicts import Verdict, exit_of

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

MINORITY = "partition/minority"
MAIN = "node/aitbc_node/__main__.py"
HONEST = 'if __name__ == "__main__":\n    sys.exit(main())\n'
ASKED = "/run/aitbc-asked"
"""A file on a host; without it, bugs that have to be asked for stay asleep, also for the gate."""
PLANTED = f"""\
if __name__ == "__main__":
    from aitbc_sim import live_bugs

    with live_bugs.planted("BUG", asked_from=live_bugs.written_in(Path("{ASKED}"))):
        sys.exit(main())
"""
AHEAD = 10
"""In so many blocks a bug begins on all hosts, that none has made before every host is asked."""


@pytest.fixture
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabMesh]:
    """Give each test a mesh of its own: what a bug has done to it does not heal."""
    with deployed(tmp_path_factory, "t") as mesh:
        yield mesh


def release_with(made: LabMesh, bug: str) -> None:
    """Deploy the present release with one bug in it, to every host."""
    done = deployed_with(made, bug)
    assert done.exit is Exit.OK, done.error


def deployed_with(made: LabMesh, bug: str) -> Outcome:
    """Try to deploy it; the clone is as it was afterwards.

    Raises: AitbcError (refused).
    """
    made.git("checkout", "--quiet", "HEAD", "--", MAIN)
    path = made.checkout / MAIN
    text = path.read_text(encoding="utf-8")
    honest = made.git("show", f"HEAD:{MAIN}")
    assert honest.rstrip() == text.rstrip()
    assert text.count(HONEST) == 1, "the node begins in another way"
    path.write_text(text.replace(HONEST, PLANTED.replace("BUG", bug)), encoding="utf-8")
    made.commit(f"planted: {bug}")
    try:
        return made.deploy()
    finally:
        path.write_text(text, encoding="utf-8")
        made.commit(f"healed: {bug}")


def ask(made: LabMesh, hosts: list[str], height: int | str = "") -> None:
    """Wake a bug on some hosts, at a height; at once when none is said."""
    for host in hosts:
        made.on(host, "sh", "-c", f"printf %s '{height}' >{ASKED}.new && mv {ASKED}.new {ASKED}")
        assert made.on(host, "wc", "-c", ASKED).split()[:1] == [str(len(str(height)))]


def played(made: LabMesh, scenario: str, folder: Path, inject: Injector | None = None) -> Exit:
    """Play one scenario, and keep what it tells in a folder."""
    parts = catalogue.parts(scenario)
    environment = made.environment
    return playing.play_parts(environment, parts, scenario, folder=folder, seed=5, inject=inject)


def assert_broken(folder: Path, status: Exit, breach: str) -> None:
    """See that safety is broken, and that it is this invariant which says so."""
    told = json.loads((folder / "verdict.json").read_text())
    assert (status, told["verdict"]) == (exit_of(Verdict.SAFETY), Verdict.SAFETY), told
    [scene] = told["scenarios"]
    assert scene["invariants"][breach] == "broken", told


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

    status = played(made, scenario, tmp_path)

    told = json.loads((tmp_path / "verdict.json").read_text())
    assert (status, told["verdict"]) == (exit_of(verdict), verdict), told


def test_a_release_that_loses_blocks_in_a_crash_is_seen_to_go_back(
    made: LabMesh, tmp_path: Path
) -> None:
    """It is stopped in order while it is deployed, and loses none; killed, it does not know them.

    Every node comes up again, so nothing but the height tells of it.
    """
    release_with(made, LOSE)

    status = played(made, "crash/all-at-once", tmp_path)

    assert_broken(tmp_path, status, "height_monotone")
    assert all(made.commits().values()), "some node did not come back"


def test_a_release_that_forks_breaks_agreement(made: LabMesh, tmp_path: Path) -> None:
    """One host makes a block final that nobody else has, while another one's node is killed."""
    release_with(made, FORK)
    environment = made.environment
    forked: list[str] = []

    with Hosts(environment) as hosts:
        break_it = breaking.over(hosts)

        @contextmanager
        def forking(where: Environment, planned: Planned) -> Iterator[breaking.Told]:
            with break_it(where, planned) as told:
                spared = [each for each in where.validators if each.name not in planned.targets]
                forked.append(spared[0].host)
                ask(made, forked)
                yield told

        status = played(made, "crash/leader-kill[1]", tmp_path, forking)

    assert len(forked) == 1
    assert_broken(tmp_path, status, "agreement")


def test_a_release_that_mints_does_not_pass_the_gate(made: LabMesh) -> None:
    """The new build computes another root for a block that the network has; nothing is touched."""
    before = made.commits()

    with pytest.raises(AitbcError) as refused:
        deployed_with(made, "mint-one")

    assert refused.value.exit_status is Exit.REFUSED
    told = str(refused.value).splitlines()
    [why] = [line for line in told if line.strip().startswith("replay ")]
    assert "the network has root" in why
    assert "this build computes" in why
    assert made.commits() == before


def test_a_release_that_mints_later_breaks_the_supply(
    made: LabMesh, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """From a height on that the gate could not replay, every node mints: the roots are equal."""
    release_with(made, MINT_LATER)
    first = made.height() + AHEAD
    ask(made, [host.name for host in made.environment.hosts], first)
    assert made.height() < first, "some node may have made the block before it was asked"
    eventually(f"height {first}", lambda: made.height() >= first)

    status = played(made, "crash/leader-kill[1]", tmp_path)

    assert_broken(tmp_path, status, "supply_conserved")
    [scene] = json.loads((tmp_path / "verdict.json").read_text())["scenarios"]
    assert scene["invariants"]["state_root_equal"] == "held", scene


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
