"""What does a deploy cost without waiting for votes? A child process of the benchmark only.

No command leads here: a release whose nodes nobody has seen voting is not one that users can ask
for.
"""

import json
import sys
from dataclasses import replace

from msgspec import structs

from aitbc_toolkit import remote
from aitbc_toolkit.benchmarks.ground import ENVIRONMENT
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import configuring, preview, vouching
from aitbc_toolkit.release.deploy import Request, deploy
from aitbc_toolkit.release.facts import observe
from aitbc_toolkit.release.occupation import at_work
from aitbc_toolkit.release.preparing import prepare
from aitbc_toolkit.release.rollback import rollback


def main(verb: str) -> int:
    """Stage or deploy HEAD, or go back: all nodes in one wave, no gate, no suite."""
    loaded = Inventory.load(ENVIRONMENT)
    environment = replace(loaded, profile=structs.replace(loaded.profile, rollout="all"))
    try:
        if verb == "stage":
            return _stage(environment)
        if verb == "deploy":
            done = deploy(environment, Request(prove=_nothing, gated=False, compared=False), _tell)
        else:
            done = rollback(environment, _tell, prove=_nothing, gated=False)
    except AitbcError as failure:
        sys.stderr.write(f"error: {failure.message}\n")
        return failure.exit_status
    return done.exit


def _stage(environment: Environment) -> int:
    """Do what a deploy of HEAD does before it switches the first node."""
    remote.reach_early(environment)
    request, revision = preview.settle(environment, Request())
    configuring.rehearse(environment, revision.commit)
    admitted = vouching.admit(environment, request, revision, _tell)
    with at_work(environment, _tell, reason="stage") as run:
        facts = observe(run, "deploy")
        plan = preview.make(run, request, revision, facts)
        learned = prepare(run, request, revision, facts, admitted)
        plan = preview.make(run, request, revision, facts, learned=learned)
    return Exit.OK if plan.pending else Exit.FAILED


def _nothing(_environment: Environment) -> tuple[str, str]:
    return "not asked", ""


def _tell(record: object) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
