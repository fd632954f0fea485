"""How many transactions a second does a mesh on this machine make final, and at what cost?

All in one run: what the cores could verify if they did nothing else, then a mesh of its own under a
swarm: a short look at what a transaction costs, the highest rate that holds, that rate for a
minute, and half of it for the latencies. The swarm shares the machine with the nodes, so what the
mesh could do is told by processor time as well, and the swarm's own stands apart.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from aitbc_toolkit import measured, paths
from aitbc_toolkit.benchmarks import ceiling, holding
from aitbc_toolkit.benchmarks.ceiling import Ceiling
from aitbc_toolkit.benchmarks.track import INTERVAL_MS, track
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.progress import Tell, note, step
from aitbc_toolkit.suites import knee, loads, stepping
from aitbc_toolkit.suites.loads import Wanted
from aitbc_toolkit.suites.verdicts import Verdict

Document = dict[str, Any]

FOR_S = 60.0
"""How long the highest rate is to be held; less is for trying things."""
EFFICIENCY_MIN = 0.60
P99_MAX_MS = 2_000.0
SENT_MIN = 0.95
"""A load of which less was sent says nothing about a mesh."""

_IN_FLIGHT_MAX = 20_000
_LOOK_RATE, _LOOK_S = 1_000.0, 10.0
_STEP_S = 12.0
_DRAIN_S = 20.0
_HALF_S = 30.0
# Of what processor time alone would allow: the swarm needs some, and so does waiting for blocks.
# In larger blocks a transaction costs up to a quarter less, so more than all of it is tried.
_FIRST_SHARE = 0.75


@dataclass(slots=True)
class Bench:
    """Run swarms on one mesh, one after the other; each leaves its record in its own folder."""

    environment: Environment
    folder: Path
    seed: int
    batch: int
    tell: Tell
    runs: list[Document] = field(default_factory=list)

    def run(self, name: str, rate: float, for_s: float) -> Document:
        """Hand in so many a second for so long. Raises: AitbcError when the swarm could not."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # Accounts of its own: what an earlier run left waiting may still become final.
        seed = self.seed + len(self.runs)
        asked = Wanted(
            f"benchmark/{name}",
            rate,
            for_s,
            self.batch,
            seed,
            objectives={},
            in_flight_max=_IN_FLIGHT_MAX,
            drain_s=_DRAIN_S,
        )
        with step(self.tell, name, f"{rate:,.0f} a second for {for_s:.0f} s") as now:
            played = stepping.go_on(loads.play(self.environment, asked, folder, tell=_unheard))
            if played.told is None:
                raise AitbcError(played.record.results[0].line, hint=f"less {folder}/swarm.log")
            told = played.told
            self.runs.append(_row(name, rate, told))
            now.say(line(told))
        return told


def measure(
    *, validators: int, for_s: float, batch: int, seed: int, evidence: Path, tell: Tell
) -> Document:
    """Measure everything; return the document that is printed.

    Raises: AitbcError when the mesh does not come up, or a swarm could not begin.
    """
    before = _ceiling(seed, tell)
    note(tell, f"a mesh of {validators} validators comes up, {INTERVAL_MS} ms between two blocks")
    with track(validators, _only_failures(tell)) as environment:
        bench = Bench(environment, evidence, seed, batch, tell)
        look = bench.run("look", _LOOK_RATE, _LOOK_S)
        first = _FIRST_SHARE * capacity(cpu_us(look), before.cores, validators)
        rate = holding.highest(lambda name, rate: bench.run(name, rate, _STEP_S), first)
        whole, rate = holding.sustained(lambda name, rate: bench.run(name, rate, for_s), rate)
        half = bench.run("half", rate / 2, _HALF_S)
    top = ceiling.best((before, _ceiling(seed, tell)))
    found = figures(whole, half, top, validators=validators)
    return {
        **found,
        "validators": validators,
        "profile": "bench",
        "interval_ms": INTERVAL_MS,
        "batch": batch,
        "for_s": for_s,
        "seed": seed,
        "ceiling": top.to_document(),
        "runs": bench.runs,
        "costs": whole["costs"],
        "books": whole["books"],
        "evidence": str(evidence),
        **measured.circumstances(paths.project_root()),
    }


def figures(whole: Document, half: Document, top: Ceiling, *, validators: int) -> Document:
    """Put together what was measured, and judge it."""
    each_us = cpu_us(whole)
    could = capacity(each_us, top.cores, validators)
    efficiency = could / top.tps(validators)
    latencies = half["to_final"]["percentiles_ms"]
    verdict, why = judged(whole, half, top, efficiency=efficiency, validators=validators)
    made = whole["generator"]
    return {
        "verdict": verdict,
        "why": why,
        "committed_tps": whole["rates"]["committed"],
        "p50_ms": latencies["p50"],
        "p99_ms": latencies["p99"],
        "half_tps": half["rates"]["committed"],
        "tx_bytes": made["tx_bytes"],
        "cpu_us_per_tx_per_validator": round(each_us, 2),
        "capacity_tps": round(could, 1),
        "verify_ceiling_tps": round(top.tps(validators), 1),
        "efficiency": round(efficiency, 3),
        "generator": {key: made[key] for key in ("cpu_s", "cpu_share", "cpu_us_per_tx")},
    }


