"""Do the keys of a scenario file agree with each other? Each contradiction with its line.

Do not read files here: `loading.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aitbc_toolkit import features, paths
from aitbc_toolkit.suites.checkers import CHECKERS
from aitbc_toolkit.suites.scenario import fault_steps, load_files, targets, words
from aitbc_toolkit.suites.scenario.acts import ACTS
from aitbc_toolkit.suites.scenario.fault_steps import unknown
from aitbc_toolkit.suites.scenario.measuring import MEASURES
from aitbc_toolkit.suites.scenario.quantities import number
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
from aitbc_toolkit.suites.scenario.yaml_text import Text

FINALLY, CLEAN = "finally", ["host_state_clean"]
_OF_A_SWARM = re.compile(r"swarm-[0-9]+")


class Mistake(NamedTuple):
    """Say what is wrong, and in which line."""

    line: int
    what: str


@dataclass(slots=True)
class Before:
    """Hold what the steps before one have done, by the names of their faults."""

    begun: dict[str, FaultStep] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    """What has ended it."""

    def took(self, step: Step) -> None:
        """Go on behind a step."""
        match step:
            case FaultStep(id=name):
                self.begun[name] = step
            case WaitEndStep(wait_end=name):
                self.ended.setdefault(name, "its `wait_end`")
            case SwarmStep():  # it waits for the end of whatever lasts, of its own or not
                self.ended |= {name: "a swarm" for name in self.begun if name not in self.ended}


def between_keys(text: Text, written: Written) -> Iterator[Mistake]:
    """Find what is wrong between keys of a head that are right each for itself."""
    yield from _choice_faults(text, written)
    yield from _claim_faults(text, written)
    yield from _said_faults(text, written)
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
            yield Mistake(line, unknown("record", wanted, recorded))
        if bool(objective.of) != bool(objective.over):
            yield Mistake(line, f"objective {name}: `of` and `over` come together")
        if objective.over and objective.over not in {*written.matrix, *written.nightly}:
            yield Mistake(line, unknown("dimension", objective.over, written.matrix))
        if objective.max is None and objective.min is None:
            yield Mistake(line, f"objective {name} bounds nothing: say max or min")
        for key in ("max", "min", "floor"):
            bound = getattr(objective, key)
            if bound is not None and number(bound) < 0:
                yield Mistake(line, f"objective {name}: {key} is {bound}, and must be 0 or more")


def _choice_faults(text: Text, written: Written) -> Iterator[Mistake]:
    """Find a dimension that makes no case, or two of one name."""
    for name in {**written.matrix, **written.nightly}:
        tables = {"matrix": written.matrix, "nightly": written.nightly}
        seen: set[str] = set()
        for key, table in tables.items():
            line = text.line((key, name))
            if table.get(name) == []:
                yield Mistake(line, f"{key} {name} has no value: no case is made of it")
            values = [str(value) for value in table.get(name, [])]
            for value in dict.fromkeys(values):
                if values.count(value) > 1 or value in seen:
                    yield Mistake(line, f"{key} {name} has {value} twice: two cases of one name")
            seen.update(values)


def _claim_faults(text: Text, written: Written) -> Iterator[Mistake]:
    """Find what a file says that it shows, and does not."""
    for place, name in enumerate(written.always):
        if name not in CHECKERS:
            what = unknown("invariant", name, CHECKERS)
            yield Mistake(text.line(("always", place)), what)
    for place, name in enumerate(written.must_report):
        if name not in CHECKERS:
            what = unknown("invariant", name, CHECKERS)
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


def _said_faults(text: Text, written: Written) -> Iterator[Mistake]:
    """Find what a file says for its readers, and is not so: the clean end, and what it breaks."""
    said = text.data.get(FINALLY, CLEAN)
    if said != CLEAN:
        what = f"{FINALLY} is {CLEAN}: hosts are compared with how they were, whatever it says"
        yield Mistake(text.line((FINALLY,)), what.replace("'", ""))
    steps = text.data.get("steps")
    tables = [step for step in (steps if isinstance(steps, list) else []) if isinstance(step, dict)]
    begun = [str(step["fault"]) for step in tables if "fault" in step]
    swarms = [step["swarm"] for step in tables if isinstance(step.get("swarm"), list)]
    begun += [str(kind) for swarm in swarms for kind in swarm]
    for place, kind in enumerate(written.requires.faults):
        if kind not in begun:
            line = text.line(("requires", "faults", place))
            yield Mistake(line, unknown("fault of its steps", kind, begun))


def _liar_faults(text: Text, written: Written) -> Iterator[Mistake]:
    validators = written.network.validators
    names = validators.names
    for name in validators.liars:
        if name not in names:
            line = text.line(("network", "validators", "liars", name))
            yield Mistake(line, unknown("validator", name, names))
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


def of_step(step: Step, written: Written, before: Before) -> Iterator[str]:
    """Find what is wrong between a step, its file, and the faults that were begun before it."""
    match step:
        case FaultStep(id=name):
            if name in before.begun:
                yield f"two faults are called {name or 'nothing: give each an id'}"
            if _OF_A_SWARM.fullmatch(name):
                yield f"{name} is what a swarm calls one of its own faults"
            yield from fault_steps.faults_of(step, written)
        case ExpectStep(during=name) | WaitEndStep(wait_end=name):
            if name not in before.begun:
                yield unknown("fault", name, before.begun)
            elif name in before.ended:
                yield f"{name} has ended before: no step behind {before.ended[name]} is about it"
        case EventuallyStep(eventually=conditions):
            for condition in conditions:
                yield from _condition_faults(condition)
            if not load_files.is_one(written) and any(each.rate_back for each in conditions):
                yield f"only files of family {load_files.FAMILY} have a rate that may be back"
        case ActStep():
            yield from _act_faults(step)
        case SwarmStep():
            yield from fault_steps.swarm_faults(step, written)
    for word in _words_of(step):
        if not targets.is_known(word, before.begun):
            yield unknown("target", word, targets.WORDS)
        elif targets.is_name(word):
            yield from _name_faults(word, written)


def _name_faults(word: str, written: Written) -> Iterator[str]:
    """Refuse a name that the simulated mesh has not, or that on hosts is nearly another word."""
    names = written.network.names
    if "sim" in written.backends and word not in names:
        yield unknown("target", word, [*targets.WORDS, *names])
    elif "sim" not in written.backends and (near := targets.meant(word)):
        yield f"unknown target {word!r}, the nearest is {near}"


def _act_faults(step: ActStep) -> Iterator[str]:
    deed = ACTS.get(step.act)
    if deed is None:
        yield unknown("act", step.act, ACTS)
        return
    if deed.sides != (len(step.sides) == 2):  # noqa: PLR2004 - one and the other
        yield f"{step.act} has {'two' if deed.sides else 'no'} `sides`"
    for name in step.parameters:
        if name not in deed.parameters:
            yield unknown("parameter", name, deed.parameters)


def _words_of(step: Step) -> Iterator[str]:
    """List the words by which a step names nodes."""
    found: list[words.Targets | None] = []
    match step:
        case FaultStep(on=on, between=between):
            found = [on]
            if between is not None:
                ends = [end for way in between.ways or () for end in way.split(">")]
                found += [between.isolate, *(between.sides or ()), ends]
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
