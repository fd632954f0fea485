"""What does a test in Python have of a mesh? The engine of scenario files, word by word.

A trial is open from the first look at a mesh until its invariants are judged. Do not add steps
here: `engine.py`.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from aitbc_toolkit import faults
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites.checkers import CHECKERS, BlockFact
from aitbc_toolkit.suites.paying import Payers
from aitbc_toolkit.suites.scenario import simulated
from aitbc_toolkit.suites.scenario.arena import Arena
from aitbc_toolkit.suites.scenario.breaking import Injector
from aitbc_toolkit.suites.scenario.engine import Engine
from aitbc_toolkit.suites.scenario.on_mesh import LiveArena
from aitbc_toolkit.suites.scenario.schema import Between, Budget, Case, FaultStep, Written
from aitbc_toolkit.suites.scenario.wanted import AllAtTip, Condition, HeightsAdvance
from aitbc_toolkit.suites.scenario.words import Targets, Value
from aitbc_toolkit.suites.scene import Scene, judged, unless_gone
from aitbc_toolkit.suites.timeline import Timeline
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict, worst
from aitbc_toolkit.suites.witness import Witness

_ABOUT = "a test in Python"


class Eventually:
    """Wait for what must come to be; each call tells the seconds since the last fault."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all_at_tip(self, *, within: str = "60s", lag: int = 1) -> float:
        """Wait until every node is near the highest."""
        return self._wait(Condition(all_at_tip=AllAtTip(lag=lag, within=within), record="tip"))

    def heights_advance(self, by: int, *, on: Targets = "all", within: str = "60s") -> float:
        """Wait until nodes are so far above the tip as it was when the last fault changed."""
        wanted = HeightsAdvance(by=by, on=on, within=within)
        return self._wait(Condition(heights_advance=wanted, record="advance"))

    def _wait(self, condition: Condition) -> float:
        self._engine.wait_for(condition)
        return self._engine.findings.records[condition.record]


class Net:
    """Be the mesh."""

    def __init__(self, engine: Engine, arena: Arena) -> None:
        self.eventually = Eventually(engine)
        self._engine = engine
        self._arena = arena

    @property
    def nodes(self) -> list[str]:
        """List all nodes."""
        return list(self._arena.town.powers)

    @property
    def validators(self) -> list[str]:
        """List those who vote."""
        return list(self._arena.town.validators)

    @property
    def leader(self) -> str:
        """Name whose turn it is to propose."""
        return self._arena.sight().leader or self.validators[0]

    @property
    def others(self) -> list[str]:
        """List all but the leader."""
        leader = self.leader
        return [name for name in self.nodes if name != leader]

    def expect_auto(self, *, during: str) -> None:
        """Require, until a fault is nearly over, what follows from voting power."""
        self._engine.expect(during)


