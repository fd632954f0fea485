"""What does a scenario have at hand, and how is it judged when it is over?

A scenario is a function that takes a scene and returns one line for people, or ends with a
`ScenarioError`. The invariants are judged after every scenario, also after one that failed: safety
outranks whatever else went wrong.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aitbc_node.rpc import schema
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import labs
from aitbc_toolkit.suites.checkers import CHECKERS, Checker, History, has_changed
from aitbc_toolkit.suites.history import OnHeight, Recorder, untold
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

_WHATEVER = frozenset({Verdict.PASS, Verdict.SAFETY})
"""What counts whatever became of the hosts."""

LIVENESS_S = 60.0
ROUND_TIMEOUT_S = 1.0


@dataclass(slots=True)
class Scene:
    """Give a scenario its mesh, its recorder, and what it may decide by."""

    environment: Environment
    mesh: MeshClient
    recorder: Recorder
    seed: int
    first_height: int

    @property
    def interval_s(self) -> float:
        """Return the least time between blocks."""
        return self.environment.chain.block_interval_ms / 1000

    def all_statuses(self) -> dict[str, schema.Status]:
        """Ask every node, and require that each one answers.

        Raises: ScenarioError (infrastructure) naming those that do not.
        """
        up = self.recorder.statuses()
        silent = [each.name for each in self.environment.instances if each.name not in up]
        if silent:
            raise ScenarioError(Verdict.INFRA, f"no answer from {', '.join(silent)}")
        return up


Scenario = Callable[[Scene], str]


@dataclass(frozen=True, slots=True)
class Ended:
    """Hold how the steps of a scenario ended, before any invariant was judged."""

    verdict: Verdict
    line: str


@dataclass(frozen=True, slots=True)
class Result:
    """Hold how one scenario ended, and each invariant: `held`, `broken` or `unknown`.

    Shape: `checks` are rows {name, outcome, detail} beside the invariants, `objectives` {name,
    measured, allowed, met}, `faults` {fault, targets, began, bitten_at, ended, evidence}.
    """

    name: str
    verdict: Verdict
    line: str
    took_s: float
    invariants: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, object] = field(default_factory=dict)
    checks: tuple[Mapping[str, object], ...] = ()
    objectives: tuple[Mapping[str, object], ...] = ()
    faults: tuple[Mapping[str, object], ...] = ()
    records: Mapping[str, float] = field(default_factory=dict)
    residues: tuple[str, ...] = ()
    """What was left of faults, whatever the verdict is."""
    replay: str = ""
    """What was broken, as a scenario file of the simulator, where the run was live and no pass."""
    steps: Ended = Ended(Verdict.INVALID, "nobody kept how its steps ended")


def play(
    name: str,
    scenario: Scenario,
    *,
    environment: Environment,
    mesh: MeshClient,
    seed: int,
    checkers: Mapping[str, Checker] = CHECKERS,
    on_height: OnHeight = untold,
) -> Result:
    """Run one scenario and judge the invariants over everything that was seen meanwhile."""
    began = time.monotonic()
    recorder = Recorder(mesh, on_height=on_height)
    verdict, line = Verdict.PASS, ""
    first = 1
    try:
        heights = [status.height for status in recorder.statuses().values()]
        first = max(1, min(heights, default=1))
        line = scenario(Scene(environment, mesh, recorder, seed, first))
    except ScenarioError as ended:
        verdict, line = ended.verdict, ended.why
    except AitbcError as failure:
        verdict, line = Verdict.INFRA, failure.message
    recorder.finish(first=first)
    steps = Ended(*unless_gone(environment, verdict, line))
    verdict, line, words = judged(
        steps.verdict,
        steps.line,
        recorder.history,
        checkers,
        complete=recorder.has_heard({each.name for each in environment.instances}),
    )
    if verdict is not steps.verdict:
        verdict, line = unless_gone(environment, verdict, line)
    took_s = time.monotonic() - began
    return Result(name, verdict, line, took_s, words, recorder.to_json(), steps=steps)


def unless_gone(environment: Environment, verdict: Verdict, line: str) -> tuple[Verdict, str]:
    """Call it infrastructure that a lab was taken down meanwhile, whatever failed then.

    Its hosts keep nothing of a fault, either: a lab comes up with fresh ones.
    """
    if not environment.lab or verdict in _WHATEVER or not labs.is_down(environment):
        return verdict, line
    why = f"lab {environment.lab} is down, and its hosts are gone with it"
    return Verdict.INFRA, line if line.startswith(why) else f"{why}; {line}"


def judged(
    verdict: Verdict,
    line: str,
    history: History,
    checkers: Mapping[str, Checker],
    *,
    complete: bool,
) -> tuple[Verdict, str, dict[str, str]]:
    """Judge every invariant; what is broken outranks any verdict, what is unknown only a pass.

    `complete` is whether every node was heard; without that nothing is known to hold.
    """
    words: dict[str, str] = {}
    broken: list[str] = []
    for name, checker in checkers.items():
        try:
            violations = checker(history)
        except Exception as bug:  # noqa: BLE001 - a checker that throws is unknown, never a pass
            words[name] = f"unknown: {bug}"
            continue
        words[name] = "broken" if violations else "held" if complete else "unknown"
        broken += [f"{name}: {violation}" for violation in violations]
    if words.get("state_root_equal") == "held" and not has_changed(history):
        words["state_root_equal"] = "unknown: the state never changed meanwhile"
    return *_with_invariants(verdict, line, words, broken), words


def _with_invariants(
    verdict: Verdict, line: str, words: Mapping[str, str], broken: list[str]
) -> tuple[Verdict, str]:
    if broken:
        return Verdict.SAFETY, "; ".join([*broken[:3], *([line] if verdict != "PASS" else [])])
    unknown = [f"{name} {word}" for name, word in words.items() if word.startswith("unknown")]
    if unknown and verdict is Verdict.PASS:
        return Verdict.INCONCLUSIVE, "; ".join(unknown)
    return verdict, line
