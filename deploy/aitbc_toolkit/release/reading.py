"""What do the nodes themselves say? All are asked side by side; silence is a value, not a guess.

Reads over the public RPC only. What an answer means for a deploy is judged in `gates`.
"""

import http.client
import statistics
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from aitbc_node.rpc import schema
from aitbc_toolkit import identity
from aitbc_toolkit.decoding import decode
from aitbc_toolkit.inventory import Environment, Instance

_TIMEOUT_S = 2.0
_PAGE = 20

Answer = TypeVar("Answer", bound=schema.Answer)


# A node that follows may miss the newest block at the moment it is asked.
_LAG_MAX = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """Tell how blocks came over a stretch of heights, by the median time in their headers."""

    first: int
    last: int
    longest_gap_ms: int
    interval_ms: int
    extra_rounds: int


class Mesh:
    """Ask the nodes of one environment; use it in a `with` block."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.strangers: dict[str, str] = {}
        self._pool = ThreadPoolExecutor(max_workers=max(1, len(environment.instances)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown()

    def statuses(self, names: Iterable[str] | None = None) -> dict[str, schema.Status | None]:
        """Ask nodes for their status; one that does not answer, or is not ours, is None.

        `strangers` then says why an answer was not counted; nothing else is asked of those.
        """
        wanted = set(names) if names is not None else None
        asked = [
            each for each in self.environment.instances if wanted is None or each.name in wanted
        ]
        answers = self._pool.map(self._status, asked)
        return dict(zip([each.name for each in asked], answers, strict=True))

    def _status(self, instance: Instance) -> schema.Status | None:
        self.strangers.pop(instance.name, None)
        told = self.ask(instance, "/status", schema.Status)
        if told and (reason := identity.stranger(self.environment, instance.name, told)):
            self.strangers[instance.name] = reason
            return None
        return told

    def ask(self, instance: Instance, route: str, shape: type[Answer]) -> Answer | None:
        """Read one route of one node, or None when it gives no such answer."""
        if instance.name in self.strangers:
            return None
        body = _get(instance, route)
        try:
            return decode(body, shape) if body is not None else None
        except msgspec.MsgspecError:
            return None

    def ask_each(
        self, names: Sequence[str], route: str, shape: type[Answer]
    ) -> dict[str, Answer | None]:
        """Read one route of several nodes at once, each as `ask` does."""
        instances = [self.environment.instance(name) for name in names]
        answers = self._pool.map(lambda each: self.ask(each, route, shape), instances)
        return dict(zip(names, answers, strict=True))

    def serves(self, name: str, route: str) -> bool:
        """Tell whether a node gives any answer at all on a route."""
        return _get(self.environment.instance(name), route) is not None

    def blocks(self, first: int, last: int) -> list[schema.BlockView]:
        """Read a stretch of final blocks from whichever node has it."""
        found: dict[int, schema.BlockView] = {}
        for instance in self.environment.instances:
            while (start := first + len(found)) <= last:
                route = f"/blocks?from={start}&count={min(_PAGE, last - start + 1)}"
                page = self.ask(instance, route, schema.Blocks)
                if page is None or not page.blocks:
                    break
                found.update((block.height, block) for block in page.blocks)
            if first + len(found) > last:
                break
        return [found[height] for height in sorted(found)]

    def page(self, name: str, first: int) -> list[schema.BlockView]:
        """Read one node's blocks from a height on, as many as one answer holds."""
        instance = self.environment.instance(name)
        page = self.ask(instance, f"/blocks?from={first}&count={_PAGE}", schema.Blocks)
        return page.blocks if page is not None else []

    def roots(self, height: int) -> dict[str, str]:
        """Read every node's state root of one height; a node that cannot tell is left out."""
        asked = self.environment.instances
        route = f"/state_root?height={height}"
        answers = self._pool.map(lambda each: self.ask(each, route, schema.StateRoot), asked)
        return {
            each.name: answer.state_root
            for each, answer in zip(asked, answers, strict=True)
            if answer is not None
        }

    def pace(self, first: int, last: int) -> Pace | None:
        """Measure the gaps between the blocks of a stretch of heights."""
        blocks = self.blocks(first, last)
        gaps = [after.time_ms - before.time_ms for before, after in pairwise(blocks)]
        if not gaps:
            return None
        return Pace(
            first=blocks[0].height,
            last=blocks[-1].height,
            longest_gap_ms=max(gaps),
            interval_ms=int(statistics.median(gaps)),
            extra_rounds=sum(block.round for block in blocks),
        )


def _get(instance: Instance, route: str) -> bytes | None:
    """Read what a node says on a route, whole and once; None for anything but success.

    A connection of its own for each question: a node that was restarted has no old one. The
    library's own client, because httpx takes as long to import as the command takes to work.
    """
    where = urlsplit(instance.rpc_url)
    link = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_TIMEOUT_S)
    try:
        link.request("GET", route)
        answer = link.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        link.close()
    return body if answer.status == HTTPStatus.OK else None


def following(statuses: Mapping[str, schema.Status | None]) -> list[str]:
    """List the nodes that answer and keep up with the chain."""
    height = tip(statuses)
    return [
        name
        for name, status in statuses.items()
        if status and not status.syncing and status.height >= height - _LAG_MAX
    ]


def tip(statuses: Mapping[str, schema.Status | None]) -> int:
    """Give the greatest final height that any node tells; 0 when none answers."""
    return max((status.height for status in statuses.values() if status), default=0)
