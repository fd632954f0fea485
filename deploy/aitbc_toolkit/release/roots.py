"""Do all nodes compute the same state? One height that all have, one root, or a reason why not.

Only asks, and keeps what was answered as evidence; what follows is decided by the caller.
"""

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aitbc_toolkit.release.reading import Mesh, tip

PATIENCE_S = 10.0
_POLL_S = 0.1
_SHORT = 12


@dataclass(frozen=True, slots=True)
class Comparison:
    """Hold the root of one height on every node that told one; `problem` is empty when equal."""

    height: int
    roots: Mapping[str, str]
    problem: str = ""

    @property
    def root(self) -> str:
        """Give the root that all have; empty when there is none."""
        return "" if self.problem else next(iter(self.roots.values()))


def compare(mesh: Mesh, *, needed: Collection[str] | None = None) -> Comparison:
    """Compare one height on all nodes; `needed` have to tell a root, all when it is not given."""
    names = [each.name for each in mesh.environment.instances]
    deadline = time.monotonic() + PATIENCE_S
    height = max(1, tip(mesh.statuses()) - 1)
    while True:
        roots = mesh.roots(height)
        silent = [name for name in names if name not in roots and name in (needed or names)]
        if not silent or time.monotonic() > deadline:
            return Comparison(height, roots, _problem(height, roots, silent))
        time.sleep(_POLL_S)


def _problem(height: int, roots: Mapping[str, str], silent: Collection[str]) -> str:
    if len(set(roots.values())) > 1:
        told = ", ".join(f"{name} {root[:_SHORT]}" for name, root in roots.items())
        return f"state roots differ at height {height:,}: {told}"
    if silent:
        return f"{' '.join(silent)} did not tell a state root of height {height:,}"
    return ""


def compare_wave(mesh: Mesh, wave: Collection[str]) -> dict[str, str]:
    """Compare the nodes of a wave with all that answer; return who failed and why.

    A node that was down before may be down still, so only those of the wave have to answer.
    """
    found = compare(mesh, needed=wave)
    return dict.fromkeys(wave, found.problem) if found.problem else {}


def keep_evidence(mesh: Mesh, path: Path, failed: Mapping[str, str]) -> None:
    """Keep what every node says of itself and of one height, before anything is taken back."""
    statuses = mesh.statuses()
    told = [status.height for status in statuses.values() if status]
    # The newest height that all who answer have; a node that stands still has it as well.
    height = max(1, min(told, default=1))
    roots = mesh.roots(height)
    document: dict[str, Any] = {
        "failed": dict(failed),
        "height": height,
        "nodes": {
            each: {
                "commit": status.commit if status else "",
                "height": status.height if status else 0,
                "state_root": roots.get(each, ""),
                "last_voted_height": status.last_voted_height if status else 0,
                "trouble": status.trouble if status else "did not answer",
            }
            for each, status in statuses.items()
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
