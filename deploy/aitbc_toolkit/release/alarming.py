"""Which alerts began while a canary was watched, and are they about it? Watches; changes nothing.

The rules and how nodes are asked are `monitor`'s. One watch goes from before the hosts prepare to
the end of the bake: a rule that counts shows only then what went on already, which is no fault of
the canary. Neither is what a rule says that carries `canary: "no"`: anybody could bring that about,
and so keep releases back. Do not add what follows from an alert: `rolling`.
"""

from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING, Self

from aitbc_toolkit.inventory import Environment

if TYPE_CHECKING:
    from aitbc_toolkit.monitor.alerting import Alert
    from aitbc_toolkit.monitor.collecting import Collector

_COUNTED = ("critical", "warning")
# What every release tells; where nobody does, nothing that the rules say can be believed.
_LEAST = "aitbc_height"
# What a rule counts is known from the second look on.
_LOOKS = 2


class Alarm:
    """Hear alerts that were not standing, in a `with` block; nobody is asked before it is begun."""

    def __init__(self, environment: Environment, *, poll_s: float = 1.0) -> None:
        self._environment = environment
        self._poll_s = poll_s
        self._collector: Collector | None = None
        self._marked_s: float | None = 0.0
        self._changed: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def begin(self) -> None:
        """Watch from here on; a watch that has begun goes on."""
        if self._collector is None:
            from aitbc_toolkit.monitor.collecting import (  # noqa: PLC0415 - a third of a second, for canaries only
                Collector,
            )

            self._collector = Collector(self._environment, poll_s=self._poll_s)
            self._collector.__enter__()

    def mark(self, *, changed: Collection[str] = ()) -> None:
        """Take what holds by now for standing, but for what is about nodes that are `changed`.

        Where the mesh could not be looked at in time, it is what holds when it is.
        """
        self.begin()
        lacking = _LOOKS - self._watch.looks
        is_seen = lacking <= 0 or self._watch.wait_look(lacking)
        self._marked_s, self._changed = (
            self._watch.looked_s if is_seen else None,
            frozenset(changed),
        )

    def end(self) -> None:
        """Watch no more."""
        if self._collector is not None:
            self._collector.__exit__(None, None, None)
            self._collector = None

    def wait_look(self, count: int = 1) -> bool:
        """Wait until the mesh was looked at so many times more."""
        return self._watch.wait_look(count)

    def heard(self, names: Collection[str]) -> dict[str, str]:
        """Say why which of the named nodes are not well; an alert about the mesh concerns each."""
        if not self._watch.looks or not self._is_told:
            return {}
        if self._marked_s is None:
            if self._watch.looks < _LOOKS:
                return {}
            self._marked_s = self._watch.looked_s
        held, marked_s = self._watch.alerts, self._marked_s
        counted = [
            alert
            for alert in held
            if alert.is_firing
            and self._is_news(alert, marked_s)
            and not _is_excused(alert, held, names)
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
            bug = self._watch.bug
            why = (
                f"a bug ended the watch, {bug!r}" if bug else "no look at the mesh came to its end"
            )
            return f"alerts: not available, {why}"
        if not self._is_told:
            return "alerts: not available, no node tells its metrics"
        blind = len(self._watch.blind)
        known = f"no alert of {self._watch.rules - blind} rules"
        return f"{known}, {blind} rules: not available" if blind else known

    def _is_news(self, alert: "Alert", marked_s: float) -> bool:
        """Tell what began after the mark; what has ended and comes again did, too."""
        if alert.rule.severity not in _COUNTED:
            return False
        return alert.since > marked_s or alert.node in self._changed

    @property
    def _watch(self) -> "Collector":
        assert self._collector is not None, "nothing is heard before the watch is begun"
        return self._collector

    @property
    def _is_told(self) -> bool:
        return all(_LEAST not in lacking for lacking in self._watch.blind.values())


def _is_excused(alert: "Alert", held: Collection["Alert"], names: Collection[str]) -> bool:
    """Tell what is no sign of a release, by the rule's own word.

    `canary: "no"` never is; `canary: "alone"` is none while a node without the release has it too.
    """
    match alert.rule.labels.get("canary"):
        case "no":
            return True
        case "alone":
            return any(other.name == alert.name and other.node not in names for other in held)
        case _:
            return False
