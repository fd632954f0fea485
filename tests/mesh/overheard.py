"""What a test hears of alerts while it breaks a mesh, from the collector that operators have."""

from collections.abc import Iterator
from contextlib import contextmanager

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.monitor.alerting import Change
from aitbc_toolkit.monitor.collecting import Collector

# About the machine that the test runs on, not about the mesh.
_MACHINE = {"DiskNearlyFull"}


class Heard:
    """Keep what was ever raised, by name and node."""

    def __init__(self, environment: Environment) -> None:
        self.collector = Collector(environment, hear=self._hear)
        self.ever: list[tuple[str, str]] = []

    def now(self) -> set[tuple[str, str]]:
        """Give what fires now."""
        firing = self.collector.firing
        return {(alert.name, alert.node) for alert in firing if alert.name not in _MACHINE}

    def _hear(self, change: Change, _at: float) -> None:
        if change.state == "raised":
            self.ever.append((change.alert.name, change.alert.node))


@contextmanager
def listening(environment: Environment) -> Iterator[Heard]:
    """Hear alerts of a mesh from now on."""
    heard = Heard(environment)
    with heard.collector:
        assert heard.collector.wait_look(2), "the mesh was never looked at"
        yield heard
