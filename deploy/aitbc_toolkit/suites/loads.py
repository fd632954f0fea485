"""How is a load scenario played on a live mesh? A swarm hands in, and this side brings the money.

The swarm keeps the books and judges the run; what it says is written down as it comes, beside the
record that every suite leaves. Do not add how the swarm works, and nothing that is printed.
"""

import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from aitbc_node.rpc import schema
from aitbc_toolkit import measured, paths
from aitbc_toolkit.asking import MeshClient, open_mesh
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import (
    bounding,
    collecting,
    evidence,
    fingerprint,
    outposts,
    phasing,
    present,
    terms,
)
from aitbc_toolkit.suites.beside import Beside
from aitbc_toolkit.suites.costs import Meter
from aitbc_toolkit.suites.funding import fund
from aitbc_toolkit.suites.heights import Heights
from aitbc_toolkit.suites.leaving import leave, write
from aitbc_toolkit.suites.report import periods, reading, scenes
from aitbc_toolkit.suites.scenario.schema import Case, Objective, Written
from aitbc_toolkit.suites.scene import Result
from aitbc_toolkit.suites.swarm import Document, LostError, Swarm
from aitbc_toolkit.suites.timeline import LoadSecond, Timeline
from aitbc_toolkit.suites.verdicts import Verdict
from aitbc_toolkit.suites.wear import Wear, wearing

