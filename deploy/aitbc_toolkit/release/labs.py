"""Which lab stands behind an environment? Only what works with one loads the modules of labs.

Most runs of most commands need none of them, and they cost as much as the command itself.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment

if TYPE_CHECKING:
    from aitbc_toolkit.lab.model import Lab


def of(environment: Environment) -> "Lab":
    """Find the lab whose hosts an environment has.

    Raises: UsageError when it is down.
    """
    from aitbc_toolkit import lab  # noqa: PLC0415 - see the top
    from aitbc_toolkit.lab.places import Places  # noqa: PLC0415 - see the top

    return lab.load_lab(environment.lab, places=Places(state=environment.state))


def is_down(environment: Environment) -> bool:
    """Tell whether the lab was taken down; not where its holder is too busy to say anything."""
    from aitbc_toolkit import lab  # noqa: PLC0415 - see the top
    from aitbc_toolkit.lab.places import Places  # noqa: PLC0415 - see the top

    states = lab.list_labs(places=Places(state=environment.state))
    return all(each.state == "down" for each in states if each.lab.name == environment.lab)


def not_there(environment: Environment) -> AitbcError:
    """Say that no host of a lab answers: it was taken down, or ended with this machine."""
    assert environment.lab, "other hosts do not come by a command"
    count = len(environment.hosts)
    return AitbcError(
        f"lab {environment.lab} is not there: none of its {count} hosts answers",
        hint=f"aitbc up {environment.name}",
        exit_status=Exit.UNREACHABLE,
    )


def warm_cache(lock: Path) -> None:
    """Fetch every wheel of a lock to where the hosts of labs find it: they are offline."""
    from aitbc_toolkit import lab  # noqa: PLC0415 - see the top

    lab.warm_cache(lock)
