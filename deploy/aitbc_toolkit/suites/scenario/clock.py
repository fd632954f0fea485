"""Who waits in a scenario, and keeps what was found?"""

from collections.abc import Callable
from typing import Protocol

from aitbc_toolkit.suites.waiting import Look


class Clock(Protocol):
    """Be the engine that waits."""

    def now(self) -> float:
        """Return the seconds of the mesh's clock."""

    def let_pass(self, length_s: float) -> None:
        """Let time pass. Raises: ScenarioError as soon as anything unsafe was seen."""

    def until(self, what: str, look: Callable[[], Look[None]], *, within_s: float) -> None:
        """Wait for something. Raises: ScenarioError (liveness)."""

    def everywhere(self, height: int) -> None:
        """Wait until every node has a block. Raises: ScenarioError (liveness)."""

    def found(self, name: str, told: str, *, met: bool) -> None:
        """Keep a judgement."""
