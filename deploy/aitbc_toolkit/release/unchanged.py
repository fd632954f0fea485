"""What is said when every node runs what it should already? Only whether they also agree.

Changes nothing; a mesh that runs the right release and makes no blocks is not fine for that.
"""

import time

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import powers
from aitbc_toolkit.release.gates import quorum, voting
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.plan import Plan
from aitbc_toolkit.release.progress import duration
from aitbc_toolkit.release.reading import tip
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.release.source import SHORT

# A node that was started a moment ago has not voted yet.
_PATIENCE_S = 5.0
_POLL_S = 0.2


def nothing_to_do(run: Run, plan: Plan, *, began: float) -> Outcome:
    """Say that nothing changed, and how the mesh does; asked anew unless it was found well."""
    environment, commit = run.environment, plan.revision.commit
    deadline = time.monotonic() + _PATIENCE_S
    votes, height, power = plan.seen.voting, plan.seen.height, plan.seen.powers
    while not (live := quorum(power.sum(votes), power.total)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        statuses = run.mesh.statuses()
        votes, height = frozenset(voting(environment, statuses)), tip(statuses)
        power = powers.told(run.mesh, statuses)
    took_s = time.monotonic() - began
    name, count = environment.name, len(environment.validators)
    facts = {"environment": name, "commit": commit, "height": height, "votes": len(votes)}
    told = f"height {height:,}, {len(votes)} of {count} vote"
    if live:
        line = f"Nothing to do: {name} runs {commit[:SHORT]}, {told}, took {duration(took_s)}"
        return Outcome(Exit.OK, [line], took_s=took_s, facts=facts)
    return Outcome(
        Exit.FAILED,
        took_s=took_s,
        error=f"{name} runs {commit[:SHORT]} already, but it makes no blocks: {told}",
        hint=f"aitbc network status -e {name}\n"
        f"aitbc node logs {environment.validators[0].name} -e {name}",
        facts=facts,
    )