class Chaos:
    """Break the mesh inside of a `with` block, which gives the name of the fault."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._count = 0

    def cut(self, one: Targets, other: Targets, *, lease: str) -> AbstractContextManager[str]:
        """Let nothing pass between two groups."""
        sides = [one, other]
        return self._broken("net.cut", lease=lease, between=Between(sides=sides))

    def hit(
        self, fault: str, on: Targets, *, lease: str, **parameters: Value
    ) -> AbstractContextManager[str]:
        """Break nodes: `hit("proc.kill", net.leader, lease="5s")`."""
        return self._broken(fault, lease=lease, on=on, parameters=parameters)

    @contextmanager
    def _broken(
        self,
        fault: str,
        *,
        lease: str,
        on: Targets | None = None,
        between: Between | None = None,
        parameters: dict[str, Value] | None = None,
    ) -> Iterator[str]:
        self._count += 1
        name = f"fault-{self._count}"
        step = FaultStep(
            id=name, fault=fault, on=on, between=between, lease=lease, parameters=parameters or {}
        )
        self._engine.begin(step)
        try:
            yield name
        finally:
            self._engine.heal(name)
        self._engine.mark()


class Load:
    """Keep transactions coming inside of a `with` block."""

    def __init__(self, begin: Callable[[float], AbstractContextManager[object]]) -> None:
        self._begin = begin

    def transfers(self, *, rate: float) -> AbstractContextManager[object]:
        """Hand in so many transfers a second; each that was accepted must become final."""
        return self._begin(rate)


class Trial:
    """Hold what a test has of a mesh, and judge it at the end."""

    def __init__(
        self,
        engine: Engine,
        arena: Arena,
        load: Load,
        judge: Callable[[], tuple[Verdict, str]],
    ) -> None:
        self.net = Net(engine, arena)
        self.chaos = Chaos(engine)
        self.load = load
        self._engine = engine
        self._judge = judge

    def judged(self) -> tuple[Verdict, str]:
        """Judge every invariant over all that was said, and what faults have left."""
        self._engine.heal_all()
        verdict, line = self._judge()
        residues = self._engine.findings.residues
        added = worst([verdict, Verdict.UNHEALED if residues else verdict])
        return added, "; ".join([*residues, line])


@contextmanager
def in_simulator(name: str, *, seed: int) -> Iterator[Trial]:
    """Open a simulated mesh of four validators, on which clients always act."""
    case = _case(name)
    arena = simulated.SimArena(case, seed=seed)
    arena.wake()
    engine = Engine(case, arena, seed=seed)
    engine.mark()

    def judge() -> tuple[Verdict, str]:
        verdict, line = Verdict.PASS, ""
        try:
            arena.settle()
        except ScenarioError as ended:
            verdict, line = ended.verdict, ended.why
        history = arena.history()
        complete = arena.complete(history)
        return judged(verdict, line, history, CHECKERS, complete=complete)[:2]

    yield Trial(engine, arena, Load(lambda _rate: nullcontext()), judge)


@contextmanager
def on_scene(name: str, scene: Scene, *, timeline: Timeline, inject: Injector) -> Iterator[Trial]:
    """Open a live mesh, under a witness.

    Raises: AitbcError (denied) where nothing may be broken, before anything is done.
    """
    faults.allow(scene.environment)
    payers: list[Payers] = []

    def heard(node: str, fact: BlockFact) -> None:
        for each in payers:
            each.on_block(node, fact)

    with ExitStack() as stack:
        witness = stack.enter_context(
            Witness(
                scene.environment,
                scene.recorder.history,
                first=scene.first_height,
                on_height=timeline.height,
                on_block=heard,
            )
        )
        arena = LiveArena(scene, witness, timeline, inject)
        engine = Engine(_case(name), arena, seed=scene.seed)
        engine.mark()

        @contextmanager
        def paying(rate: float) -> Iterator[None]:
            with Payers(scene, rate=rate, timeline=timeline) as begun:
                payers.append(begun)
                yield
            begun.settle(witness.final_everywhere)

        def judge() -> tuple[Verdict, str]:
            stack.close()  # what was seen or thrown last counts too
            return _judged(scene, scene.environment, *_witnessed(witness))

        yield Trial(engine, arena, Load(paying), judge)


def _witnessed(witness: Witness) -> tuple[Verdict, str]:
    """Tell what the witness saw by itself, and whether it saw all."""
    if witness.breaches:
        return Verdict.SAFETY, witness.breaches[0]
    if witness.unknown:
        return Verdict.INCONCLUSIVE, f"unknown: {witness.unknown}"
    return Verdict.PASS, ""


def _judged(
    scene: Scene, environment: Environment, verdict: Verdict, line: str
) -> tuple[Verdict, str]:
    scene.recorder.finish(first=scene.first_height)
    ended = judged(
        verdict,
        line,
        scene.recorder.history,
        CHECKERS,
        complete=scene.recorder.has_heard({each.name for each in environment.instances}),
    )
    return unless_gone(environment, *ended[:2])


def _case(name: str) -> Case:
    """Make a case without steps: the test has them."""
    written = Written(
        scenario=f"python/{name}", about=_ABOUT, backends=["sim"], budget=Budget(wall="1h")
    )
    return Case(written=written, steps=(), choice={}, is_nightly=False)
