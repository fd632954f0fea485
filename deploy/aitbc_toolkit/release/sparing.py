"""Can the mesh spare the nodes of a wave now? Judged by who votes, not by the plan."""

import time

from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.waves import Wave, budgets

# A node whose gate has passed votes; this bears a slow look at the others.
_PATIENCE_S = 5.0
_POLL_S = 0.2


def short_of_power(mesh: Mesh, wave: Wave) -> str:
    """Say why the mesh cannot spare a wave now; empty if it can.

    A node that was restarted a moment ago may still be on its way back, so this waits a little.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        votes = voting(mesh.environment, mesh.statuses())
        (budget,) = budgets(mesh.environment, [wave], votes)
        if budget.goes_on:
            return ""
        if time.monotonic() > deadline:
            names = " ".join(votes) or "nobody"
            return f"{' '.join(wave)} cannot be spared: {names} vote, without it {budget.sum}"
        time.sleep(_POLL_S)


def has_quorum(mesh: Mesh) -> bool:
    """Tell whether more than two thirds of the voting power take part now."""
    (budget,) = budgets(mesh.environment, [()], voting(mesh.environment, mesh.statuses()))
    return budget.goes_on
