"""Does a service keep crashing, and what did its node write last? Judged over several looks.

A service that crashes in a loop is up at most looks: what tells is that it is another process each
time.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aitbc_toolkit.release.logged import said
from aitbc_toolkit.render import RestartPolicy

_CRASHES = 2
_LOG_LINES = 4


@dataclass(slots=True)
class Crashes:
    """Count over the looks of one gate: one crash may be bad luck, two are a loop.

    systemd counts restarts itself. supervisord holds back a program that never got up, and says
    nothing of one that did: then it is a new process.
    """

    held_back: Counter[str] = field(default_factory=Counter)
    processes: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def found(self, services: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """Name the services that have given up or keep crashing, with their last words."""
        found = {}
        for name, service in services.items():
            count = self._count(name, service)
            final = not service["active"] and service["status"] in RestartPolicy().final_statuses
            if not service["failed"] and not final and count < _CRASHES:
                continue
            what = "has stopped" if service["failed"] or final else "keeps crashing"
            known = service["status"] is not None
            status = f", status {service['status']}" if known else ""
            found[name] = f"{what} ({service['word']}{status})" + lines(service)
        return found

    def _count(self, name: str, service: Mapping[str, Any]) -> int:
        self.held_back[name] += service["word"] == "backoff"
        if service["pid"]:
            self.processes[name].add(service["pid"])
        renewed = len(self.processes[name]) - 1
        return max(self.held_back[name], renewed, int(service["restarts"]))


def lines(service: Mapping[str, Any]) -> str:
    """Indent the newest lines, each once: a loop writes the same words again and again."""
    told = dict.fromkeys(map(said, reversed(service.get("log", []))))
    return "".join(f"\n    {line}" for line in reversed(list(told)[:_LOG_LINES]))
