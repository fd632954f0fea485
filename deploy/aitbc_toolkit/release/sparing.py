"""Can the mesh spare the nodes of a wave now? Judged by who votes, not by the plan."""

import time
from collections.abc import Collection

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import powers
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.waves import Budget, Wave, budgets

# A node whose gate has passed votes; this bears a slow look at the others.
_PATIENCE_S = 5.0
_POLL_S = 0.2


def short_of_power(mesh: Mesh, wave: Wave) -> str:
    """Say why the mesh cannot spare a wave now; empty if it can.

    A node that was restarted a moment ago may still be on its way back, so this waits a little.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        votes, budget = _look(mesh, wave)
        if budget.goes_on:
            return ""
        if time.monotonic() > deadline:
            names = " ".join(votes) or "nobody"
            return f"{' '.join(wave)} cannot be spared: {names} vote, without it {budget.sum}"
        time.sleep(_POLL_S)


def keep_blocks(environment: Environment, hit: Collection[str]) -> None:
    """Refuse to break nodes without which no block would be made; where none is, nothing is lost.

    Raises: AitbcError (refused) with the sum.
    """
    with Mesh(environment) as mesh:
        short = short_of_power(mesh, tuple(hit)) if has_quorum(mesh) else ""
    if short:
        raise AitbcError(
            f"chaos refused: {short}",
            hint="aitbc chaos run --help",
            exit_status=Exit.REFUSED,
        )


def has_quorum(mesh: Mesh) -> bool:
    """Tell whether more than two thirds of the voting power take part now."""
    _, budget = _look(mesh, ())
    return budget.goes_on


def _look(mesh: Mesh, wave: Wave) -> tuple[list[str], Budget]:
    statuses = mesh.statuses()
    votes = voting(mesh.environment, statuses)
    (budget,) = budgets(powers.told(mesh, statuses), [wave], votes)
    return votes, budget
