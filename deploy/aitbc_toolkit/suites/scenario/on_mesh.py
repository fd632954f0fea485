"""How is a scenario played on a live mesh? With the same engine as in the simulator.

Nodes are watched by the witness and broken by the faults package, whose hosts keep the end of each
fault. Do not add steps here: `engine.py`.
"""

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.faults import KINDS, REFUSED
from aitbc_toolkit.graph import Graph
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites.paying import Payers
from aitbc_toolkit.suites.scenario import acts, judging, replaying
from aitbc_toolkit.suites.scenario.arena import Bite, Pace, Planned, Sight, Town
from aitbc_toolkit.suites.scenario.breaking import FLOOD, Injector
from aitbc_toolkit.suites.scenario.engine import Engine
from aitbc_toolkit.suites.scenario.live_builds import LiveDeployer
from aitbc_toolkit.suites.scenario.live_ledger import LiveLedger
from aitbc_toolkit.suites.scenario.measuring import WEAR, Window, measured
from aitbc_toolkit.suites.scenario.quantities import rate
from aitbc_toolkit.suites.scenario.schema import Case
from aitbc_toolkit.suites.scene import ROUND_TIMEOUT_S, Result, Scene, unless_gone
from aitbc_toolkit.suites.scene import play as play_scene
from aitbc_toolkit.suites.timeline import Timeline
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict
from aitbc_toolkit.suites.wear import Wear, wearing
from aitbc_toolkit.suites.witness import Witness

FRESH_S = 8.0
"""How long an answer that is new enough is waited for; who is silent longer counts as silent."""
_POLL_S = 0.05


class LiveArena:
    """Be a live mesh under a witness."""

    def __init__(
        self,
        scene: Scene,
        witness: Witness,
        timeline: Timeline,
        inject: Injector,
        pace: Pace | None = None,
    ) -> None:
        environment = scene.environment
        self._pace = pace
        self.wear: Wear | None = None
        """Who reads what nodes use on their hosts, where somebody wants to know."""
        self.town = town_of(environment)
        self._scene = scene
        self._environment = environment
        self._witness = witness
        self._timeline = timeline
        self._inject = inject
        self._keys: dict[str, str] = {}
        self._powers: dict[str, int] = {}

    def now(self) -> float:
        """Return this machine's steady clock."""
        return time.monotonic()

    def moment(self) -> float:
        """Return seconds since 1970, as this machine's wall clock has them."""
        return time.time()

    def pause(self, seconds: float) -> None:
        """Wait a moment. Raises: ScenarioError as soon as the witness has seen a breach."""
        time.sleep(seconds)
        if self._witness.breaches:
            raise ScenarioError(Verdict.SAFETY, self._witness.breaches[0])
        if self._pace is not None:
            self._pace.require()

    def sight(self, *, after: float = 0.0) -> Sight:
        """Tell what every node said last; wait for answers that are newer than a moment."""
        names, until = self.town.powers.keys(), time.monotonic() + FRESH_S
        while True:
            told = self._witness.told()
            late = [name for name in names if name not in told or told[name].at < after]
            if not late or time.monotonic() > until:
                break
            self.pause(_POLL_S)
        fresh = {name: row.status for name, row in told.items() if row.at >= after}
        up = {name: status for name, status in fresh.items() if status is not None}
        self._powers |= {name: each.power for name, each in up.items()}
        self._keys |= {each.validator: name for name, each in up.items() if each.validator}
        first = max(up.values(), key=lambda each: (each.height, each.round), default=None)
        leader = self._keys.get(first.proposer, "") if first else ""
        heights = {name: each.height for name, each in up.items()}
        return Sight(heights, leader, self._witness.highest())

    def reached(self, name: str, height: int) -> float:
        """Tell when the witness heard of it."""
        return self._witness.reached(name, height) or self.now()

    @contextmanager
    def injected(self, planned: Planned) -> Iterator[Bite]:
        """Break something; what is left of it afterwards is the one thing that the end adds.

        Raises: ScenarioError (unhealed; infrastructure where the hosts are gone).
        """
        try:
            with self._inject(self._environment, planned) as told:
                back_s = time.time() - time.monotonic()
                yield Bite(
                    told.bitten_at - back_s,
                    told.ends_at - back_s,
                    told.ends_from - back_s,
                    told.evidence,
                )
        except AitbcError as failure:
            left = getattr(failure, "__notes__", [])  # of a fault that did not even begin
            if failure.exit_status != Exit.UNHEALED and not left:
                raise
            why = "\n".join([failure.message, *left])
            ended = unless_gone(self._environment, Verdict.UNHEALED, why)
            raise ScenarioError(*ended) from failure

    def next_leader(self) -> str:
        """Ask who proposes behind the one whose turn it is; empty where nobody tells."""
        self.sight()  # it learns whose key is whose
        key = self._witness.next_proposer()
        return self._keys.get(key, "")

    def powers(self) -> dict[str, int]:
        """Tell who votes, as each node said last; who said nothing yet votes as it did at first."""
        self.sight()
        return {name: self._powers.get(name, power) for name, power in self.town.powers.items()}

    def last_votes(self) -> dict[str, int]:
        """Tell what each node that answers has said last of its own votes."""
        told = {name: row.status for name, row in self._witness.told().items()}
        return {name: each.last_voted_height for name, each in told.items() if each is not None}

    def deployer(self) -> LiveDeployer:
        """Call whoever brings builds to the nodes."""
        return LiveDeployer(self._environment, self._scene.mesh, self._timeline)

    def ledger(self) -> LiveLedger:
        """Open the ledger to whoever uses it."""
        return LiveLedger(self._environment, self._scene.mesh)

    def punished(self) -> frozenset[str]:
        """Name the validators whose double signatures are in blocks that anybody holds final."""
        return frozenset(self._keys[key] for key in self._witness.guilty() if key in self._keys)

    def kept_up(self, share: float, over_s: float, *, since: float) -> float | None:
        """Ask the swarm. Raises: ScenarioError (invalid) where there is none."""
        if self._pace is None:
            raise ScenarioError(Verdict.INVALID, "no swarm hands in")
        return self._pace.kept_up(share, over_s, since=since)

    def overlay(self) -> Graph | None:
        """Ask every node for its links."""
        told = self._scene.mesh.ask_all(lambda node: node.text("/net/topology"))
        rows = [json.loads(each) for each in told.values() if isinstance(each, str)]
        if len(rows) < len(told):
            return None
        return Graph({row["id"]: [link["id"] for link in row["links"]] for row in rows})

    def measures(self, hit: Sequence[Window] = ()) -> dict[str, float]:
        """Tell how evenly blocks came, and how soon they were everywhere, as far as was heard."""
        worn = self.wear.measures() if self.wear else {}
        return {**measured(self._witness.arrived(), hit), **worn}

    def note(self, kind: str, **fields: object) -> None:
        """Write down that something happened."""
        self._timeline.event(kind, **fields)


