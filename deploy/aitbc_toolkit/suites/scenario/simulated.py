"""How is a scenario played in the simulator? With the same engine, on virtual time.

What the simulator's nodes said becomes a history like that of a live mesh, and the same checkers
judge it. Do not add steps here: `engine.py`.
"""

import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from aitbc_sim.checkers import Violation
from aitbc_sim.history import History as Trace
from aitbc_sim.options import Options
from aitbc_sim.sharing import shared
from aitbc_sim.staged import Staged
from aitbc_toolkit.graph import Graph
from aitbc_toolkit.suites.checkers import CHECKERS, BlockFact, Checker, History
from aitbc_toolkit.suites.scenario import acts, judging, staging
from aitbc_toolkit.suites.scenario.arena import Bite, Planned, Sight, Town
from aitbc_toolkit.suites.scenario.engine import Engine
from aitbc_toolkit.suites.scenario.measuring import Window, measured
from aitbc_toolkit.suites.scenario.quantities import rate, seconds
from aitbc_toolkit.suites.scenario.schema import Case, Validators
from aitbc_toolkit.suites.scenario.simulated_builds import SimDeployer
from aitbc_toolkit.suites.scenario.simulated_ledger import SimLedger
from aitbc_toolkit.suites.scene import Ended, Result, judged
from aitbc_toolkit.suites.timeline import Timeline
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

WAKE_MS = 60_000
LARGE = 100
"""From so many full nodes on they are a tree that fetches blocks, and share what all compute."""
CRASHED = "a node's own code failed"
"""How a line says it; no scenario is there to show that."""

_MS = 1000


