"""Which alerts began while a canary was watched, and are they about it? Watches; changes nothing.

The rules and how nodes are asked are `monitor`'s. What stood before the rollout began is no fault
of the canary, and neither is what a rule says that carries `canary: "no"`: anybody could bring
that about, and so keep releases back. Do not add what follows from an alert: `rolling`.
"""

from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING, Self

from aitbc_toolkit.inventory import Environment

if TYPE_CHECKING:
    from aitbc_toolkit.monitor.alerting import Alert
    from aitbc_toolkit.monitor.collecting import Collector

Standing = frozenset[tuple[str, str]]
"""Alerts by name and node."""

_COUNTED = ("critical", "warning")
# What every release tells; where nobody does, nothing that the rules say can be believed.
_LEAST = "aitbc_height"


def standing(environment: Environment) -> Standing:
    """Look once: what is wrong already?"""
    with _collector(environment) as collector:
        collector.wait_look()
        return frozenset(map(_key, collector.alerts))


class Alarm:
    """Hear alerts that were not standing, in a `with` block."""

    def __init__(self, environment: Environment, before: Standing) -> None:
        self._before = before
        self._collector = _collector(environment)

    def __enter__(self) -> Self:
        self._collector.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._collector.__exit__(kind, value, trace)

    def wait_look(self, count: int = 1) -> bool:
        """Wait until the mesh was looked at so many times more."""
        return self._collector.wait_look(count)

    def heard(self, names: Collection[str]) -> dict[str, str]:
        """Say why which of the named nodes are not well; an alert about the mesh concerns each."""
        if not self._collector.looks or not self._is_told:
            return {}
        held = self._collector.alerts
        # What has ended and comes again is new.
        self._before &= frozenset(map(_key, held))
        counted = [
            alert
            for alert in held
            if alert.is_firing
            and alert.rule.severity in _COUNTED
            and alert.rule.labels.get("canary") != "no"
            and _key(alert) not in self._before
        ]
        return {
            name: f"alert {alert.name}: {alert.summary}"
            for alert in counted
            for name in names
            if alert.node in ("", name)
        }

    def words(self) -> str:
        """Say how much was heard."""
        if not self.wait_look():
            bug = self._collector.bug
            why = (
                f"a bug ended the watch, {bug!r}" if bug else "no look at the mesh came to its end"
            )
            return f"alerts: not available, {why}"
        if not self._is_told:
            return "alerts: not available, no node tells its metrics"
        blind = len(self._collector.blind)
        known = f"no alert of {self._collector.rules - blind} rules"
        return f"{known}, {blind} rules: not available" if blind else known

    @property
    def _is_told(self) -> bool:
        return all(_LEAST not in lacking for lacking in self._collector.blind.values())


def _key(alert: "Alert") -> tuple[str, str]:
    return alert.name, alert.node


def _collector(environment: Environment) -> "Collector":
    from aitbc_toolkit.monitor.collecting import (  # noqa: PLC0415 - a third of a second, for canaries only
        Collector,
    )

    return Collector(environment)
