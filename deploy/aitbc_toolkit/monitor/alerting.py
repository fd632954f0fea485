"""Which alerts begin and end now? The rules' state from look to look.

Pure: samples and time in, what was raised and cleared out. As in Prometheus an alert is a rule and
the labels for which it holds, and it fires when the rule has held for as long as it says. Do not
add how nodes are asked: `collecting`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import promql_parser

from aitbc_toolkit.monitor import promql
from aitbc_toolkit.monitor.series import Labels, Sample, Series

Severity = Literal["critical", "warning", "notice"]

_LABEL = re.compile(r"\{\{ \$labels\.(\w+) \}\}")


class Rule(NamedTuple):
    """Hold one rule as the file has it."""

    name: str
    text: str
    expr: promql_parser.Expr
    for_s: float
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @property
    def severity(self) -> str:
        """Tell how bad it is."""
        return self.labels["severity"]

    def said(self, labels: Labels) -> dict[str, str]:
        """Put labels into the annotations."""
        told = dict(labels)
        return {
            key: _LABEL.sub(lambda hole: told.get(hole[1], ""), text)
            for key, text in self.annotations.items()
        }


class Alert(NamedTuple):
    """Hold one rule that holds; `since` is when it began to, by the collector's clock."""

    rule: Rule
    labels: Labels
    since: float
    is_firing: bool

    @property
    def name(self) -> str:
        """Name the rule."""
        return self.rule.name

    @property
    def node(self) -> str:
        """Name the node that it is about; empty for the whole mesh."""
        return dict(self.labels).get("instance", "")

    @property
    def summary(self) -> str:
        """Say in one line what is wrong."""
        return self.rule.said(self.labels)["summary"]

    def to_document(self) -> dict[str, str | float]:
        """Write it for a line of JSON."""
        return {
            "alert": self.name,
            "severity": self.rule.severity,
            **dict(self.labels),
            "since": round(self.since, 3),
            "summary": self.summary,
        }


class Change(NamedTuple):
    """Tell that an alert began to fire, or ended."""

    state: Literal["raised", "cleared"]
    alert: Alert


class Alerter:
    """Follow all rules of one mesh."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._series = Series()
        self._held: dict[tuple[str, Labels], Alert] = {}

    @property
    def alerts(self) -> list[Alert]:
        """List what holds, firing or not yet, in the order of the rules."""
        return list(self._held.values())

    @property
    def firing(self) -> list[Alert]:
        """List what fires."""
        return [alert for alert in self.alerts if alert.is_firing]

    @property
    def blind(self) -> dict[str, list[str]]:
        """Name the rules that nobody can judge, with the metrics that no node tells."""
        missing = {
            rule.name: sorted(
                name for name in promql.names(rule.expr) if not self._series.knows(name)
            )
            for rule in self.rules
        }
        return {name: lacking for name, lacking in missing.items() if lacking}

    def step(self, samples: Sequence[Sample], *, now: float) -> list[Change]:
        """Take what all nodes told at one moment; return what began and ended by it."""
        self._series.add(samples, now=now)
        held: dict[tuple[str, Labels], Alert] = {}
        for rule in self.rules:
            worth = promql.evaluate(rule.expr, self._series, now=now)
            assert isinstance(worth, dict), "read() lets no rule be a number"
            for labels in sorted(worth, key=sorted):
                before = self._held.get((rule.name, labels))
                since = before.since if before else now
                fires = now - since >= rule.for_s
                held[rule.name, labels] = Alert(rule, labels, since, fires)
        changes = [
            Change("cleared", alert)
            for key, alert in self._held.items()
            if alert.is_firing and key not in held
        ]
        for key, alert in held.items():
            before = self._held.get(key)
            if alert.is_firing and not (before and before.is_firing):
                changes.append(Change("raised", alert))
        self._held = held
        return changes
