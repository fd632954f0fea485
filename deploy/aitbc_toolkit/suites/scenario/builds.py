"""What does a scenario need of whoever brings builds to the nodes of a mesh?

Each method returns a line for people, and waits until it is done. Do not add how: the real deployer
does it on hosts, `simulated_builds.py` in the simulator.
"""

from collections.abc import Sequence
from typing import Protocol

from aitbc_toolkit.suites.scenario.clock import Clock


class Deployer(Protocol):
    """Bring builds to nodes, one after the other."""

    def upgrade(self, names: Sequence[str], clock: Clock) -> str:
        """Bring a newer build to these nodes. Raises: ScenarioError where one does not work."""

    def rollback(self, names: Sequence[str], clock: Clock) -> str:
        """Bring back the build before to these nodes. Raises: ScenarioError."""

    def fail(self, names: Sequence[str], clock: Clock) -> str:
        """Begin with a build that does not work, and see it taken back. Raises: ScenarioError."""

    def rotate(self, names: Sequence[str], clock: Clock) -> str:
        """Give these validators new keys to vote with. Raises: ScenarioError."""