RESULT = reading.RESULT
ORDER = "order.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say what is to be handed in. Units: `rate` in transactions a second.

    An arrival that finds `in_flight_max` transactions without an answer is dropped and counted.
    """

    scenario: str
    rate: float
    for_s: float
    batch: int
    seed: int
    objectives: Mapping[str, Objective]
    in_flight_max: int = 2_000
    drain_s: float = terms.DRAIN_S
    """How long all that was sent is waited for; what has not ended then is pending."""
    phases: tuple[Mapping[str, Any], ...] = ()
    """As the swarm is told them; a file without any is one even phase."""
    case: Case | None = None
    """The file that it comes from: which meshes it is for, and its steps."""
    workers: int = 1
    tags: tuple[str, ...] = ()
    on: tuple[str, ...] = ()
    """Hosts of the environment that the workers are on; none is this machine, as its processes."""
    commands: tuple[str, ...] = ()
    """What starts each worker, where somebody else sees to where they are."""

    @property
    def beside(self) -> Case | None:
        """Return what is done to the mesh meanwhile, where a file has steps."""
        return self.case if self.case is not None and self.case.steps else None


def wanted(
    written: Written,
    *,
    seed: int,
    faster: float | None,
    longer: float | None,
    knee: float = 0.0,
    case: Case | None = None,
) -> Wanted:
    """Read a scenario, with another rate or length where somebody asks for it.

    Raises: UsageError where a share of the knee is asked for, and nobody knows that of this mesh,
    and for a rate or a length that cannot be.
    """
    phasing.require_bounds(rate=faster, for_s=longer)
    own = phasing.extent(written, knee=faster or knee)
    asked = phasing.Extent(faster or own.rate, longer or own.for_s, own.batch)
    return Wanted(
        scenario=written.scenario,
        rate=asked.rate,
        for_s=asked.for_s,
        batch=asked.batch,
        seed=seed,
        objectives=written.objectives,
        phases=phasing.phases(written, asked),
        case=case,
        tags=tuple(written.tags),
    )


@dataclass(frozen=True, slots=True)
class Played:
    """Hold the end of a run: the record for people, and what the swarm told, if it could."""

    record: evidence.Record
    told: Document | None
    is_interrupted: bool = False
    """It was ended early by Ctrl-C: who plays several goes on with no other."""


def play(
    environment: Environment,
    asked: Wanted,
    folder: Path,
    *,
    tell: Callable[[str, Document], None],
) -> Played:
    """Run a swarm on a mesh and keep everything that it says.

    Raises: AitbcError when nothing can be asked of the mesh; from then on a record is left.
    """
    started = time.time()
    with (
        open_mesh(environment) as mesh,
        Timeline(folder) as timeline,
        Meter(environment, mesh) as meter,
        Heights(environment, timeline) as heights,
        outposts.stationed(environment, asked.on, asked.workers, others=asked.commands) as ways,
        wearing(environment, for_s=asked.for_s) as wear,
    ):

        def heard(what: str, told: Document) -> None:
            meter.hear(what)
            if steps is not None:
                steps.hear(what, told)
            if what == "second":
                timeline.load(msgspec.convert({**told, "tags": asked.tags}, LoadSecond))
                wear.final += told["final"]
                told = {**told, "heights": heights.now()}
            tell(what, told)

        case = asked.beside
        steps = Beside(case, rate=asked.rate, for_s=asked.for_s) if case else None
        order = {**an_order(environment, mesh, asked, folder), "ways": ways}
        write(folder / ORDER, order)
        swarm = Swarm(
            order, money=lambda funds: fund(environment, mesh, order["terms"], funds), tell=heard
        )
        beside = steps.playing(environment, timeline, seed=asked.seed) if steps else nullcontext()
        with timeline.act(asked.scenario):
            timeline.event("step", name="begin")
            try:
                with beside:
                    told, result = _run(swarm, asked, folder, meter, wear)
                if steps:
                    result = steps.joined(result)
                    _take_along(environment, mesh, asked, folder, result)
            except KeyboardInterrupt:
                by_hand = Result(asked.scenario, Verdict.INCONCLUSIVE, "it was ended by hand", 0.0)
                by_hand = steps.joined(by_hand) if steps else by_hand
                _keep(environment, asked, folder, by_hand, started=started)
                raise
            timeline.event("step", name="end", verdict=result.verdict, line=result.line)
    record = _keep(environment, asked, folder, result, started=started)
    if steps:
        if told is not None:
            told["broken"] = periods.figures(scenes.scenes(reading.read(folder)))
            leave(folder, told, result.verdict)
        steps.require_no_bug()
    return Played(record, told, is_interrupted=swarm.is_interrupted)


def _keep(
    environment: Environment, asked: Wanted, folder: Path, result: Result, *, started: float
) -> evidence.Record:
    """Write down how a run ended."""
    took_s = round(time.time() - started, 1)
    record = evidence.Record(
        suite=asked.scenario,
        environment=environment.name,
        seed=asked.seed,
        started=started,
        took_s=took_s,
        verdict=result.verdict,
        results=(replace(result, took_s=took_s),),
        command=_command(environment, asked),
    )
    evidence.write(folder, record)
    return record


def _take_along(
    environment: Environment, mesh: MeshClient, asked: Wanted, folder: Path, result: Result
) -> None:
    """Keep what nodes said of a run that did not pass, before anything is torn down."""
    if result.verdict is not Verdict.PASS:
        collecting.collect(environment, mesh, folder, read=collecting.journals, case=asked.scenario)


def _run(
    swarm: Swarm, asked: Wanted, folder: Path, meter: Meter, wear: Wear
) -> tuple[Document | None, Result]:
    """Run to the end; a swarm that is lost takes its books along, and shows nothing."""
    try:
        told = swarm.run()
        told["costs"] = meter.costs(told["books"]["final"])
        told["growth"] = wear.growth()
    except LostError as lost:
        return None, Result(asked.scenario, Verdict.INVALID, str(lost), 0.0)
    except AitbcError as failure:  # the faucet refused, or the swarm could not begin
        return None, Result(asked.scenario, Verdict.INFRA, failure.message, 0.0)
    verdict, line = bounding.judged(asked.objectives, told)
    leave(folder, told, verdict)
    return told, Result(
        asked.scenario,
        verdict,
        line,
        0.0,
        invariants={row["name"]: _word(row) for row in told["checks"]},
        objectives=tuple(bounding.rows(asked.objectives, told)),
    )


def an_order(environment: Environment, mesh: MeshClient, asked: Wanted, folder: Path) -> Document:
    """Tell a swarm what to do, and where.

    Raises: AitbcError when a node is silent, UsageError when the run is longer than any
    transaction may wait.
    """
    told = present.all_of(environment, mesh.ask_all(lambda node: node.status()))
    places = [_place(name, environment, status) for name, status in told.items()]
    plan = {
        "scenario": asked.scenario,
        "seed": asked.seed,
        "rate": asked.rate,
        "for_s": asked.for_s,
        "batch": asked.batch,
        "in_flight_max": asked.in_flight_max,
        "drain_s": asked.drain_s,
        "phases": list(asked.phases),
        "workers": asked.workers,
    }
    return {
        "plan": plan,
        "terms": terms.lasting(environment, mesh, rate=asked.rate, for_s=asked.for_s),
        "nodes": places,
        "folder": str(folder),
        "circumstances": {
            "environment": environment.name,
            "validators": sum(place["power"] > 0 for place in places),
            "nodes": len(places),
            "configuration": fingerprint.configuration(
                environment, plan, told.values(), beside=asked.beside
            ),
            "builds": fingerprint.builds(told.values()),
            **measured.circumstances(paths.project_root()),
        },
    }


def _place(name: str, environment: Environment, status: schema.Status) -> Document:
    url = urlsplit(environment.instance(name).rpc_url)
    assert url.hostname is not None, "an inventory names hosts"
    assert url.port is not None, "an inventory names ports"
    return {"name": name, "host": url.hostname, "port": url.port, "power": status.power}


def _word(row: Mapping[str, Any]) -> str:
    return f"{row['outcome']}: {row['detail']}" if row["detail"] else str(row["outcome"])


def _command(environment: Environment, asked: Wanted) -> str:
    what = f"{asked.scenario} -e {environment.name} --seed {asked.seed}"
    how = f"--rate {asked.rate:g} --for {asked.for_s:g}"
    if asked.commands:
        workers = "".join(f" --worker {shlex.quote(each)}" for each in asked.commands)
        return f"./aitbc load master {what} {how}{workers}"
    return f"./aitbc load run {what} {how}{shared(asked)}"


def shared(asked: Wanted) -> str:
    """Write the options that say who shares a run."""
    workers = f" --workers {asked.workers}" if asked.workers > 1 else ""
    return workers + (f" --workers-on {','.join(asked.on)}" if asked.on else "")
