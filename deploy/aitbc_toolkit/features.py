"""Which features does the product promise, and which tests of the last run prove them?

The list is `docs/features.toml`; a proof is a test that names the feature, ran and passed. Do not
add the features themselves here.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.junit import Case, Outcome

_MARKS = ("P0", "P1", "P2", "X")
_REQUIRED_MARKS = ("P0", "P1")
_KEYS = frozenset({"mark", "title", "milestone"})


@dataclass(frozen=True, slots=True)
class Feature:
    """Hold one promise; `milestone` is 0 while the feature is only planned."""

    id: str
    title: str
    mark: str
    milestone: int = 0


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Hold every feature in the file's order, and the milestones that claim to be finished."""

    features: Mapping[str, Feature]
    milestones_done: frozenset[int]

    def required(self) -> list[Feature]:
        """List the features that a finished milestone must have proved."""
        return [
            feature
            for feature in self.features.values()
            if feature.milestone in self.milestones_done and feature.mark in _REQUIRED_MARKS
        ]


def load(path: Path) -> Catalogue:
    """Read and check the list.

    Raises: ConfigError, naming the entry, on anything that is not as the file's head says.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as broken:
        raise ConfigError(f"{path.name} cannot be read: {broken}", hint=f"edit {path}") from broken
    features = {
        name: _feature(path.name, name, entry) for name, entry in document["features"].items()
    }
    return Catalogue(features, frozenset(document["milestones_done"]))


def proofs(cases: Iterable[Case]) -> dict[str, list[str]]:
    """Join features and the tests that passed; a test that failed or was skipped proves nothing."""
    found: dict[str, list[str]] = {}
    for case in cases:
        if case.outcome is Outcome.PASSED:
            for feature in case.proves:
                found.setdefault(feature, []).append(case.name)
    return found


def silent(cases: Iterable[Case]) -> dict[str, list[str]]:
    """Join features and the tests that did not prove them: how each ended, its name, and why."""
    found: dict[str, list[str]] = {}
    for case in cases:
        if case.outcome is not Outcome.PASSED:
            reason = case.detail.partition("\n")[0]
            line = f"{case.outcome}: {case.name}" + (f", {reason}" if reason else "")
            for feature in case.proves:
                found.setdefault(feature, []).append(line)
    return found


def _feature(where: str, name: str, entry: Mapping[str, Any]) -> Feature:
    unknown = sorted(entry.keys() - _KEYS)
    if unknown:
        raise _wrong(where, f"{name} has an unknown key {unknown[0]!r}")
    mark, title = entry.get("mark"), entry.get("title")
    if mark not in _MARKS:
        raise _wrong(where, f"the mark of {name} is {mark!r}, not one of {_MARKS}")
    if not isinstance(title, str) or not title:
        raise _wrong(where, f"{name} has no title")
    return Feature(id=name, title=title, mark=mark, milestone=int(entry.get("milestone", 0)))


def _wrong(where: str, what: str) -> ConfigError:
    return ConfigError(f"{where}: {what}", hint=f"edit docs/{where}; its head says what is right")
