"""What does a node write from now on? Its newest lines are asked for again and again.

The same way on every host, whatever keeps the lines there. What was written long ago is read by
`services.logs`.
"""

import time
from collections.abc import Callable, Iterator, Sequence

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.remote import Hosts

PAUSE_S = 1.0
WINDOW = 1_000
"""Lines asked for at a time; a node that writes more between two looks is cut."""


def follow(
    environment: Environment, name: str, *, lines: int, pause: Callable[[float], None] = time.sleep
) -> Iterator[str]:
    """Give the newest lines that a node wrote, then each further one, until it is interrupted.

    Raises: AitbcError (unreachable) when its host does not answer.
    """
    host = environment.instance(name).host
    with Hosts(environment) as remote:
        crew = Crew(environment, remote)
        seen = _window(crew, name, host)
        yield from seen[-lines:]
        while True:
            pause(PAUSE_S)
            now = _window(crew, name, host)
            yield from newer(seen, now)
            seen = now


def newer(seen: Sequence[str], now: Sequence[str]) -> Sequence[str]:
    """Return the lines of a window that an earlier one, which may overlap it, did not hold."""
    for start in range(len(seen)):
        known = len(seen) - start
        if now[:known] == seen[start:]:
            return now[known:]
    return now


def _window(crew: Crew, name: str, host: str) -> Sequence[str]:
    told = crew.watch([name], lines=WINDOW)
    if name not in told:
        raise AitbcError(
            f"logs of {name}: host {host} does not answer",
            hint=f"aitbc status {crew.environment.name}",
            exit_status=Exit.UNREACHABLE,
        )
    found: list[str] = told[name]["log"]
    return found
