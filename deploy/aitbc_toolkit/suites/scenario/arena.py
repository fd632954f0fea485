"""What does a scenario need of a mesh, whether that lives or is simulated?

Time is the mesh's own: a simulated second costs what it costs. Do not add what a scenario means:
`engine.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import msgspec

from aitbc_sim.edges import Edges
from aitbc_toolkit.graph import Graph
from aitbc_toolkit.suites.scenario.builds import Deployer
from aitbc_toolkit.suites.scenario.ledger import Ledger
from aitbc_toolkit.suites.scenario.measuring import Window
from aitbc_toolkit.suites.scenario.words import Value


class Town(NamedTuple):
    """Say who lives in a mesh; full nodes have no power."""

    powers: Mapping[str, int]
    interval_s: float
    round_timeout_s: float
    liars: frozenset[str] = frozenset()
    """Who breaks the rules, and is judged by nobody."""

    @property
    def validators(self) -> tuple[str, ...]:
        """List those who vote."""
        return tuple(name for name, power in self.powers.items() if power)


class Sight(NamedTuple):
    """Hold what all nodes have told: who is silent has no height."""

    heights: Mapping[str, int]
    leader: str = ""
    """Whose turn it is to propose; empty while nobody tells."""
    ever: int = 0
    """The highest that anybody has told so far, also of those who are silent now."""

    @property
    def tip(self) -> int:
        """Return the highest of all heights."""
        return max([*self.heights.values(), self.ever])

    def top_of(self, names: Collection[str]) -> int:
        """Return the highest of some nodes."""
        return max((self.heights[name] for name in names if name in self.heights), default=0)


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """Be a fault with everything decided: whom it hits, which ways it cuts, for how long."""

    id: str
    fault: str
    targets: tuple[str, ...]
    edges: Edges[str] = frozenset()
    lease_s: float
    parameters: dict[str, Value] = {}
    groups: tuple[tuple[str, ...], ...] = ()
    """What a cut divides the mesh into, in the order of its file; else who is hit, and the rest."""

    def brief(self) -> dict[str, object]:
        """Say what is broken, where and for how long."""
        return {"fault": self.fault, "targets": list(self.targets), "lease_s": self.lease_s}

    def row(self) -> dict[str, object]:
        """Say all of it, as a record keeps it."""
        edges = sorted(self.edges)
        return {**self.brief(), "parameters": dict(self.parameters), "edges": edges}


class Bite(NamedTuple):
    """Say since when a fault is known to bite and when it ends, by the mesh's clock.

    Between `ends_from` and `ends_at` each host ends its part; recovery counts from the former.
    """

    at: float
    ends_at: float
    ends_from: float
    evidence: object = None


class Pace(Protocol):
    """Be a swarm that hands in while a scenario is played."""

    def require(self) -> None:
        """Go on unless the run was ended. Raises: ScenarioError."""

    def kept_up(self, share: float, over_s: float, *, since: float) -> float | None:
        """Tell since when such a share of what was due became final for so long; None: not yet."""


class Arena(Protocol):
    """Be a mesh that a scenario can watch, break and wait for."""

    @property
    def town(self) -> Town:
        """Tell who lives there."""

    def now(self) -> float:
        """Return the seconds of the mesh's clock."""

    def moment(self) -> float:
        """Return the seconds that are written down for people and reports."""

    def pause(self, seconds: float) -> None:
        """Let time pass. Raises: ScenarioError as soon as anything unsafe was seen."""

    def sight(self, *, after: float = 0.0) -> Sight:
        """Tell what every node said last; who said nothing since a given moment is silent."""

    def reached(self, name: str, height: int) -> float:
        """Tell when a node came to a height that it has, by the mesh's clock."""

    def injected(self, planned: Planned) -> AbstractContextManager[Bite]:
        """Break something until the block ends, or until the lease does."""

    def next_leader(self) -> str:
        """Tell whose turn it is behind the one whose turn it is; empty where nobody tells."""

    def powers(self) -> Mapping[str, int]:
        """Tell who votes on the next block, and what that counts; `town` has the first ones."""

    def last_votes(self) -> Mapping[str, int]:
        """Tell at which height each node voted last, as blocks show it; the silent have none."""

    def deployer(self) -> Deployer:
        """Call whoever brings builds to the nodes."""

    def ledger(self) -> Ledger:
        """Open the ledger to whoever uses it."""

    def punished(self) -> frozenset[str]:
        """Name the validators that the ledger has found guilty of signing twice."""

    def kept_up(self, share: float, over_s: float, *, since: float) -> float | None:
        """Tell as `Pace` does. Raises: ScenarioError (invalid) where no swarm hands in."""

    def overlay(self) -> Graph | None:
        """Tell which nodes are linked; nothing while one of them is silent.

        Raises: ScenarioError (invalid) where links are not a mesh's own doing.
        """

    def measures(self, hit: Sequence[Window] = ()) -> Mapping[str, float]:
        """Tell the figures that no step has to ask for, of all that was seen: see `MEASURES`.

        In the windows of time that were `hit`, faults lasted.
        """

    def note(self, kind: str, **fields: object) -> None:
        """Write down that something happened."""
