"""What does a deploy cost without waiting for votes? A child process of the benchmark only.

No command leads here: a release whose nodes nobody has seen voting is not one that users can ask
for.
"""

import json
import sys
from dataclasses import replace

from aitbc_toolkit.benchmarks.ground import ENVIRONMENT
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release.deploy import Request, deploy
from aitbc_toolkit.release.rollback import rollback


def main(verb: str) -> int:
    """Deploy HEAD, or return to the release before: all nodes in one wave, no gate, no suite."""
    loaded = Inventory.load(ENVIRONMENT)
    environment = replace(loaded, profile=loaded.profile.model_copy(update={"rollout": "all"}))
    try:
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
