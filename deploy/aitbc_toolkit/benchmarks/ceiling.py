"""How many transactions a second could a machine verify, if nodes did nothing else?

One program a core, all at once, each for a few seconds: `aitbc_load.ceiling`. Counted by processor
time, as what nodes spend is, so that nothing that works beside makes a mesh look better than it is.
Measured before and after a run, while the machine is idle; the better one counts.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aitbc_toolkit.errors import AitbcError

PER_CORE_MIN = 20_000
"""Below that the machine was busy, or is none that these figures mean anything on."""

BUSY = 1.1
"""So many times its processor time a program may take; beyond that others had the cores."""

_FOR_S = 3.0
_SLACK_S = 60.0


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Hold what all cores verify together in one second, were they free.

    `wait` is how many times its processor time the slowest program took.
    """

    a_second: float
    cores: int
    wait: float = 1.0

    @property
    def is_busy(self) -> bool:
        """Tell whether something else had the cores meanwhile."""
        return self.wait > BUSY

    @property
    def per_core(self) -> float:
        """Return the share of one core."""
        return self.a_second / self.cores

    def tps(self, validators: int) -> float:
        """Return how many transactions a second that is, where each validator verifies each."""
        return self.a_second / validators

    def to_document(self) -> dict[str, float]:
        """Write it for a result."""
        return {"verified_a_second": round(self.a_second), "per_core": round(self.per_core)}


def measure(seed: int, *, for_s: float = _FOR_S) -> Ceiling:
    """Verify on every core for so long. Raises: AitbcError when a program fails."""
    cores = os.cpu_count() or 1
    argv = [sys.executable, "-P", "-m", "aitbc_load.ceiling", str(seed), str(for_s)]
    children = [
        subprocess.Popen(argv, stdout=subprocess.PIPE)  # noqa: S603 - our own interpreter
        for _ in range(cores)
    ]
    try:
        told = [_answer(child, for_s + _SLACK_S) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
    return together(told)


def together(told: Sequence[Mapping[str, float]]) -> Ceiling:
    """Add up what the programs of all cores tell, each by its own processor time."""
    a_second = sum(each["verified"] / each["cpu_s"] for each in told)
    return Ceiling(a_second, len(told), max(each["took_s"] / each["cpu_s"] for each in told))


def best(found: Sequence[Ceiling]) -> Ceiling:
    """Return the highest of those that had the cores for themselves, if any had."""
    return max(found, key=lambda each: (not each.is_busy, each.a_second))


def _answer(child: subprocess.Popen[bytes], timeout_s: float) -> dict[str, Any]:
    try:
        said, _ = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as late:
        raise AitbcError("verifying did not end in time", hint="uptime") from late
    if child.returncode:
        raise AitbcError(f"verifying ended with {child.returncode}", hint="see above")
    told: dict[str, Any] = json.loads(said)
    return told
