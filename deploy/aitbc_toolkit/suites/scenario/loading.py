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

from aitbc_toolkit import entries, mistakes
from aitbc_toolkit.declared import nearest
from aitbc_toolkit.entries import MistakenError
from aitbc_toolkit.errors import ConfigError, UsageError
from aitbc_toolkit.suites.scenario import contradictions, yaml_text
from aitbc_toolkit.suites.scenario.contradictions import Mistake
from aitbc_toolkit.suites.scenario.schema import STEPS, Case, Network, Step, Written
from aitbc_toolkit.suites.scenario.words import Value
from aitbc_toolkit.suites.scenario.yaml_text import Text, YamlError
from aitbc_toolkit.suites.scene import LIVENESS_S

_PLACE = re.compile(r"(?:unknown key )?([\w.\-]+)")
_SETTLED = {"accepted_tx_final": {"within": f"{LIVENESS_S:g}s"}}, "accepted_tx_final"
"""An invariant may be written with the time that it is given anyway."""
_HOLE = re.compile(r"\{([a-z][a-z0-9_-]*)\}")


class _Choice(NamedTuple):
    values: dict[str, Value]
    is_nightly: bool


def named(word: str, *, others: str) -> Path:
    """Find a file that somebody names; `others` lists those that there are.

    Raises: UsageError where there is none.
    """
    path = Path(word)
    if not path.exists():
        raise UsageError(f"there is no scenario file {word}", hint=others)
    return path


def load(path: Path) -> list[Case]:
    """Read a file. Raises: ConfigError that names every mistake as `FILE:LINE: what`."""
    try:
        text = yaml_text.read(path.read_text(encoding="utf-8"))
    except YamlError as wrong:
        raise _refusal(path, [Mistake(wrong.line, wrong.what)]) from wrong
    except (OSError, UnicodeDecodeError) as wrong:
        raise ConfigError(f"{path} cannot be read: {wrong}", hint=f"edit {path}") from wrong
    if not isinstance(text.data, dict):
        raise _refusal(path, [Mistake(1, "a scenario is a table of keys")])
    found: list[Mistake] = []
    written = _head(text, found)
    if written is None:
        raise _refusal(path, found)
    if (path.parent.name, path.stem) != tuple(written.scenario.split("/")):
        line = text.line(("scenario",))
        found.append(Mistake(line, f"{written.scenario} belongs in {written.scenario}.yaml"))
    cases = [_case(text, written, choice, found) for choice in _choices(written)]
    if found:
        raise _refusal(path, found)
    return cases


def _head(text: Text, found: list[Mistake]) -> Written | None:
    """Read everything but the steps."""
    apart = {"steps", contradictions.FINALLY}
    head = {key: value for key, value in text.data.items() if key not in apart}
    if isinstance(head.get("always"), list):
        head["always"] = [_SETTLED[1] if each == _SETTLED[0] else each for each in head["always"]]
    if "network" in head:
        head["network"] = _filled(head["network"], _first_choice(head))
    try:
        written = entries.read(Written, head)
    except MistakenError as wrong:
        found += [_placed(text, (), each) for each in wrong.found]
        return None
    if not isinstance(text.data.get("steps"), list):
        found.append(Mistake(text.line(("steps",)), "steps is missing, or no list"))
        return None
    found += contradictions.between_keys(text, written)
    return written


def _first_choice(head: Mapping[str, Any]) -> dict[str, Value]:
    """Choose a value of each dimension, before the file is known to be right."""
    tables = [head.get(key) for key in ("nightly", "matrix")]
    rows = [row for table in tables if isinstance(table, dict) for row in table.items()]
    return {name: values[0] for name, values in rows if isinstance(values, list) and values}


def _network(
    text: Text, written: Written, values: Mapping[str, Value], found: list[Mistake]
) -> Network:
    """Read the network of one choice of the matrix."""
    try:
        return entries.read(Network, _filled(text.data.get("network", {}), values))
    except MistakenError as wrong:
        for each in wrong.found:
            _add(found, _placed(text, ("network",), each))
        return written.network


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


def _case(text: Text, written: Written, choice: _Choice, found: list[Mistake]) -> Case:
    network = _network(text, written, choice.values, found)
    written = msgspec.structs.replace(written, network=network)
    steps: list[Step] = []
    before = contradictions.Before()
    for place, raw in enumerate(text.data["steps"]):
        where = ("steps", place)
        step = _step(text, where, _filled(raw, choice.values), found)
        if step is None:
            continue
        for what in contradictions.of_step(step, written, before):
            _add(found, Mistake(text.line(where), what))
        before.took(step)
        steps.append(step)
    return Case(
        written=written,
        steps=tuple(steps),
        choice=choice.values,
        is_nightly=choice.is_nightly,
    )


def _step(text: Text, where: yaml_text.Path, raw: Any, found: list[Mistake]) -> Step | None:
    kinds = [kind for kind in STEPS if isinstance(raw, dict) and kind in raw]
    if len(kinds) != 1:
        what = f"a step is one of {', '.join(STEPS)}"
        keys = list(raw) if isinstance(raw, dict) else []
        near = next((near for key in keys if (near := nearest(str(key), STEPS))), "")
        _add(found, Mistake(text.line(where), what + (f", the nearest is {near}" if near else "")))
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


def _placed(text: Text, where: yaml_text.Path, what: str) -> Mistake:
    """Find the line that a mistake of the schema is about."""
    key = _PLACE.match(what)
    parts = key[1].split(".") if key else []
    path = tuple(int(part) if part.isdigit() else part for part in parts)
    return Mistake(text.line((*where, *path)), what)


def _add(found: list[Mistake], mistake: Mistake) -> None:
    """Keep a mistake once, whichever choice of the matrix shows it."""
    if mistake not in found:
        found.append(mistake)


def _refusal(path: Path, found: Sequence[Mistake]) -> ConfigError:
    name = mistakes.shown(path)
    lines = [f"{name}:{line}: {what}" for line, what in sorted(found)]
    if len(lines) == 1:
        return ConfigError(lines[0], hint=f"edit {name}")
    told = "\n".join(f"  {line}" for line in lines)
    return ConfigError(f"{name}: {len(lines)} mistakes\n{told}", hint=f"edit {name}")
