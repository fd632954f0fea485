"""How does a Python test break a mesh, or load it? With the fixtures of this plugin.

`net`, `chaos` and `load` play together, `swarm` lets a load scenario run.

`pytest -p aitbc_toolkit.suites.scenario.fixtures` also plays scenario files. Engine, checkers and
verdicts are those of `aitbc test`; without `--env` the mesh is simulated. Each worker of
pytest-xdist has a lab of its own.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.lab_record import LAB
from aitbc_toolkit.remote import Hosts
from aitbc_toolkit.suites import catalogue, from_python, runs
from aitbc_toolkit.suites.from_python import Outcome
from aitbc_toolkit.suites.history import Recorder
from aitbc_toolkit.suites.scenario import breaking, loading, on_mesh, simulated
from aitbc_toolkit.suites.scenario.schema import Case
from aitbc_toolkit.suites.scenario.session import Session, require_room
from aitbc_toolkit.suites.scenario.trial import Chaos, Load, Net, Trial, in_simulator, on_scene
from aitbc_toolkit.suites.scene import Result, Scene
from aitbc_toolkit.suites.showing import SIMULATED
from aitbc_toolkit.suites.timeline import Timeline
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict, worst

_VERDICT = "verdict"
_JUDGED = pytest.StashKey[bool]()
"""A test that has it was judged to its end: its own failure says no more."""
_SESSION = pytest.StashKey[Session]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run say which mesh it is about."""
    group = parser.getgroup("aitbc scenarios")
    group.addoption("--env", default=SIMULATED, help="environment; without it the simulator")
    group.addoption("--seed", type=int, default=1, help="what chance is drawn from")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse several workers on one mesh, and open nothing yet."""
    name, own = config.getoption("--env"), getattr(config, "workerinput", None)
    if own is None and name != SIMULATED:
        try:
            require_room(name, len(config.getoption("tx", None) or ()))
        except UsageError as wrong:
            hint = f"-n 0, or with labs of their own: --env {LAB}"
            raise pytest.UsageError(f"{wrong.message}; {hint}") from wrong
    config.stash[_SESSION] = Session(name, own["workerid"] if own else "")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take down what this process has brought up, before xdist hears that it is done."""
    session.config.stash[_SESSION].close()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take scenario files for tests."""
    if file_path.suffix == ".yaml" and file_path.is_relative_to(catalogue.folder()):
        found: pytest.Collector = ScenarioFile.from_parent(parent, path=file_path)
        return found
    return None


class ScenarioFile(pytest.File):
    """Be a file of cases."""

    def collect(self) -> Iterable[pytest.Item]:
        """List the cases that are not for the night."""
        for case in loading.load(self.path):
            if not case.is_nightly:
                yield ScenarioItem.from_parent(self, name=case.name, case=case)


class ScenarioItem(pytest.Item):
    """Be one case."""

    def __init__(self, *, case: Case, **more: Any) -> None:
        super().__init__(**more)
        self._case = case

    def runtest(self) -> None:
        """Play it; any end but a pass is a failure with its verdict."""
        session, seed = self.config.stash[_SESSION], self.config.getoption("--seed")
        result = _played(self._case, session, seed)
        _end(self, result.verdict, result.line)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Name the file and the case."""
        return self.path, 0, self.name


@pytest.fixture(name="trial")
def _trial(request: pytest.FixtureRequest) -> Iterator[Trial]:
    """Open the mesh, and judge every invariant when the test is over."""
    session, seed = request.config.stash[_SESSION], request.config.getoption("--seed")
    with _opened(request.node.name, session, seed) as trial:
        yield trial
        verdict, line = trial.judged()
    _end(request.node, verdict, line)


@pytest.fixture
def net(trial: Trial) -> Net:
    """Be the mesh: who leads, what must hold, what is waited for."""
    return trial.net


@pytest.fixture
def chaos(trial: Trial) -> Chaos:
    """Break the mesh, always with an end."""
    return trial.chaos