class SimArena:
    """Be a simulated mesh of the size that a case asks for."""

    def __init__(self, case: Case, *, seed: int, timeline: Timeline | None = None) -> None:
        options = _options(case)
        voters = [f"v{place + 1}" for place in range(len(options.powers))]
        twins = [f"{voters[index]}-twin" for index, kind in options.byzantine if kind == "twin"]
        full = [f"f{place + 1}" for place in range(options.full_nodes)]
        spare = [f"s{place + 1}" for place in range(options.spares)]
        self._names = [*voters, *full, *spare, *twins]
        powers = {**dict.fromkeys(self._names, 0), **dict(zip(voters, options.powers, strict=True))}
        liars = frozenset({*(voters[index] for index in options.liars), *twins})
        timings = options.interval_ms / _MS, options.timeout_ms / _MS
        self.town = Town(powers, *timings, liars)
        self.world = Staged(seed, options, Trace())
        self._timeline = timeline
        self._heights: dict[str, list[int]] = {}
        self._cuts: dict[str, frozenset[tuple[int, int]]] = {}
        self.world.begin()

    def now(self) -> float:
        """Return virtual seconds."""
        return self.world.now_ms / _MS

    def moment(self) -> float:
        """Return virtual seconds, too: another time would say nothing."""
        return self.now()

    def pause(self, seconds: float) -> None:
        """Let virtual time pass. Raises: ScenarioError at a breach, or where a node crashes."""
        try:
            self.world.advance(max(1, round(seconds * _MS)))
        except Violation as violation:
            kind = Verdict.LIVENESS if violation.checker == "liveness" else Verdict.SAFETY
            raise ScenarioError(kind, str(violation)) from violation
        except AssertionError as bug:
            last = traceback.format_exc().strip().splitlines()[-1]
            raise ScenarioError(Verdict.SAFETY, f"{CRASHED}: {last}") from bug

    def sight(self, *, after: float = 0.0) -> Sight:
        """Tell what every node knows at this moment."""
        del after  # what is simulated is never late
        told = {name: self.world.height(index) for index, name in enumerate(self._names)}
        heights = {name: int(height) for name, height in told.items() if height is not None}
        for name, height in heights.items():
            self._heights.setdefault(name, []).append(height)
            if self._timeline is not None:
                self._timeline.height(name, height, 0, virtual_s=self.now())
        turns = self.world.turns()
        return Sight(heights, self._names[turns[0]] if turns else "")

    def next_leader(self) -> str:
        """Tell whose turn it is behind the one whose turn it is; empty while nobody runs."""
        turns = self.world.turns()
        return self._names[turns[-1]] if turns else ""

    def reached(self, name: str, height: int) -> float:
        """Tell that it has just happened: here everything is looked at as soon as it does."""
        del name, height
        return self.now()

    @contextmanager
    def injected(self, planned: Planned) -> Iterator[Bite]:
        """Cut ways, or break nodes, until the block ends; processes come back by themselves.

        Raises: ScenarioError (invalid) for what is not exactly that.
        """
        if lacking := staging.lacking(planned.fault, planned.parameters):
            raise ScenarioError(Verdict.INVALID, f"the simulator has no {lacking} of scenarios")
        place = {name: index for index, name in enumerate(self._names)}
        if planned.edges:
            self._cuts[planned.id] = frozenset((place[a], place[b]) for a, b in planned.edges)
            self._block()
        hit = () if planned.edges else tuple(place[name] for name in planned.targets)
        for index in hit:
            staging.WAYS[planned.fault].begin(self.world, index, planned)
        try:
            ends_at = self.now() + planned.lease_s
            yield Bite(self.now(), ends_at, ends_at, {"edges": len(planned.edges)})
        finally:
            for index in hit:
                staging.WAYS[planned.fault].end(self.world, index, planned)
            if self._cuts.pop(planned.id, None) is not None:
                self._block()

    def _block(self) -> None:
        self.world.block(frozenset[tuple[int, int]]().union(*self._cuts.values()))

    def note(self, kind: str, **fields: object) -> None:
        """Write down that something happened."""
        if self._timeline is not None:
            self._timeline.event(kind, **{**fields, "virtual_s": self.now()})

    def powers(self) -> dict[str, int]:
        """Tell who votes on the next block, and what that counts."""
        return {self._names[index]: power for index, power in self.world.powers().items()}

    def last_votes(self) -> dict[str, int]:
        """Tell what each node that runs knows of its own votes."""
        return {self._names[index]: height for index, height in self.world.last_votes().items()}

    def deployer(self) -> SimDeployer:
        """Call whoever brings builds to the nodes."""
        return SimDeployer(self.world, self._names)

    def ledger(self) -> SimLedger:
        """Open the ledger to whoever uses it."""
        return SimLedger(self.world, self._names, self.pause)

    def punished(self) -> frozenset[str]:
        """Name the validators that the ledger has found guilty of signing twice."""
        return frozenset(self._names[index] for index in self.world.punished())

    def kept_up(self, share: float, over_s: float, *, since: float) -> float | None:
        """Say that there is no swarm. Raises: ScenarioError (invalid)."""
        raise ScenarioError(Verdict.INVALID, f"no swarm hands in: {share}, {over_s}, {since}")

    def overlay(self) -> Graph | None:
        """Say that nodes are linked as the run was told. Raises: ScenarioError (invalid)."""
        raise ScenarioError(Verdict.INVALID, "links are given to simulated nodes")

    def measures(self, hit: Sequence[Window] = ()) -> dict[str, float]:
        """Tell how evenly blocks came, and how soon they were everywhere."""
        arrived: dict[int, dict[str, float]] = {}
        for index, heights in self.world.told_ms.items():
            for height, at_ms in heights.items():
                arrived.setdefault(height, {})[self._names[index]] = at_ms / _MS
        return measured(arrived, hit)

    def wake(self) -> None:
        """Let the mesh make its first blocks."""
        until = self.now() + WAKE_MS / _MS
        while self.sight().tip < 2 and self.now() < until:  # noqa: PLR2004 - a block on a block
            self.pause(0.1)

    def settle(self) -> None:
        """Let all that was accepted come to an end. Raises: ScenarioError."""
        left = self.world.settle()
        if left:
            why = f"{left} accepted transactions are neither final nor expired"
            raise ScenarioError(Verdict.LIVENESS, why)

    def history(self) -> History:
        """Return what all nodes said, as one reads it of a live mesh."""
        named = dict(enumerate(self._names))
        honest = self._honest()
        return History(
            blocks={
                named[index]: {
                    height: BlockFact(
                        committed.id.hex(),
                        committed.final.block.header.state_root.hex(),
                        tuple(receipt.id.hex() for receipt in committed.receipts),
                        committed.final.block.header.time_ms,
                    )
                    for height, committed in told.items()
                }
                for index, told in self.world.told.items()
                if named[index] in honest
            },
            audits={
                named[index]: audit
                for index, audit in self.world.audits().items()
                if named[index] in honest
            },
            heights={name: seen for name, seen in self._heights.items() if name in honest},
            offences=dict.fromkeys(honest, (0, 0)),
        )

    def complete(self, history: History) -> bool:
        """Tell whether every node that keeps the rules said something."""
        return set(self._honest()) == set(history.blocks) == set(history.audits)

    def _honest(self) -> list[str]:
        return [name for name in self._names if name not in self.town.liars]


