"""What did each node use while a swarm handed in, and for each final transaction?

Processor time, memory and disk are read on the node's host (proc(5), over SSH), what went over its
links from its own metrics: the kernel counts bytes for a whole network, not for a process. A node
that cannot be read has no figures, and says why. Do not judge them here.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.occupation import looking

Document = dict[str, Any]

_LINKS = {
    "aitbc_p2p_received_bytes_total": "bytes_in",
    "aitbc_p2p_sent_bytes_total": "bytes_out",
}
_GROWN = ("bytes_in", "bytes_out", "disk_bytes")


@dataclass(slots=True)
class Look:
    """Hold what every node had used at one moment; `why` nothing is known, where nothing is."""

    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    why: str = "it was not looked at"


class Meter:
    """Look at all nodes before and after a run, in a `with` block; nothing of it fails the run."""

    def __init__(self, environment: Environment, mesh: MeshClient) -> None:
        self._environment = environment
        self._mesh = mesh
        self._before = Look()
        self._after = Look()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._crew = self._stack.enter_context(looking(self._environment, _untold)).crew
        self._look()  # connects, so that the looks that count take next to no time
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def hear(self, what: str) -> None:
        """Look when the swarm says that it begins, and when all that it sent has ended."""
        if what == "signed":
            self._before = self._look()
        elif what == "drained":
            self._after = self._look()

    def costs(self, final: int) -> list[Document]:
        """Return what each node used between the two looks."""
        names = [each.name for each in self._environment.instances]
        return [_cost(name, self._before, self._after, final) for name in names]

    def _look(self) -> Look:
        try:
            hosts = self._crew.meter()
        except AitbcError as failure:
            return Look(why=failure.message)
        links = self._mesh.ask_all(lambda node: node.text("/metrics"))
        return Look(
            {name: {**told, **_links(links.get(name))} for name, told in hosts.items()},
            why="its host did not answer",
        )


def _links(text: object) -> Mapping[str, float]:
    """Read how many bytes a node's links have carried; nothing where it did not answer."""
    if not isinstance(text, str):
        return {}
    return {
        _LINKS[sample.name]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in _LINKS
    }


def _cost(name: str, before: Look, after: Look, final: int) -> Document:
    """Compare two looks at one node."""
    first, last = before.nodes.get(name), after.nodes.get(name)
    if first is None or last is None:
        return {"node": name, "why": before.why if first is None else after.why}
    if "cpu_s" not in first or "cpu_s" not in last:
        return {"node": name, "why": "its process did not run, or may not be read"}
    if first["began"] != last["began"]:
        return {"node": name, "why": "its process was started anew meanwhile"}
    grown = {
        key: last[key] - first[key] if key in first and key in last else None for key in _GROWN
    }
    cpu_ms = round(1000 * (last["cpu_s"] - first["cpu_s"]), 3)
    return {
        "node": name,
        "cpu_ms": cpu_ms,
        **grown,
        "memory_bytes": last["memory_bytes"],
        "memory_grown_bytes": last["memory_bytes"] - first["memory_bytes"],
        "per_tx": _per_tx({"cpu_ms": cpu_ms, **grown}, final),
        "why": "",
    }


def _per_tx(used: Mapping[str, float | None], final: int) -> Document | None:
    if not final:
        return None
    return {key: None if value is None else round(value / final, 5) for key, value in used.items()}


def _untold(_record: object) -> None:
    """Tell nobody: looking at hosts is no step of a run."""