@pytest.fixture
def load(trial: Trial) -> Load:
    """Keep transactions coming."""
    return trial.load


@pytest.fixture
def swarm(request: pytest.FixtureRequest) -> Callable[..., Outcome]:
    """Let a swarm run on the live mesh of `--env`: `swarm("load/steady", rate=20, for_s=5)`.

    In a child process, so that nothing of the test is patched.
    """
    session, seed = request.config.stash[_SESSION], request.config.getoption("--seed")
    if session.is_simulated:
        pytest.skip("a swarm needs a live mesh: --env")
    return partial(from_python.run, environment=session.environment(), seed=seed)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the verdict with which a test that fails has ended, whatever ended it."""
    report = yield
    failure = call.excinfo.value if call.excinfo else None
    if report.failed and _is_of_a_mesh(item) and _JUDGED not in item.stash:
        _keep(item, item.config.stash[_SESSION].verdict(_verdict_of(failure)))
        report.user_properties = list(item.user_properties)
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tell the worst verdict last."""
    told = [
        Verdict(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == _VERDICT
    ]
    if told:
        terminalreporter.write_line(f"worst verdict: {worst(told)}")


def _end(item: pytest.Item, verdict: Verdict, line: str) -> None:
    _keep(item, verdict)
    item.stash[_JUDGED] = True
    if verdict is not Verdict.PASS:
        pytest.fail(f"{verdict}: {line}", pytrace=False)


def _keep(item: pytest.Item, verdict: Verdict) -> None:
    """Let a test have one verdict, the worst of what it was told."""
    before = [Verdict(str(told)) for name, told in item.user_properties if name == _VERDICT]
    others = [each for each in item.user_properties if each[0] != _VERDICT]
    item.user_properties[:] = [*others, (_VERDICT, str(worst([*before, verdict])))]


def _is_of_a_mesh(item: pytest.Item) -> bool:
    """Tell whether a test breaks or loads a mesh; of others in the same run nothing is said."""
    names = getattr(item, "fixturenames", ())
    return isinstance(item, ScenarioItem) or not {"trial", "swarm"}.isdisjoint(names)


def _verdict_of(failure: BaseException | None) -> Verdict:
    """Tell what a failure says of a mesh; of an assertion of somebody's, that nothing is shown."""
    if isinstance(failure, ScenarioError):
        return failure.verdict
    if isinstance(failure, AitbcError):
        return Verdict.UNHEALED if failure.exit_status == Exit.UNHEALED else Verdict.INFRA
    return Verdict.INVALID


def _played(case: Case, session: Session, seed: int) -> Result:
    found = None if session.is_simulated else session.environment()
    if why := on_mesh.unfit(case, found) if found else simulated.unfit(case):
        pytest.skip(why)
    if found is None:
        return simulated.play(case, seed=seed)
    with ExitStack() as stack:
        return on_mesh.play(
            case,
            environment=found,
            mesh=stack.enter_context(open_mesh(found)),
            seed=seed,
            timeline=stack.enter_context(Timeline(runs.begin(paths.state_root()))),
            inject=breaking.over(stack.enter_context(Hosts(found))),
        )


@contextmanager
def _opened(name: str, session: Session, seed: int) -> Iterator[Trial]:
    if session.is_simulated:
        with in_simulator(name, seed=seed) as trial:
            yield trial
        return
    found = session.environment()
    with ExitStack() as stack:
        timeline = stack.enter_context(Timeline(runs.begin(paths.state_root())))
        mesh = stack.enter_context(open_mesh(found))
        recorder = Recorder(mesh, on_height=timeline.height)
        first = min((each.height for each in recorder.statuses().values()), default=1)
        scene = Scene(found, mesh, recorder, seed, max(1, first))
        inject = breaking.over(stack.enter_context(Hosts(found)))
        yield stack.enter_context(on_scene(name, scene, timeline=timeline, inject=inject))