def play(
    case: Case,
    *,
    seed: int,
    timeline: Timeline | None = None,
    checkers: Mapping[str, Checker] = CHECKERS,
) -> Result:
    """Play a case from its first block on, and judge everything that was said."""
    with shared(_options(case)):
        return _played(case, seed=seed, timeline=timeline, checkers=checkers)


def _played(
    case: Case, *, seed: int, timeline: Timeline | None, checkers: Mapping[str, Checker]
) -> Result:
    began = time.monotonic()
    arena = SimArena(case, seed=seed, timeline=timeline)
    engine = Engine(case, arena, seed=seed)
    verdict, line = Verdict.PASS, ""
    try:
        arena.wake()
        line = engine.play()
        arena.settle()
    except ScenarioError as ended:
        verdict, line = ended.verdict, ended.why
    except Violation as violation:
        verdict, line = Verdict.SAFETY, str(violation)
    history, steps = arena.history(), Ended(verdict, line)
    verdict, line, words = judged(
        verdict, line, history, checkers, complete=arena.complete(history)
    )
    result = Result(case.name, verdict, line, time.monotonic() - began, words, steps=steps)
    return judging.as_meant(case, engine.findings.outcome(result))


def unfit(case: Case) -> str:
    """Say why a case cannot be played here; empty when it can."""
    if "sim" not in case.written.backends:
        return "it is not for the simulator"
    if lacking := acts.unfit(case.acts, "sim"):
        return f"the simulator has no {lacking} of scenarios"
    found = {staging.lacking(fault, more) for fault, more in case.broken_by} - {""}
    return f"the simulator has no {', '.join(sorted(found))} of scenarios" if found else ""


def _options(case: Case) -> Options:
    """Describe the day: nothing goes wrong but what the case says."""
    network = case.written.network
    powers = network.validators.power or [1] * network.validators.count
    arrivals = sum(rate(load.arrivals) for load in case.written.load) or 5.0
    large = network.full >= LARGE
    return Options(
        uplinks=int(large),
        followers_hear_votes=not large,
        shares_execution=large,
        powers=tuple(powers),
        byzantine=_liars(network.validators, len(powers)),
        full_nodes=network.full,
        interval_ms=round(seconds(network.params.block_interval) * _MS),
        timeout_ms=round(seconds(network.params.round_timeout) * _MS),
        tx_every_ms=max(1, round(_MS / arrivals)),
        spares=network.spares,
        absence_blocks=network.params.absence_blocks,
        epoch_blocks=network.params.epoch_blocks,
        block_gas=network.params.block_gas,
        reward_pool=network.params.reward_pool,
        patrons=int(bool(case.acts)),
    )


def _liars(validators: Validators, count: int) -> tuple[tuple[int, str], ...]:
    """List who breaks the rules by place; the loading has seen that they are validators."""
    places = {f"v{place + 1}": place for place in range(count)}
    return tuple((places[name], kind) for name, kind in validators.liars.items())
