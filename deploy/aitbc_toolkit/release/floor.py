"""What is the least time that a change takes, and how long does it stop the mesh?

Computed before it, from what the last one measured; what it took is measured in the run itself.
"""

from dataclasses import dataclass

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import gates, history
from aitbc_toolkit.release.outcome import counted, seconds
from aitbc_toolkit.release.request import Settled
from aitbc_toolkit.release.waves import Order


@dataclass(frozen=True, slots=True)
class Floor:
    """Say the least time of the waves: each restarts, then votes in some heights.

    `restart_ms` is what the last deploy measured, 0 when none did yet; `bake_s` is how long a
    canary is watched.
    """

    waves: int
    restart_ms: int
    interval_ms: int
    bake_s: int = 0

    @property
    def ms(self) -> int:
        """Give the sum."""
        moving_ms = self.waves * (self.restart_ms + gates.HEIGHTS * self.interval_ms)
        return moving_ms + self.bake_s * 1_000

    @property
    def stall_ms(self) -> int:
        """Give the least time without a block where a wave stops the mesh."""
        return self.restart_ms + self.interval_ms

    @property
    def text(self) -> str:
        """Write the sum for people."""
        restart = f"restart {seconds(self.restart_ms)}" if self.restart_ms else "restart"
        each = f"({restart} + {gates.HEIGHTS} x {seconds(self.interval_ms)})"
        baking = f" + {self.bake_s} s of watching" if self.bake_s else ""
        return f"{counted(self.waves, 'wave')} x {each}{baking} = {seconds(self.ms)} at least"

    def to_document(self) -> dict[str, int]:
        """Write it as a plan holds it."""
        return {
            "ms": self.ms,
            "restart_ms": self.restart_ms,
            "interval_ms": self.interval_ms,
            "bake_s": self.bake_s,
        }


def of(environment: Environment, order: Order, choice: Settled) -> Floor:
    """Work it out for the waves of a plan."""
    measured = [
        int(each.figures["restart_ms"])
        for each in history.read(environment)
        if each.figures.get("restart_ms")
    ]
    restart_ms = measured[-1] if measured else 0
    bake_s = choice.bake_s if order.canary else 0
    return Floor(len(order.waves), restart_ms, environment.chain.block_interval_ms, bake_s)
