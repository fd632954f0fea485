"""What would an operator be told while a part is played on a mesh? It goes on the timeline.

No verdict depends on it. Do not add rules: they are `monitor`'s.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.monitor.alerting import Change
from aitbc_toolkit.monitor.collecting import Collector
from aitbc_toolkit.suites.timeline import Timeline


@contextmanager
def overheard(environment: Environment, timeline: Timeline) -> Iterator[None]:
    """Note each alert as it is raised and as it is cleared."""

    def note(change: Change, _at: float) -> None:
        alert = change.alert
        told = {"name": alert.name, "severity": alert.rule.severity, "node": alert.node}
        timeline.event(f"alert.{change.state}", **told, text=alert.summary)

    with Collector(environment, hear=note) as collector:
        try:
            yield
        finally:
            if collector.bug:
                timeline.event("alert.unknown", text=f"a bug ended the watch, {collector.bug!r}")
