"""How is the knee of a live mesh looked for? Each step is a whole load run, and one record of all.

The steps lie in `steps/`, each with what every load run leaves; the page of the whole shows them
beside each other. Do not decide which rate is next: `knee.py`.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import msgspec

from aitbc_toolkit import measured, paths
from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import busyness, evidence, fingerprint, knee, loads
from aitbc_toolkit.suites.knee import Bounds, Knee, Outcome, Step
from aitbc_toolkit.suites.loads import Wanted
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.swarm import Document
from aitbc_toolkit.suites.timeline import LoadSecond, Timeline
from aitbc_toolkit.suites.verdicts import Verdict, exit_of

SCENARIO = "load/knee"
KNEE = "knee.json"
STEP_S = 4.0
BLOCKS = 20
"""A step lasts as long as so many blocks at least: fewer would not show a rate to 5 %."""
_STEPS = "steps"
_SIZE = ("validators", "nodes", "tx_bytes")

Tell = Callable[[str, Document], None]


@dataclass(frozen=True, slots=True)
class Looked:
    """Hold the end of a search: the record for people, and the document for programs."""

    record: evidence.Record
    found: Knee
    document: Document


def look(
    environment: Environment,
    bounds: Bounds,
    folder: Path,
    *,
    seed: int,
    for_s: float | None = None,
    workers: int = 1,
    on: tuple[str, ...] = (),
    tell: Tell,
) -> Looked:
    """Look for the knee of a mesh; `tell` hears all that its swarms say, and of every `step`.

    Each step is shared by so many `workers`, `on` these hosts where any are named.

    Raises: AitbcError when nothing can be asked of the mesh, or a step's money is refused.
    """
    started = time.time()
    lasts_s = for_s or max(STEP_S, BLOCKS * environment.chain.block_interval_ms / 1000)
    with Timeline(folder) as timeline:
        step = Wanted(
            SCENARIO,
            bounds.start,
            lasts_s,
            batch=1,
            seed=seed,
            objectives={},
            workers=workers,
            on=on,
        )
        stairs = _Stairs(environment, folder, timeline, step, tell)
        found = knee.search(
            stairs.attempt, bounds, tell=lambda step: tell("step", msgspec.to_builtins(step))
        )
    record = evidence.Record(
        suite=SCENARIO,
        environment=environment.name,
        seed=seed,
        started=started,
        took_s=round(time.time() - started, 1),
        verdict=found.verdict,
        results=(_whole(found, stairs.results, started=started), *stairs.results),
        command=f"./aitbc load knee -e {environment.name} --seed {seed}{loads.shared(step)}",
    )
    document = _document(environment, found, record, for_s=lasts_s)
    document |= {
        "builds": stairs.builds,
        "busy": stairs.busy or "",
        **stairs.size,
        "configuration": configuration(environment, bounds, lasts_s, workers=workers, on=on),
    }
    (folder / KNEE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    evidence.write(folder, record)
    return Looked(record, found, document)


def configuration(
    environment: Environment,
    bounds: Bounds,
    lasts_s: float | None,
    *,
    workers: int = 1,
    on: tuple[str, ...] = (),
) -> str:
    """Hash what a search asks, whose steps last so long."""
    return fingerprint.of_mesh(environment, (SCENARIO, bounds, lasts_s, workers, on))


def known(environment: str, state: Path) -> float:
    """Read the newest knee that was found on a mesh; 0 where none was.

    That it lies above all that was tried is no knee: a share of that would be too little.
    """
    for folder in sorted((state / "runs").glob("*"), reverse=True):
        try:
            document = json.loads((folder / KNEE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        is_found = document["verdict"] == Verdict.PASS and document.get("fails_at") is not None
        if document["environment"] == environment and is_found:
            return float(document["committed"])
    return 0.0


def go_on(played: loads.Played) -> loads.Played:
    """Return a run, for whoever plays several. Raises: KeyboardInterrupt where one ended it."""
    if played.is_interrupted:
        raise KeyboardInterrupt
    return played


@dataclass(slots=True)
class _Stairs:
    """Play one step after the other, each with accounts of its own."""

    environment: Environment
    folder: Path
    timeline: Timeline
    step: Wanted
    tell: Tell
    results: list[Result] = field(default_factory=list)
    builds: list[str] = field(default_factory=list)
    """The commits that the nodes ran."""
    busy: str | None = None
    """What is said of the machine as the first of them began; None: nobody knows."""
    size: Document = field(default_factory=lambda: dict.fromkeys(_SIZE))
    """How many validators and nodes there were, and how large a transaction; null: nobody knows."""

    def attempt(self, rate: float) -> Step:
        """Play one step at a rate."""
        number = len(self.results) + 1
        folder = self.folder / _STEPS / f"{number:02d}-{rate:g}"
        folder.mkdir(parents=True)
        asked = replace(self.step, rate=rate, seed=self.step.seed + number)
        name = f"{SCENARIO}[{number:02d}: {rate:g} a second]"
        began = time.monotonic()
        with self.timeline.act(name):
            self.timeline.event("step", name="begin")
            step, invariants = self._play(asked, folder)
            verdict = Verdict.SAFETY if step.outcome is Outcome.BROKEN else Verdict.PASS
            line = f"{step.outcome}: {step.why}" if step.why else str(step.outcome)
            self.timeline.event("step", name="end", verdict=verdict, line=line)
        took_s = time.monotonic() - began
        self.results.append(Result(name, verdict, line, took_s, invariants=invariants))
        return step

    def _play(self, asked: Wanted, folder: Path) -> tuple[Step, dict[str, str]]:
        """Play a load run, and judge it as a step. Raises: AitbcError where no money came."""
        try:
            played = go_on(loads.play(self.environment, asked, folder, tell=self._hear))
        except UsageError as refused:  # no transaction may wait as long as this would take
            return Step(asked.rate, Outcome.DOUBTFUL, refused.message), {}
        (result,) = played.record.results
        if played.told is not None:
            self.builds = played.told["circumstances"]["builds"]
            if self.busy is None:
                self.busy = busyness.told(played.told["circumstances"])
            known = {**played.told["circumstances"], **played.told["generator"]}
            self.size = {name: known[name] for name in _SIZE}
            return knee.read(asked.rate, played.told), dict(result.invariants)
        if result.verdict is Verdict.INVALID:
            return Step(asked.rate, Outcome.DOUBTFUL, result.line), {}
        raise AitbcError(
            f"the step at {asked.rate:g} a second did not begin: {result.line}",
            hint="aitbc network status",
            exit_status=exit_of(result.verdict),
        )

    def _hear(self, what: str, told: Document) -> None:
        if what == "second":
            self.timeline.load(msgspec.convert(told, LoadSecond))
        self.tell(what, told)


def _whole(found: Knee, steps: list[Result], *, started: float) -> Result:
    """Sum the steps up; each rate is a case of one figure, so that the page draws them."""
    rows = [
        {
            "scenario": each.name,
            "name": "committed",
            "measured": step.committed,
            "allowed": f"at least {100 * knee.SUSTAINED:.0f} % of {step.offered:,.1f}",
            "met": step.outcome is Outcome.HOLDS,
        }
        for each, step in zip(steps, found.steps, strict=True)
    ]
    return Result(
        SCENARIO,
        found.verdict,
        knee.sentence(found).removesuffix("."),
        time.time() - started,
        objectives=tuple(rows),
    )


def _document(
    environment: Environment, found: Knee, record: evidence.Record, *, for_s: float
) -> Document:
    return {
        "schema": 1,
        "environment": environment.name,
        "seed": record.seed,
        "verdict": found.verdict,
        "exit": int(exit_of(found.verdict)),
        "sentence": knee.sentence(found),
        "committed": found.rate,
        "holds_at": found.low.asked if found.low else None,
        "fails_at": found.high.asked if found.high else None,
        "step_s": for_s,
        "took_s": record.took_s,
        "steps": [asdict(step) for step in found.steps],
        **measured.circumstances(paths.project_root()),
    }
