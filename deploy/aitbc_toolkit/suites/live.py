"""Does a live mesh still do what it is for, behind a deploy? The quick smoke suite, in one call.

Whole suites, with their records, are in `playing`; this is all that a deploy has to import.
"""

import secrets
from collections.abc import Mapping
from typing import NamedTuple

from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites import joining
from aitbc_toolkit.suites import smoke as smoking
from aitbc_toolkit.suites.scene import Scenario, play
from aitbc_toolkit.suites.verdicts import Verdict

SMOKE: Mapping[str, Scenario] = {
    "smoke/boot": smoking.boot,
    "smoke/tx-lifecycle": smoking.tx_lifecycle,
    "smoke/cold-join": joining.cold_join,
}
QUICK: Mapping[str, Scenario] = {"smoke/quick": smoking.quick}
SEED_BITS = 31


class Smoke(NamedTuple):
    """Sum up the quick suite for a deploy: what it did, and what is wrong, empty when nothing."""

    done: str
    problem: str


def smoke(environment: Environment, *, quick: bool = True) -> Smoke:
    """Run the smoke suite on a live mesh; the quick form takes a few seconds."""
    seed = a_seed()
    with open_mesh(environment) as mesh:
        results = [
            play(name, scenario, environment=environment, mesh=mesh, seed=seed)
            for name, scenario in (QUICK if quick else SMOKE).items()
        ]
    failed = [each for each in results if each.verdict is not Verdict.PASS]
    checks = sum(1 + len(each.invariants) for each in results)
    if failed:
        return Smoke("", f"{failed[0].name} {failed[0].verdict}: {failed[0].line}")
    return Smoke(f"{checks} of {checks} checks, {results[-1].line}", "")


def a_seed() -> int:
    """Draw a seed that nobody has given."""
    return secrets.randbits(SEED_BITS)
