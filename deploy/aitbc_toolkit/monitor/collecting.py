"""How are the nodes of a mesh watched, so that alerts fire without a Prometheus?

Every second all are asked for their metrics; one that does not answer is down, as for a Prometheus
whose scrape failed. Reads only. Do not add what an alert leads to: that is the caller's.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Literal, NamedTuple, Self

from prometheus_client.parser import text_string_to_metric_families

from aitbc_toolkit.asking import MeshClient, open_mesh
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.monitor import rules
from aitbc_toolkit.monitor.alerting import Alert, Alerter, Change
from aitbc_toolkit.monitor.series import Sample, labels

POLL_S = 1.0
_JOIN_S = 10.0
_FOREVER_S = 3_600.0

Hear = Callable[[Change, float], None]


class Row(NamedTuple):
    """Show one rule, or one alert of it."""

    name: str
    state: Literal["firing", "pending", "ok", "unknown"]
    severity: str
    node: str
    what: str


def _nobody(_change: Change, _at: float) -> None:
    """Tell nobody."""


class Collector:
    """Watch a mesh from a thread of its own, in a `with` block.

    `hear` is told what is raised and cleared, and when; from that thread.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        hear: Hear = _nobody,
        poll_s: float = POLL_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._environment = environment
        self._hear = hear
        self._poll_s = poll_s
        self._clock = clock
        self._alerter = Alerter(rules.load(environment))
        self._looked = threading.Condition()
        self._looks = 0
        self._looked_s = 0.0
        self._bug: Exception | None = None
        self._over = threading.Event()
        self._mesh = open_mesh(environment, retries=0)
        self._thread = threading.Thread(target=self._follow, name="alerts", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(_JOIN_S)
        self._mesh.__exit__(kind, value, trace)

    @property
    def alerts(self) -> list[Alert]:
        """List what holds now, firing or not for long enough yet."""
        with self._looked:
            return self._alerter.alerts

    @property
    def firing(self) -> list[Alert]:
        """List what fires now."""
        return [alert for alert in self.alerts if alert.is_firing]

    @property
    def looks(self) -> int:
        """Count how often the mesh was looked at."""
        with self._looked:
            return self._looks

    @property
    def looked_s(self) -> float:
        """Tell when the newest look was, by the clock that alerts go by."""
        with self._looked:
            return self._looked_s

    @property
    def bug(self) -> Exception | None:
        """Tell what ended the watch from within; from then on nothing here is known."""
        with self._looked:
            return self._bug

    @property
    def rules(self) -> int:
        """Count the rules."""
        return len(self._alerter.rules)

    @property
    def blind(self) -> dict[str, list[str]]:
        """Name the rules that nobody can judge, since no node tells what they ask for."""
        with self._looked:
            return self._alerter.blind

    def table(self) -> list[Row]:
        """Tell of every rule whether it fires, and for which node."""
        with self._looked:
            blind, alerts = self._alerter.blind, self._alerter.alerts
        rows: list[Row] = []
        for rule in self._alerter.rules:
            held = [alert for alert in alerts if alert.name == rule.name]
            rows += [
                Row(rule.name, _state(alert), rule.severity, alert.node, alert.summary)
                for alert in held
            ]
            if not held and rule.name in blind:
                lacking = " ".join(blind[rule.name])
                rows.append(Row(rule.name, "unknown", rule.severity, "", f"nobody tells {lacking}"))
            elif not held:
                rows.append(Row(rule.name, "ok", rule.severity, "", ""))
        return rows

    def look_for(self, seconds: float | None) -> None:
        """Watch for so long, or until Ctrl-C; at least once, however slow nodes are.

        Raises: what ended the watch from within.
        """
        self.wait_look()
        if seconds is None:
            while not self._over.wait(_FOREVER_S):
                pass
        else:
            self._over.wait(seconds)
            self.wait_look()
        if self.bug:
            raise self.bug

    def wait_look(self, count: int = 1, *, timeout_s: float = 60.0) -> bool:
        """Wait until the mesh was looked at so many times more; tell whether it was."""
        with self._looked:
            wanted = self._looks + count
            self._looked.wait_for(lambda: self._looks >= wanted or self._bug, timeout_s)
            return self._looks >= wanted

    def _follow(self) -> None:
        try:
            self._look_on()
        except Exception as bug:  # noqa: BLE001 - whatever it is, nothing is known from then on
            # Once nobody watches any more the mesh may be closed under a look that is under way.
            if not self._over.is_set():
                with self._looked:
                    self._bug = bug
                    self._looked.notify_all()
                self._over.set()

    def _look_on(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            told = list(samples(self._environment, self._mesh))
            at = self._clock()
            with self._looked:
                changes = self._alerter.step(told, now=at)
                self._looks += 1
                self._looked_s = at
                self._looked.notify_all()
            for change in changes:
                self._hear(change, at)
            self._over.wait(max(0.0, self._poll_s - (time.monotonic() - began)))


def _state(alert: Alert) -> Literal["firing", "pending"]:
    return "firing" if alert.is_firing else "pending"


def samples(environment: Environment, mesh: MeshClient) -> Iterator[Sample]:
    """Ask all nodes for their metrics, with the labels that a Prometheus gives their targets."""
    told = mesh.ask_all(lambda node: node.text("/metrics"))
    for name, answer in told.items():
        target = {"env": environment.name, "instance": name}
        found = read(answer, target) if isinstance(answer, str) else None
        yield Sample("up", labels(target), float(found is not None))
        yield from found or ()


def read(text: str, target: Mapping[str, str]) -> list[Sample] | None:
    """Read what one node tells; None for what is not the format, as if it had not answered."""
    try:
        return [
            Sample(each.name, labels({**each.labels, **target}), each.value)
            for family in text_string_to_metric_families(text)
            for each in family.samples
        ]
    except ValueError:
        return None
