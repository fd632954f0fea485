"""How do builds come to the nodes of a live mesh? With the toolkit's own deployer, and its gates.

The newer build is an empty commit on top of what runs, in a clone that is gone afterwards: the
checkout of whoever tests is left alone. Do not add what a deploy does.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from aitbc_toolkit import paths, shell
from aitbc_toolkit.asking import MeshClient, Silence
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import rotating
from aitbc_toolkit.release.deploy import Request, deploy
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.rollback import rollback
from aitbc_toolkit.suites.scenario.clock import Clock
from aitbc_toolkit.suites.timeline import Timeline
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

MAIN = Path("node") / "aitbc_node" / "__main__.py"
FAILS = 'raise SystemExit("a release that does not start, as a scenario wants it")\n'
NEWER = "scenario: a newer release"
_WHO = ("-c", "user.name=scenario", "-c", "user.email=scenario@localhost")
_SHORT = 12


class LiveDeployer:
    """Bring builds to nodes of a live mesh."""

    def __init__(self, environment: Environment, mesh: MeshClient, timeline: Timeline) -> None:
        self._environment = environment
        self._mesh = mesh
        self._timeline = timeline
        self._made: dict[str, str] = {}
        """On which commit each newer one was made; the checkout knows only the former."""

    def upgrade(self, names: Sequence[str], clock: Clock) -> str:
        """Deploy a newer commit to every node, as the environment rolls it out."""
        del names, clock
        before = self._commit()
        with self._clone(before) as checkout:
            commit = _committed(checkout, NEWER)
            self._made[commit] = before
            done = self._deployed(checkout)
        self._require(done, commit, f"{before[:_SHORT]} to {commit[:_SHORT]}")
        return _told(done, f"{before[:_SHORT]} to {commit[:_SHORT]}")

    def rollback(self, names: Sequence[str], clock: Clock) -> str:
        """Return to the release on which what runs was made."""
        del names, clock
        after = self._commit()
        before = self._made.get(after)
        if before is None:
            why = f"{after[:_SHORT]} runs, and nothing newer was deployed before"
            raise ScenarioError(Verdict.INVALID, why)
        done = rollback(self._environment, self._tell)
        self._require(done, before, f"back from {after[:_SHORT]} to {before[:_SHORT]}")
        return _told(done, f"{after[:_SHORT]} to {before[:_SHORT]}")

    def fail(self, names: Sequence[str], clock: Clock) -> str:
        """Deploy a commit whose node does not start; the gates stop it, and take it back."""
        del names, clock
        before = self._commit()
        with self._clone(before) as checkout:
            (checkout / MAIN).write_text(FAILS, encoding="utf-8")
            commit = _committed(checkout, "scenario: a release that does not start")
            done = self._stopped(checkout)
        if done.exit is Exit.OK:
            why = f"{commit[:_SHORT]} does not start, and was deployed"
            raise ScenarioError(Verdict.SAFETY, why)
        now = self._commit()
        if done.exit not in {Exit.ROLLED_BACK, Exit.REFUSED} or now != before:
            why = f"exit {int(done.exit)}, {now[:_SHORT]} runs: {done.error}"
            raise ScenarioError(Verdict.LIVENESS, f"it was not taken back: {why}")
        return _told(done, f"{commit[:_SHORT]} was stopped, exit {int(done.exit)}")

    def rotate(self, names: Sequence[str], clock: Clock) -> str:
        """Give these validators new keys, as `keys rotate` does."""
        del clock
        told: list[str] = []
        for name in names:
            done = rotating.rotate(self._environment, name, self._tell, rotating.Way(force=True))
            told += done.lines[1:]
        return "; ".join(" ".join(line.split()) for line in told)

    def _deployed(self, checkout: Path) -> Outcome:
        return deploy(self._environment, Request(checkout=checkout), self._tell)

    def _stopped(self, checkout: Path) -> Outcome:
        """Deploy what may be refused before anything is changed: that stops it as well."""
        try:
            return self._deployed(checkout)
        except AitbcError as refused:
            if refused.exit_status != Exit.REFUSED:
                raise
            return Outcome(Exit.REFUSED, error=refused.message)

    def _require(self, done: Outcome, commit: str, what: str) -> None:
        if done.exit is not Exit.OK:
            raise ScenarioError(Verdict.LIVENESS, f"{what}: {done.error}")
        if (now := self._commit()) != commit:
            raise ScenarioError(Verdict.LIVENESS, f"{what}: {now[:_SHORT]} runs")

    def _commit(self) -> str:
        """Ask which commit runs. Raises: ScenarioError (infrastructure) where it is not one."""
        told = self._mesh.ask_all(lambda node: node.status())
        commits = {each.commit for each in told.values() if not isinstance(each, Silence)}
        silent = [name for name, each in told.items() if isinstance(each, Silence)]
        if silent or len(commits) != 1:
            why = f"runs {' '.join(sorted(commits))}, silent: {' '.join(silent) or 'nobody'}"
            raise ScenarioError(Verdict.INFRA, why)
        return commits.pop()

    @contextmanager
    def _clone(self, commit: str) -> Iterator[Path]:
        """Have a checkout of a commit for a while. Raises: ScenarioError (infrastructure)."""
        with tempfile.TemporaryDirectory(prefix="aitbc-scenario-") as folder:
            checkout = Path(folder) / "aitbc"
            root = str(paths.project_root())
            base = self._made.get(commit, commit)
            try:
                shell.run(["git", "clone", "--quiet", "--no-checkout", root, str(checkout)])
                git = ["git", "-C", str(checkout)]
                shell.run([*git, "checkout", "--quiet", "-B", "scenario", base])
            except AitbcError as wrong:
                why = f"{commit[:_SHORT]} runs, which this checkout has not: {wrong.message}"
                raise ScenarioError(Verdict.INFRA, why) from wrong
            if base != commit:
                _committed(checkout, NEWER)  # the same again: it has its parent's date
            yield checkout

    def _tell(self, record: Mapping[str, object]) -> None:
        self._timeline.event("deploy", record=dict(record))


def _committed(checkout: Path, subject: str) -> str:
    git = ["git", "-C", str(checkout), *_WHO]
    moment = shell.run([*git, "log", "-1", "--format=%cI"]).stdout.strip()
    dates = {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
    words = ["commit", "--quiet", "--all", "--allow-empty", "--no-verify", "-m", subject]
    shell.run([*git, *words], env=dates)
    return shell.run([*git, "rev-parse", "HEAD"]).stdout.strip()


def _told(done: Outcome, what: str) -> str:
    gap = done.facts.get("longest_gap_ms")
    return f"{what} in {done.took_s:.0f} s" + (f", longest gap {gap} ms" if gap else "")
