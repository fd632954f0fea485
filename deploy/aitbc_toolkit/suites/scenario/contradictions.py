"""Do the keys of a scenario file agree with each other? Each contradiction with its line.

Do not read files here: `loading.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from aitbc_toolkit import features, paths
from aitbc_toolkit.declared import nearest
from aitbc_toolkit.suites.checkers import CHECKERS
from aitbc_toolkit.suites.scenario import load_files, targets
from aitbc_toolkit.suites.scenario.acts import ACTS
from aitbc_toolkit.suites.scenario.measuring import MEASURES
from aitbc_toolkit.suites.scenario.quantities import seconds
from aitbc_toolkit.suites.scenario.schema import (
    ActStep,
    EventuallyStep,
    ExpectStep,
    FaultStep,
    Step,
    SwarmStep,
    WaitEndStep,
    Written,
)
from aitbc_toolkit.suites.scenario.wanted import Condition
from aitbc_toolkit.suites.scenario.words import FAULTS, Targets
from aitbc_toolkit.suites.scenario.yaml_text import Text


class Mistake(NamedTuple):
    """Say what is wrong, and in which line."""

    line: int
    what: str


def between_keys(text: Text, written: Written) -> Iterator[Mistake]:
    """Find what is wrong between keys of a head that are right each for itself."""
    yield from _claim_faults(text, written)
    yield from _liar_faults(text, written)
    for where, what in load_files.faults(written):
        yield Mistake(text.line(where), what)
    for place, condition in enumerate(written.steady):
        for what in _condition_faults(condition):
            yield Mistake(text.line(("steady", place)), what)
    is_load, steps = load_files.is_one(written), text.data.get("steps")
    measured = (
        *(load_files.FIGURES if is_load else ()),
        *(MEASURES if steps or not is_load else ()),
    )
    recorded = [*_recorded(steps), *measured]
    for name, objective in written.objectives.items():
        line = text.line(("objectives", name))
        wanted = objective.of or name
        if wanted not in recorded:
            yield Mistake(line, _unknown("record", wanted, recorded))
        if bool(objective.of) != bool(objective.over):
            yield Mistake(line, f"objective {name}: `of` and `over` come together")
        if objective.over and objective.over not in {*written.matrix, *written.nightly}:
            yield Mistake(line, _unknown("dimension", objective.over, written.matrix))
        if objective.max is None and objective.min is None:
            yield Mistake(line, f"objective {name} bounds nothing: say max or min")


def _claim_faults(text: Text, written: Written) -> Iterator[Mistake]:
    """Find what a file says that it shows, and does not."""
    for place, name in enumerate(written.always):
        if name not in CHECKERS:
            what = _unknown("invariant", name, CHECKERS)
            yield Mistake(text.line(("always", place)), what)
    for place, name in enumerate(written.must_report):
        if name not in CHECKERS:
            what = _unknown("invariant", name, CHECKERS)
            yield Mistake(text.line(("must_report", place)), what)
    missing = [name for name in CHECKERS if name not in written.always]
    if written.always and missing:
        what = f"every invariant is always judged: leave it out, or add {', '.join(missing)}"
        yield Mistake(text.line(("always",)), what)
    if written.proves:
        known = features.load(paths.project_root() / "docs" / "features.toml").features
        for place, name in enumerate(written.proves):
            if name not in known:
                what = f"unknown feature {name!r}, docs/features.toml lists all"
                yield Mistake(text.line(("proves", place)), what)


def _liar_faults(text: Text, written: Written) -> Iterator[Mistake]:
    validators = written.network.validators
    names = [f"v{place + 1}" for place in range(len(validators.power) or validators.count)]
    for name in validators.liars:
        if name not in names:
            line = text.line(("network", "validators", "liars", name))
            yield Mistake(line, _unknown("validator", name, names))
    if validators.liars and written.backends != ["sim"]:
        what = "only the simulator has nodes that break the rules: backends is [sim]"
        yield Mistake(text.line(("backends",)), what)


def _recorded(steps: Any) -> list[str]:
    """List what the steps record, before they are read."""
    tables = [step for step in (steps if isinstance(steps, list) else []) if isinstance(step, dict)]
    waits = [step["eventually"] for step in tables if isinstance(step.get("eventually"), list)]
    rows = [row for wait in waits for row in wait if isinstance(row, dict)]
    deeds = [ACTS[step["act"]] for step in tables if step.get("act") in ACTS]
    return [
        *(str(row["record"]) for row in rows if "record" in row),
        *(name for deed in deeds for name in deed.records),
    ]


def of_step(step: Step, written: Written, begun: Mapping[str, FaultStep]) -> Iterator[str]:
    """Find what is wrong between a step, its file, and the faults that were begun before it."""
    match step:
        case FaultStep():
            yield from _fault_faults(step, written, begun)
        case ExpectStep(during=name) | WaitEndStep(wait_end=name):
            if name not in begun:
                yield _unknown("fault", name, begun)
        case EventuallyStep(eventually=conditions):
            for condition in conditions:
                yield from _condition_faults(condition)
            if not load_files.is_one(written) and any(each.rate_back for each in conditions):
                yield f"only files of family {load_files.FAMILY} have a rate that may be back"
        case ActStep():
            yield from _act_faults(step)
        case SwarmStep(swarm=kinds):
            yield from (_unknown("fault", kind, FAULTS) for kind in kinds if kind not in FAULTS)
    for word in _words_of(step):
        if not targets.is_known(word, begun):
            yield _unknown("target", word, targets.WORDS)


def _fault_faults(
    step: FaultStep, written: Written, begun: Mapping[str, FaultStep]
) -> Iterator[str]:
    if step.fault not in FAULTS:
        yield _unknown("fault", step.fault, FAULTS)
        return
    if step.id in begun:
        yield f"two faults are called {step.id or 'nothing: give each an id'}"
    is_link = step.fault.startswith("net.")
    if is_link and step.between is None:
        yield f"{step.fault} needs `between`: whom it divides"
    if not is_link and step.on is None:
        yield f"{step.fault} needs `on`: whom it hits"
    if (step.on if is_link else step.between) is not None:
        yield f"{step.fault} has no `{'on' if is_link else 'between'}`"
    if not is_link and step.direction != "both":
        yield f"{step.fault} hits nodes, and has no `direction`"
    if step.between is not None:
        ways = msgspec.structs.astuple(step.between)
        if sum(way is not None for way in ways) != 1:
            yield f"`between` is one of {', '.join(step.between.__struct_fields__)}"
    if seconds(step.lease) > seconds(written.budget.lease_max):
        yield f"a lease of {step.lease}, the budget allows {written.budget.lease_max}"


def _act_faults(step: ActStep) -> Iterator[str]:
    deed = ACTS.get(step.act)
    if deed is None:
        yield _unknown("act", step.act, ACTS)
        return
    if deed.sides != (len(step.sides) == 2):  # noqa: PLR2004 - one and the other
        yield f"{step.act} has {'two' if deed.sides else 'no'} `sides`"
    for name in step.parameters:
        if name not in deed.parameters:
            yield _unknown("parameter", name, deed.parameters)


def _words_of(step: Step) -> Iterator[str]:
    """List the words by which a step names nodes."""
    found: list[Targets | None] = []
    match step:
        case FaultStep(on=on, between=between):
            cut = () if between is None else (between.isolate, *(between.sides or ()))
            found = [on, *cut]
        case ActStep(on=on, sides=sides):
            found = [on, *sides]
        case EventuallyStep(eventually=conditions):
            found = [each.on for each in conditions]
    for written in found:
        yield from [written] if isinstance(written, str) else written or ()


def _condition_faults(condition: Condition) -> Iterator[str]:
    names = [name for name in condition.__struct_fields__ if name != "record"]
    if sum(getattr(condition, name) is not None for name in names) != 1:
        yield f"a condition is one of {', '.join(names)}"


def _unknown(what: str, name: str, known: Sequence[str] | Mapping[str, object]) -> str:
    near = nearest(name, known)
    if near:
        return f"unknown {what} {name!r}, the nearest is {near}"
    return f"unknown {what} {name!r}, known: {', '.join(known) or 'none'}"
