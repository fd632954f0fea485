"""What does a deploy cost without waiting for votes? A child process of the benchmark only.

No command leads here: a release whose nodes nobody has seen voting is not one that users can ask
for.
"""

import json
import sys
from dataclasses import replace

from msgspec import structs

from aitbc_toolkit.benchmarks.ground import ENVIRONMENT
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release.deploy import Request, deploy, stage
from aitbc_toolkit.release.rollback import rollback


def main(verb: str) -> int:
    """Stage or deploy HEAD, or go back: all nodes in one wave, no gate, no suite."""
    loaded = Inventory.load(ENVIRONMENT)
    environment = replace(loaded, profile=structs.replace(loaded.profile, rollout="all"))
    try:
        if verb == "stage":
            return Exit.OK if stage(environment, Request(), _tell).pending else Exit.FAILED
        if verb == "deploy":
            done = deploy(environment, Request(prove=_nothing, gated=False, compared=False), _tell)
        else:
            done = rollback(environment, _tell, prove=_nothing, gated=False)
    except AitbcError as failure:
        sys.stderr.write(f"error: {failure.message}\n")
        return failure.exit_status
    return done.exit


def _nothing(_environment: Environment) -> tuple[str, str]:
    return "not asked", ""


def _tell(record: object) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
