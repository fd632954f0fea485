"""Does every node of a mesh answer, so that a load run can begin? Else it is said what to do.

Do not wait here: who brings a mesh up waits for it.
"""

from collections.abc import Mapping

from aitbc_node.rpc import schema
from aitbc_toolkit.asking import Silence
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites.scenario import on_mesh


def all_of(
    environment: Environment, answers: Mapping[str, schema.Status | Silence]
) -> dict[str, schema.Status]:
    """Return what each node has told.

    Raises: AitbcError where one is silent; where all are, there is most likely no mesh yet.
    """
    silent = {name: each for name, each in answers.items() if isinstance(each, Silence)}
    if not silent:
        return {name: each for name, each in answers.items() if isinstance(each, schema.Status)}
    name, why = next((name, each.reason) for name, each in silent.items())
    if len(silent) < len(answers):
        raise AitbcError(f"{name} does not answer: {why}", hint="aitbc network status")
    verb = "network status -e" if on_mesh.backend_of(environment) == "hosts" else "up"
    raise AitbcError(
        f"no node of {environment.name} answers: {why}",
        hint=f"aitbc {verb} {environment.name}",
        exit_status=Exit.INFRASTRUCTURE,
    )
