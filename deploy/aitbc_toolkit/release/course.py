"""From where to where do nodes go, and what became of them? Values only, for every verb."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aitbc_toolkit.release import gates
from aitbc_toolkit.release.history import Place
from aitbc_toolkit.release.request import OnFailure
from aitbc_toolkit.release.waves import Order


@dataclass(frozen=True, slots=True)
class Course:
    """Say from where to where the nodes go, in which order, and what follows a failure.

    `arrived` are nodes that an earlier attempt has brought to where they go: only gated now, and
    watched when they are a canary whose watch had not ended (`watches_arrived`).
    `left_out` are nodes of hosts that do not answer, and why; a node of `may_strand` was down or
    did not vote, and when it does not come back nobody goes back for it; with `may_stall` the
    others go on even when too few of them vote without it. The validators of `silent` ran and did
    not vote before the run, so without a vote they are as before.
    Without `gated` a node that answers has passed: for measuring what a deploy costs beside votes.
    """

    order: Order
    targets: Mapping[str, Place]
    before: Mapping[str, Place]
    bake_s: float = 0.0
    arrived: tuple[str, ...] = ()
    watches_arrived: bool = False
    on_failure: OnFailure = "rollback"
    gated: bool = True
    left_out: Mapping[str, str] = field(default_factory=dict)
    may_strand: frozenset[str] = frozenset()
    may_stall: bool = False
    silent: frozenset[str] = frozenset()

    @property
    def waves(self) -> int:
        """Count the waves."""
        return len(self.order.waves)

    @property
    def returns_at_once(self) -> bool:
        """Tell whether a return starts everything and then waits once: no quorum to keep."""
        return self.order.at_once or self.order.stalls


@dataclass(slots=True)
class Rolled:
    """Collect what happened: which nodes changed, what failed, and what was undone.

    `taking_part` are the nodes that followed the chain before anything was changed;
    `stopped` is why no further wave was begun although no node had failed; `unanswered` are nodes
    of hosts that did not say what they have done. `processes` are those that were started, and
    `undrained` the nodes that found no moment at which stopping them costs no round.
    """

    switched: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    stopped: str = ""
    unanswered: list[str] = field(default_factory=list)
    wave: int = 0
    stranded: dict[str, str] = field(default_factory=dict)
    processes: dict[str, int] = field(default_factory=dict)
    restart_ms: list[int] = field(default_factory=list)
    undrained: list[str] = field(default_factory=list)
    first_height: int = 0
    taking_part: Sequence[str] = ()
    began: float = field(default_factory=time.monotonic)

    @property
    def ok(self) -> bool:
        """Tell whether every wave passed."""
        return not self.failed and not self.stopped

    def floor_ms(self, interval_ms: int) -> int:
        """Give the least time that these waves could take: each restarts, then votes."""
        return sum(self.restart_ms) + len(self.restart_ms) * gates.HEIGHTS * interval_ms


def by_reason(failed: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Put nodes with the same reason together, with the log lines of the first."""
    found: dict[str, tuple[str, list[str]]] = {}
    for name, why in failed.items():
        found.setdefault(why.partition("\n")[0], (why, []))[1].append(name)
    return list(found.values())