def town_of(environment: Environment) -> Town:
    """Tell who lives on a live mesh."""
    powers = {each.name: each.power for each in environment.instances}
    return Town(powers, environment.chain.block_interval_ms / 1000, ROUND_TIMEOUT_S)


def play(
    case: Case,
    *,
    environment: Environment,
    mesh: MeshClient,
    seed: int,
    timeline: Timeline,
    inject: Injector,
    pace: Pace | None = None,
) -> Result:
    """Play a case on a live mesh, beside a swarm if there is one; judge all that was seen."""
    engines: list[Engine] = []

    def scenario(scene: Scene) -> str:
        with ExitStack() as stack:
            payers = _payers(case, scene, timeline)
            witness = stack.enter_context(
                Witness(
                    environment,
                    scene.recorder.history,
                    first=scene.first_height,
                    on_height=timeline.height,
                    on_block=payers.on_block if payers else _unheard,
                )
            )
            if payers:
                stack.enter_context(payers)
            arena = LiveArena(scene, witness, timeline, inject, pace)
            if set(WEAR) & case.written.objectives.keys():
                arena.wear = stack.enter_context(wearing(environment))
            engine = Engine(case, arena, seed=seed, tell=timeline.tell)
            engines.append(engine)
            told = [engine.play()]
            if payers:
                told.append(payers.settle(witness.final_everywhere))
        # Only now nobody watches any more: what was seen or thrown last counts too.
        if witness.breaches:
            raise ScenarioError(Verdict.SAFETY, witness.breaches[0])
        if witness.unknown:
            raise ScenarioError(Verdict.INCONCLUSIVE, f"unknown: {witness.unknown}")
        return ", ".join(told)

    result = play_scene(case.name, scenario, environment=environment, mesh=mesh, seed=seed)
    if not engines:
        return result
    told = judging.as_meant(case, engines[0].findings.outcome(result))
    if told.verdict is Verdict.PASS:
        return told
    town = town_of(environment)
    return dataclasses.replace(told, replay=replaying.exported(case, told.faults, town))


def unfit(case: Case, environment: Environment) -> str:
    """Say why a case cannot be played on a mesh; empty when it can."""
    backend = backend_of(environment)
    if backend not in case.written.backends:
        return f"it is for {', '.join(case.written.backends)}, not for {backend}"
    wanted, there = case.written.requires.validators_min, len(environment.validators)
    if there < wanted:
        return f"it needs {wanted} validators, {environment.name} has {there}"
    wanted, there = case.written.requires.full_min, len(environment.instances) - there
    if there < wanted:
        return f"it needs {wanted} full nodes, {environment.name} has {there}"
    if undone := acts.unfit(case.acts, backend):
        return f"{undone} cannot be done on {backend}"
    faults = [fault for fault, _ in case.broken_by]
    if faults and not environment.rules.chaos_allowed:
        return f"the inventory of {environment.name} does not allow to break it (chaos_allowed)"
    lacking = [fault for fault in faults if fault not in {*KINDS, FLOOD}]
    why = REFUSED.get(lacking[0], "no host offers it") if lacking else ""
    return f"{lacking[0]} cannot be injected: {why}" if lacking else ""


def backend_of(environment: Environment) -> str:
    """Tell what kind of mesh it is, as scenario files name it."""
    if environment.lab:
        return "lab"
    return "dev" if all(each.connector == "local" for each in environment.hosts) else "hosts"


def _payers(case: Case, scene: Scene, timeline: Timeline) -> Payers | None:
    arrivals = sum(rate(load.arrivals) for load in case.written.load)
    return Payers(scene, rate=arrivals, timeline=timeline) if arrivals else None


def _unheard(_node: str, _fact: object) -> None:
    """Tell nobody."""
