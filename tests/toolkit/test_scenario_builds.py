"""What a scenario has deployed, and what it makes of how the deployer ended."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.suites.scenario import live_builds
from aitbc_toolkit.suites.scenario.live_builds import FAILS, MAIN, LiveDeployer
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

NAMES = ("v1", "v2")


def git(checkout: Path, *words: str) -> str:
    """Run git, as the author of commits."""
    who = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
    argv = ["git", "-C", str(checkout), *who, *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


class Site:
    """Be a mesh that runs whatever was deployed to it last, if that ended well."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = [git(root, "rev-parse", "HEAD")]
        self.ends = Exit.OK
        self.seen: list[tuple[Path, str, str]] = []
        self.parents: list[str] = []

    def ask_all(self, _question: Callable[..., Any]) -> dict[str, Any]:
        return {name: SimpleNamespace(commit=self.runs[-1]) for name in NAMES}

    def deploy(self, _environment: Any, request: Any, _tell: Any) -> Outcome:
        commit = git(request.checkout, "rev-parse", "HEAD")
        self.seen.append((request.checkout, commit, (request.checkout / MAIN).read_text()))
        self.parents.append(git(request.checkout, "rev-parse", "HEAD~"))
        if self.ends is Exit.OK:
            self.runs.append(commit)
        return Outcome(self.ends, ["planted"], error="planted", took_s=1.0)

    def rollback(self, _environment: Any, _tell: Any) -> Outcome:
        if self.ends is Exit.OK:
            self.runs.append(self.runs[-2])
        return Outcome(self.ends, ["planted"], error="planted", took_s=1.0)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Be a checkout with a node in it, from which a mesh was deployed."""
    root = tmp_path / "checkout"
    (root / MAIN).parent.mkdir(parents=True)
    (root / MAIN).write_text("works\n")
    git(root.parent, "init", "--quiet", str(root))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    made = Site(root)
    monkeypatch.setattr(paths, "project_root", lambda: root)
    monkeypatch.setattr(live_builds, "deploy", made.deploy)
    monkeypatch.setattr(live_builds, "rollback", made.rollback)
    return made


def deployer(site: Site) -> Any:
    """Be whoever deploys there; nothing is told."""
    made: Any = LiveDeployer
    return made(None, site, SimpleNamespace(event=lambda *_, **__: None))


def test_a_newer_commit_is_deployed_and_the_checkout_is_left_alone(site: Site) -> None:
    """It is an empty one on top of what runs, in a clone that is gone afterwards."""
    before = git(site.root, "rev-parse", "HEAD")

    told = deployer(site).upgrade(NAMES, None)

    ((checkout, commit, node),) = site.seen
    assert (site.runs, node) == ([before, commit], "works\n")
    assert told.startswith(f"{before[:12]} to {commit[:12]}")
    assert not checkout.exists()
    assert git(site.root, "rev-parse", "HEAD") == before
    assert git(site.root, "status", "--porcelain") == ""


def test_back_and_a_bad_one(site: Site) -> None:
    """What ran before runs again; a release that does not start is one, and is stopped."""
    before = site.runs[0]
    made = deployer(site)
    made.upgrade(NAMES, None)
    made.rollback(NAMES, None)
    site.ends = Exit.ROLLED_BACK

    told = made.fail(NAMES, None)

    assert site.runs[-1] == before
    assert site.seen[-1][2] == FAILS
    assert "was stopped" in told


def test_a_bad_one_comes_on_top_of_the_newer_one(site: Site) -> None:
    """The checkout has never had the newer one: it is made again, as the very same commit."""
    made = deployer(site)
    made.upgrade(NAMES, None)
    newer, site.ends = site.runs[-1], Exit.ROLLED_BACK

    made.fail(NAMES, None)

    assert site.parents[-1] == newer
    assert site.runs[-1] == newer


def test_a_bad_one_may_be_refused_before_anything_is_changed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gates before the first node stop it, too; any other failure of a deploy says nothing."""
    why = [
        AitbcError("not compatible", hint="", exit_status=Exit.REFUSED),
        AitbcError("no host answers", hint="", exit_status=Exit.UNREACHABLE),
    ]

    def refuse(*_: Any) -> Outcome:
        raise why.pop(0)

    monkeypatch.setattr(live_builds, "deploy", refuse)

    assert "was stopped, exit 20" in deployer(site).fail(NAMES, None)
    with pytest.raises(AitbcError, match="no host answers"):
        deployer(site).fail(NAMES, None)


@pytest.mark.parametrize(
    ("act", "ends", "verdict", "said"),
    [
        ("upgrade", Exit.ROLLED_BACK, Verdict.LIVENESS, "planted"),
        ("rollback", Exit.ROLLED_BACK, Verdict.LIVENESS, "planted"),
        ("fail", Exit.MIXED, Verdict.LIVENESS, "it was not taken back: exit 22"),
        ("fail", Exit.OK, Verdict.SAFETY, "does not start, and was deployed"),
    ],
)
def test_a_deployer_that_does_otherwise_is_red(
    site: Site, act: str, ends: Exit, verdict: Verdict, said: str
) -> None:
    """A good release that does not come, or a bad one that stays."""
    made = deployer(site)
    if act == "rollback":
        made.upgrade(NAMES, None)
    site.ends = ends

    with pytest.raises(ScenarioError) as ended:
        getattr(made, act)(NAMES, None)

    assert (ended.value.verdict, said in ended.value.why) == (verdict, True), ended.value.why


@pytest.mark.parametrize("runs", ["0" * 40, "newer"])
def test_a_way_back_ends_at_the_release_before(
    site: Site, monkeypatch: pytest.MonkeyPatch, runs: str
) -> None:
    """A rollback that says it went well, and left another commit or the same one, is red."""
    made = deployer(site)
    made.upgrade(NAMES, None)

    def astray(_environment: Any, _tell: Any) -> Outcome:
        site.runs.append(site.runs[-1] if runs == "newer" else runs)
        return Outcome(Exit.OK, [], took_s=1.0)

    monkeypatch.setattr(live_builds, "rollback", astray)
    with pytest.raises(ScenarioError, match=r"back from .* runs$") as ended:
        made.rollback(NAMES, None)

    assert ended.value.verdict is Verdict.LIVENESS


def test_a_way_back_from_what_was_there_already_shows_nothing(site: Site) -> None:
    """Nobody knows what should run then; nothing is rolled back."""
    with pytest.raises(ScenarioError, match="nothing newer was deployed") as ended:
        deployer(site).rollback(NAMES, None)

    assert ended.value.verdict is Verdict.INVALID
    assert len(site.runs) == 1


def test_a_release_that_this_checkout_has_not_is_infrastructure(site: Site) -> None:
    """Nothing newer can be made on top of it; nothing is deployed."""
    site.runs = ["0" * 40]

    with pytest.raises(ScenarioError) as ended:
        deployer(site).upgrade(NAMES, None)

    assert ended.value.verdict is Verdict.INFRA
    assert site.seen == []
