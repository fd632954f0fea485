"""How does a scenario file become cases that can run? Every mistake at once, each with its line.

A matrix makes one case of each choice; `{name}` in a step stands for the chosen value. Nothing is
started and no mesh is asked here.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from aitbc_toolkit import entries, features, mistakes, paths
from aitbc_toolkit.declared import nearest
from aitbc_toolkit.entries import MistakenError
from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.suites.checkers import CHECKERS
from aitbc_toolkit.suites.scenario import yaml_text
from aitbc_toolkit.suites.scenario.quantities import seconds
from aitbc_toolkit.suites.scenario.schema import (
    FAULTS,
    STEPS,
    Case,
    Condition,
    EventuallyStep,
    ExpectStep,
    FaultStep,
    Step,
    Value,
    WaitEndStep,
    Written,
)
from aitbc_toolkit.suites.scenario.yaml_text import Text, YamlError

_PLACE = re.compile(r"(?:unknown key )?([\w.\-]+)")
_HOLE = re.compile(r"\{([a-z][a-z0-9_-]*)\}")


class _Mistake(NamedTuple):
    line: int
    what: str


class _Choice(NamedTuple):
    values: dict[str, Value]
    is_nightly: bool


def load(path: Path) -> list[Case]:
    """Read a file. Raises: ConfigError that names every mistake as `FILE:LINE: what`."""
    try:
        text = yaml_text.read(path.read_text(encoding="utf-8"))
    except YamlError as wrong:
        raise _refusal(path, [_Mistake(wrong.line, wrong.what)]) from wrong
    except (OSError, UnicodeDecodeError) as wrong:
        raise ConfigError(f"{path} cannot be read: {wrong}", hint=f"edit {path}") from wrong
    if not isinstance(text.data, dict):
        raise _refusal(path, [_Mistake(1, "a scenario is a table of keys")])
    found: list[_Mistake] = []
    written = _head(text, found)
    if written is None:
        raise _refusal(path, found)
    if (path.parent.name, path.stem) != tuple(written.scenario.split("/")):
        line = text.line(("scenario",))
        found.append(_Mistake(line, f"{written.scenario} belongs in {written.scenario}.yaml"))
    cases = [_case(text, written, choice, found) for choice in _choices(written)]
    if found:
        raise _refusal(path, found)
    return cases


def _head(text: Text, found: list[_Mistake]) -> Written | None:
    """Read everything but the steps."""
    head = {key: value for key, value in text.data.items() if key != "steps"}
    try:
        written = entries.read(Written, head)
    except MistakenError as wrong:
        found += [_placed(text, (), each) for each in wrong.found]
        return None
    if not isinstance(text.data.get("steps"), list):
        found.append(_Mistake(text.line(("steps",)), "steps is missing, or no list"))
        return None
    found += _contradictions(text, written)
    return written


def _choices(written: Written) -> Iterator[_Choice]:
    """Choose one value of each dimension in every way; those with a nightly value are nightly."""
    names = [*written.matrix, *(name for name in written.nightly if name not in written.matrix)]
    columns = [
        [(value, False) for value in written.matrix.get(name, [])]
        + [(value, True) for value in written.nightly.get(name, [])]
        for name in names
    ]
    for row in itertools.product(*columns):
        values = {name: value for name, (value, _) in zip(names, row, strict=True)}
        yield _Choice(values, any(is_nightly for _, is_nightly in row))


def _case(text: Text, written: Written, choice: _Choice, found: list[_Mistake]) -> Case:
    steps: list[Step] = []
    begun: dict[str, FaultStep] = {}
    for place, raw in enumerate(text.data["steps"]):
        where = ("steps", place)
        step = _step(text, where, _filled(raw, choice.values), found)
        if step is None:
            continue
        for what in _step_faults(step, written, begun):
            _add(found, _Mistake(text.line(where), what))
        if isinstance(step, FaultStep):
            begun[step.id] = step
        steps.append(step)
    return Case(
        written=written, steps=tuple(steps), choice=choice.values, is_nightly=choice.is_nightly
    )


def _step(text: Text, where: yaml_text.Path, raw: Any, found: list[_Mistake]) -> Step | None:
    kinds = [kind for kind in STEPS if isinstance(raw, dict) and kind in raw]
    if len(kinds) != 1:
        what = f"a step is one of {', '.join(STEPS)}"
        keys = list(raw) if isinstance(raw, dict) else []
        near = next((near for key in keys if (near := nearest(str(key), STEPS))), "")
        _add(found, _Mistake(text.line(where), what + (f", the nearest is {near}" if near else "")))
        return None
    try:
        return entries.read(STEPS[kinds[0]], raw)
    except MistakenError as wrong:
        for each in wrong.found:
            _add(found, _placed(text, where, each))
        return None


def _filled(raw: Any, values: Mapping[str, Value]) -> Any:
    """Put the chosen values where their names stand in braces."""
    if isinstance(raw, dict):
        return {key: _filled(value, values) for key, value in raw.items()}
    if isinstance(raw, list):
        return [_filled(each, values) for each in raw]
    if not isinstance(raw, str):
        return raw
    whole = _HOLE.fullmatch(raw)
    if whole and whole[1] in values:
        return values[whole[1]]
    return _HOLE.sub(lambda hole: str(values.get(hole[1], hole[0])), raw)


def _contradictions(text: Text, written: Written) -> Iterator[_Mistake]:
    """Find what is wrong between keys that are right each for itself."""
    yield from _claim_faults(text, written)
    for place, condition in enumerate(written.steady):
        for what in _condition_faults(condition):
            yield _Mistake(text.line(("steady", place)), what)
    recorded = _recorded(text.data.get("steps"))
    for name, objective in written.objectives.items():
        line = text.line(("objectives", name))
        wanted = objective.of or name
        if wanted not in recorded:
            yield _Mistake(line, _unknown("record", wanted, recorded))
        if bool(objective.of) != bool(objective.over):
            yield _Mistake(line, f"objective {name}: `of` and `over` come together")
        if objective.over and objective.over not in {*written.matrix, *written.nightly}:
            yield _Mistake(line, _unknown("dimension", objective.over, written.matrix))
        if objective.max is None and objective.min is None:
            yield _Mistake(line, f"objective {name} bounds nothing: say max or min")


def _claim_faults(text: Text, written: Written) -> Iterator[_Mistake]:
    """Find what a file says that it shows, and does not."""
    for place, name in enumerate(written.always):
        if name not in CHECKERS:
            what = _unknown("invariant", name, CHECKERS)
            yield _Mistake(text.line(("always", place)), what)
    missing = [name for name in CHECKERS if name not in written.always]
    if written.always and missing:
        what = f"every invariant is always judged: leave it out, or add {', '.join(missing)}"
        yield _Mistake(text.line(("always",)), what)
    if written.proves:
        known = features.load(paths.project_root() / "docs" / "features.toml").features
        for place, name in enumerate(written.proves):
            if name not in known:
                what = f"unknown feature {name!r}, docs/features.toml lists all"
                yield _Mistake(text.line(("proves", place)), what)


def _recorded(steps: Any) -> list[str]:
    """List what the steps record, before they are read."""
    rows = [
        row
        for step in (steps if isinstance(steps, list) else [])
        if isinstance(step, dict) and isinstance(step.get("eventually"), list)
        for row in step["eventually"]
    ]
    return [str(row["record"]) for row in rows if isinstance(row, dict) and "record" in row]


def _step_faults(step: Step, written: Written, begun: Mapping[str, FaultStep]) -> Iterator[str]:
    match step:
        case FaultStep():
            yield from _fault_faults(step, written, begun)
        case ExpectStep(during=name) | WaitEndStep(wait_end=name):
            if name not in begun:
                yield _unknown("fault", name, begun)
        case EventuallyStep(eventually=conditions):
            for condition in conditions:
                yield from _condition_faults(condition)


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


def _condition_faults(condition: Condition) -> Iterator[str]:
    if (condition.heights_advance is None) == (condition.all_at_tip is None):
        yield "a condition is one of heights_advance, all_at_tip"


def _unknown(what: str, name: str, known: Sequence[str] | Mapping[str, object]) -> str:
    near = nearest(name, known)
    if near:
        return f"unknown {what} {name!r}, the nearest is {near}"
    return f"unknown {what} {name!r}, known: {', '.join(known) or 'none'}"


def _placed(text: Text, where: yaml_text.Path, what: str) -> _Mistake:
    """Find the line that a mistake of the schema is about."""
    key = _PLACE.match(what)
    parts = key[1].split(".") if key else []
    path = tuple(int(part) if part.isdigit() else part for part in parts)
    return _Mistake(text.line((*where, *path)), what)


def _add(found: list[_Mistake], mistake: _Mistake) -> None:
    """Keep a mistake once, whichever choice of the matrix shows it."""
    if mistake not in found:
        found.append(mistake)


def _refusal(path: Path, found: Sequence[_Mistake]) -> ConfigError:
    name = mistakes.shown(path)
    lines = [f"{name}:{line}: {what}" for line, what in sorted(found)]
    if len(lines) == 1:
        return ConfigError(lines[0], hint=f"edit {name}")
    told = "\n".join(f"  {line}" for line in lines)
    return ConfigError(f"{name}: {len(lines)} mistakes\n{told}", hint=f"edit {name}")