def judged(
    whole: Document, half: Document, top: Ceiling, *, efficiency: float, validators: int
) -> tuple[Verdict, list[str]]:
    """Judge the measurement itself first, then what it shows."""
    runs = {"whole": whole, "half": half}
    for told in runs.values():
        if told["verdict"] == Verdict.SAFETY:
            return Verdict.SAFETY, told["why"]
    if doubts := list(_doubts(whole, half, top, validators=validators)):
        return Verdict.INVALID, doubts
    if owed := [f"{name}: {line}" for name, told in runs.items() for line in _owed(told)]:
        return Verdict.LIVENESS, owed
    unseen = [row["name"] for told in (whole, half) for row in told["checks"] if _is_unseen(row)]
    if unseen:
        return Verdict.INCONCLUSIVE, [f"could not be looked at: {', '.join(sorted(set(unseen)))}"]
    missed = list(_missed(half, efficiency))
    if whole["for_s"] < FOR_S:
        short = f"{whole['for_s']:g} s show nothing of the {FOR_S:g} s that are asked for"
        return Verdict.INCONCLUSIVE, [short, *missed]
    return (Verdict.OBJECTIVE, missed) if missed else (Verdict.PASS, [])


def _missed(half: Document, efficiency: float) -> Iterator[str]:
    """Say which figures are worse than what is wanted."""
    if efficiency < EFFICIENCY_MIN:
        yield f"efficiency {efficiency:.3f}, at least {EFFICIENCY_MIN:.2f} is wanted"
    p99_ms = half["to_final"]["percentiles_ms"]["p99"]
    if p99_ms >= P99_MAX_MS:
        yield f"p99 {p99_ms:,.0f} ms at half the load, below {P99_MAX_MS:,.0f} is wanted"


def _owed(told: Document) -> list[str]:
    """Say what the mesh did not make final; that a swarm was late as well takes nothing of it."""
    if told["verdict"] == Verdict.LIVENESS:
        return list(told["why"])
    owed = knee.unkept(told)
    return [owed] if owed else []


def _doubts(whole: Document, half: Document, top: Ceiling, *, validators: int) -> list[str]:
    """Say why the figures mean nothing. Source: rules 5.6."""
    doubts = []
    if top.per_core < ceiling.PER_CORE_MIN:
        least = f"{ceiling.PER_CORE_MIN:,} are the least"
        doubts.append(f"a core verified {top.per_core:,.0f} a second, {least}: a busy machine")
    if top.is_busy:
        doubts.append(f"verifying took {top.wait:.2f} times its processor time: a busy machine")
    for name, told in (("whole", whole), ("half", half)):
        share = sent_share(told)
        if share < SENT_MIN:
            doubts.append(f"{name}: {100 * share:.1f} % of what was asked was sent")
        if not told["books"]["final"] or told["rates"]["committed"] is None:
            doubts.append(f"{name}: nothing became final")
        if told["verdict"] == Verdict.INVALID and not (knee.is_whole(told) or knee.unkept(told)):
            # A swarm that was only late has the more to say of latencies, and the blocks are true.
            doubts += [f"{name}: {line}" for line in told["why"]]
    # The mean of some says nothing of the others: what all of them cost is what the cores bear.
    if (known := len(_read(whole))) < validators:
        doubts.append(f"whole: the processor time of {known} of {validators} validators was read")
    return doubts


def _is_unseen(row: Mapping[str, str]) -> bool:
    return row["outcome"] == "unknown"


def sent_share(told: Document) -> float:
    """Return which part of what was asked was sent."""
    return float(told["books"]["sent"] / max(1, round(told["rates"]["asked"] * told["for_s"])))


def cpu_us(told: Document) -> float:
    """Return what a final transaction cost a validator; 0 where nobody could read it."""
    read = _read(told)
    return mean(read) if read else 0.0


def _read(told: Document) -> Sequence[float]:
    """List what a final transaction cost each validator of which it is known, in microseconds."""
    return [1_000 * row["per_tx"]["cpu_ms"] for row in told["costs"] if row.get("per_tx")]


def capacity(each_us: float, cores: int, validators: int) -> float:
    """Return how many a second all cores could do, were they the validators' alone."""
    return 1_000_000 * cores / (validators * each_us) if each_us else 0.0


def line(told: Document) -> str:
    """Write the most telling figures of a run."""
    rates, found = told["rates"], told["to_final"]["percentiles_ms"]
    committed = rates["committed"] or 0.0
    p99 = "-" if found["p99"] is None else f"{found['p99']:,.0f} ms"
    return (
        f"offered {rates['offered']:,.0f}, committed {committed:,.0f} a second, p99 {p99},"
        f" {cpu_us(told):.1f} us of a validator, swarm {100 * told['generator']['cpu_share']:.0f} %"
    )


def _row(name: str, rate: float, told: Document) -> Document:
    found = told["to_final"]["percentiles_ms"]
    return {
        "name": name,
        "asked": round(rate, 1),
        "offered": told["rates"]["offered"],
        "committed": told["rates"]["committed"],
        "p50_ms": found["p50"],
        "p99_ms": found["p99"],
        "send_lag_p99_ms": told["send_lag"]["percentiles_ms"]["p99"],
        "cpu_us_per_tx_per_validator": round(cpu_us(told), 2),
        "swarm_verdict": told["verdict"],
        "swarm_why": told["why"],
    }


def _ceiling(seed: int, tell: Tell) -> Ceiling:
    with step(tell, "ceiling", "verifying on every core, and nothing else") as now:
        found = ceiling.measure(seed)
        now.say(f"{found.per_core:,.0f} a second and core")
    return found


def _only_failures(tell: Tell) -> Tell:
    """Leave out how a deploy went; that it went wrong is told by what it raises."""

    def pick(record: Mapping[str, object]) -> None:
        if record.get("state") == "failed":
            tell(record)

    return pick


def _unheard(_what: str, _told: Document) -> None:
    """Tell nobody what happens in each second: it is in the run's record."""
