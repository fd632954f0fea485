"""What is done to a mesh while a swarm hands in, and does the swarm's rate come back?

The steps of a load scenario are played by the engine of all scenarios, in a thread of its own, as
soon as the swarm is under way; both are judged, and the worse one counts. Do not add steps here.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from msgspec.structs import replace as changed

from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.remote import Hosts
from aitbc_toolkit.suites.scenario import breaking, load_files, on_mesh
from aitbc_toolkit.suites.scenario.breaking import Injector
from aitbc_toolkit.suites.scenario.schema import Case
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.swarm import Document
from aitbc_toolkit.suites.timeline import Timeline
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict, worst

CALM_S = 5
"""So many seconds in which transactions become final come before anything is broken."""

_BURST = 2
"""What becomes final in one second counts for so many at most: a second may hold two blocks."""


class Beside:
    """Play the steps of a case while a swarm hands in so many a second, for so long."""

    def __init__(self, case: Case, *, rate: float, for_s: float) -> None:
        self._case = case
        self._rate = rate
        self._for_s = for_s
        self._seconds: list[tuple[float, int]] = []
        """When a second of the swarm had passed, and how many had become final in it."""
        self._changed = threading.Condition()
        self._is_ended = False
        self._is_called_off = False
        self._result: Result | None = None
        self._failure: BaseException | None = None
        self._is_playing = False

    # What the swarm says.

    def hear(self, what: str, told: Document) -> None:
        """Take in what the swarm has said."""
        if what != "second":
            return
        with self._changed:
            if told["at_s"] <= self._for_s:
                self._seconds.append((time.monotonic(), int(told["final"])))
            else:
                self._is_ended = True
            self._changed.notify_all()

    # What the engine asks.

    def require(self) -> None:
        """Go on unless somebody has ended the run. Raises: ScenarioError (inconclusive)."""
        if self._is_called_off:
            raise ScenarioError(Verdict.INCONCLUSIVE, "the run was ended")

    def kept_up(self, share: float, over_s: float, *, since: float) -> float | None:
        """Tell since when such a share of what was due became final for so long; None: not yet.

        A second counts for two at most: what waited through a fault and came at once is no rate.

        Raises: ScenarioError (invalid) when the load was over before.
        """
        with self._changed:
            rows = [(at, final) for at, final in self._seconds if at - 1 >= since]
            is_ended = self._is_ended
        length = max(1, round(over_s))
        counted = [min(final, _BURST * self._rate) for _, final in rows]
        for first in range(len(rows) - length + 1):
            if sum(counted[first : first + length]) >= share * self._rate * length:
                return rows[first][0] - 1
        if is_ended:
            why = f"the load was over before {share:.0%} of it became final for {over_s:g} s"
            raise ScenarioError(Verdict.INVALID, why)
        return None

    # Both together.

    @contextmanager
    def playing(
        self,
        environment: Environment,
        timeline: Timeline,
        *,
        seed: int,
        inject: Injector | None = None,
    ) -> Iterator[None]:
        """Play meanwhile; when the block ends by an error, so do the steps, and all is healed."""
        thread = threading.Thread(
            target=self._play, args=(environment, timeline, seed, inject), name="steps"
        )
        self._is_playing = True
        thread.start()
        try:
            yield
        except BaseException:
            self._is_called_off = True
            raise
        finally:
            with self._changed:
                self._is_ended = True
                self._changed.notify_all()
            thread.join()

    def joined(self, load: Result) -> Result:
        """Put both ends together: the worse verdict, and everything that either has found."""
        steps = self._result or Result(load.name, *self._unplayed(), 0.0)
        verdict = worst([load.verdict, steps.verdict])
        ends = sorted((load, steps), key=lambda each: each.verdict is not verdict)
        return replace(
            load,
            verdict=verdict,
            line="; ".join(each.line for each in ends if each.line),
            invariants=_either(load.invariants, steps.invariants),
            evidence={**steps.evidence, **load.evidence},
            checks=(*load.checks, *steps.checks),
            objectives=(*load.objectives, *steps.objectives),
            faults=steps.faults,
            records={**load.records, **steps.records},
            residues=steps.residues,
        )

    def require_no_bug(self) -> None:
        """Raise what the thread of the steps has raised, once the record is kept."""
        if self._failure is not None and not isinstance(self._failure, AitbcError):
            raise self._failure

    def _unplayed(self) -> tuple[Verdict, str]:
        """Say why there is no end of the steps."""
        if self._failure is not None:
            return Verdict.INFRA, f"the steps failed: {self._failure!r}"
        if self._is_playing:
            return Verdict.UNHEALED, "the steps were not waited for, nor whether they left anything"
        if self._is_called_off:
            return Verdict.INCONCLUSIVE, "the run was ended before anything was broken"
        return Verdict.INVALID, "nothing was broken: too little became final before"

    def _play(
        self, environment: Environment, timeline: Timeline, seed: int, inject: Injector | None
    ) -> None:
        try:
            if not self._is_under_way():
                return
            with open_mesh(environment) as mesh, Hosts(environment) as hosts:
                self._result = on_mesh.play(
                    of_steps(self._case),
                    environment=environment,
                    mesh=mesh,
                    seed=seed,
                    timeline=timeline,
                    inject=inject or breaking.over(hosts),
                    pace=self,
                )
        except BaseException as failure:  # noqa: BLE001 - it is told, or raised, where the run is
            self._failure = failure
        finally:
            self._is_playing = False

    def _is_under_way(self) -> bool:
        """Wait until the load bears fruit; tell whether it did before it ended."""

        def flows() -> bool:
            return len(self._seconds) >= CALM_S and all(n for _, n in self._seconds[-2:])

        with self._changed:
            self._changed.wait_for(lambda: self._is_ended or flows())
            return not self._is_ended


def of_steps(case: Case) -> Case:
    """Return what of a case is the engine's: its swarm, and what that measures, is not."""
    own = {
        name: each
        for name, each in case.written.objectives.items()
        if name not in load_files.FIGURES
    }
    return changed(case, written=changed(case.written, load=[], objectives=own))


def _either(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """Say of each invariant the worse of two findings."""
    found = dict(one)
    for name, word in other.items():
        if found.get(name, "held").startswith("held") or word == "broken":
            found[name] = word
    return found
