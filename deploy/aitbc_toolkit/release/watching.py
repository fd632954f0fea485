"""Do blocks still come as fast as before the run, now that a wave has passed its gate?

A mesh may be slow while every host looks healthy and every node votes: so the blocks themselves are
measured, by the times in their headers, against those before the run. One slow block is bad luck;
a release is slow when no whole rotation of proposers passes without one. Only asks.
"""

import time
from dataclasses import dataclass
from itertools import pairwise

from aitbc_toolkit.release.gates import HEIGHTS
from aitbc_toolkit.release.outcome import seconds
from aitbc_toolkit.release.reading import Mesh, tip

# A failed round more than doubles the time of a block; the noise of a busy machine does not.
SLOWER_MAX = 2
# Noise may double short blocks; what a failed round adds is a second, its time-out, at least.
_LATER_MS = 700

_BASELINE_HEIGHTS = 40
_BASELINE_HEIGHTS_MIN = 5
_ROTATION_MAX = 20
_PATIENCE_S = 10.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Watchdog:
    """Hold how blocks came before a run; `usual_ms` is 0 where there were none to measure.

    It is the slowest block of the best rotation: a mesh with a validator down has a slow one in
    each, while one that was late for once, behind a restart, is no measure for what follows.
    """

    usual_ms: int
    rotation: int
    interval_ms: int

    @property
    def limit_ms(self) -> int:
        """Say how long a block may take."""
        return max(SLOWER_MAX * self.usual_ms, self.usual_ms + _LATER_MS)

    @property
    def patience_s(self) -> float:
        """Say how long a wave may take to show one rotation without a slow block."""
        return _PATIENCE_S + 2 * self.rotation * self.interval_ms / 1000

    def slowness(self, mesh: Mesh, *, is_first: bool) -> str:
        """Wait for a stretch of blocks at the old pace; say why there is none, or nothing.

        After the first wave the stretch is a whole rotation, so the new release proposes in it.
        """
        count = self.rotation if is_first else HEIGHTS
        deadline = time.monotonic() + self.patience_s
        # Those heights are the ones that the wave has just voted in.
        since = max(1, tip(mesh.statuses()) - HEIGHTS)
        while self.usual_ms:
            gaps = _gaps(mesh, since, tip(mesh.statuses()))
            if is_steady(gaps, count=count, limit_ms=self.limit_ms):
                break
            if time.monotonic() > deadline:
                worst = seconds(max(gaps, default=int(self.patience_s * 1000)))
                return (
                    f"finality is slow: a block takes up to {worst} with this release, "
                    f"{seconds(self.usual_ms)} before it, though every host looks healthy"
                )
            time.sleep(_POLL_S)
        return ""


def watchdog(mesh: Mesh) -> Watchdog:
    """Measure the mesh as it is before a run; one that is slow already is held to that."""
    interval_ms = mesh.environment.chain.block_interval_ms
    rotation = min(len(mesh.environment.validators), _ROTATION_MAX)
    height = tip(mesh.statuses())
    gaps = _gaps(mesh, max(1, height - _BASELINE_HEIGHTS), height)
    if len(gaps) < _BASELINE_HEIGHTS_MIN:
        return Watchdog(0, rotation, interval_ms)
    return Watchdog(max(interval_ms, _best(gaps, count=rotation)), rotation, interval_ms)


def _best(gaps: list[int], *, count: int) -> int:
    """Find the slowest gap of that stretch whose slowest one is the fastest."""
    starts = range(max(1, len(gaps) - count + 1))
    return min(max(gaps[start : start + count]) for start in starts)


def is_steady(gaps: list[int], *, count: int, limit_ms: int) -> bool:
    """Tell whether so many gaps in a row stay within the limit."""
    streak = 0
    for gap in gaps:
        streak = streak + 1 if gap <= limit_ms else 0
        if streak >= count:
            return True
    return False


def _gaps(mesh: Mesh, first: int, last: int) -> list[int]:
    blocks = mesh.blocks(first, last)
    return [after.time_ms - before.time_ms for before, after in pairwise(blocks)]
