"""Which validators vote, looked at every 200 ms from beside a run that changes the mesh."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from aitbc_node.rpc import schema
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.gates import HEIGHTS, quorum
from aitbc_toolkit.release.reading import Mesh, tip

PERIOD_S = 0.2


@dataclass
class Samples:
    """Hold when each look was made, and who did not vote then."""

    environment: Environment
    at_s: list[float] = field(default_factory=list)
    away: list[frozenset[str]] = field(default_factory=list)

    @property
    def period_s(self) -> float:
        """Say how far apart the looks really were, in the middle."""
        return median(
            after - before for before, after in zip(self.at_s, self.at_s[1:], strict=False)
        )

    @property
    def seen_away(self) -> set[str]:
        """Name everybody who was away in some sample."""
        return {name for names in self.away for name in names}

    def too_many(self) -> list[set[str]]:
        """List the samples in which the rest had no quorum: one is a mesh that was stopped."""
        power = {each.name: each.power for each in self.environment.validators}
        total = sum(power.values())
        sums = [(names, sum(power[name] for name in names)) for names in self.away]
        return [set(names) for names, missing in sums if not quorum(total - missing, total)]


@contextmanager
def sampled(environment: Environment) -> Iterator[Samples]:
    """Look until the block ends, from a thread and with connections of its own."""
    found, ended = Samples(environment), threading.Event()
    thread = threading.Thread(target=_look, args=(found, ended), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def _look(found: Samples, ended: threading.Event) -> None:
    with Mesh(found.environment) as mesh:
        while not ended.wait(PERIOD_S):
            began_s = time.monotonic()
            statuses = mesh.statuses()
            found.at_s.append(began_s)
            found.away.append(_away(found.environment, statuses))


def _away(environment: Environment, statuses: Mapping[str, schema.Status | None]) -> frozenset[str]:
    """Name the validators that do not answer, or have not voted for three heights."""
    height = tip(statuses)
    return frozenset(
        each.name
        for each in environment.validators
        if (status := statuses[each.name]) is None
        or status.syncing
        or status.last_voted_height < height - HEIGHTS
    )
