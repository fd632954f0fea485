"""Who works on an environment from this checkout now? One run at a time, with its connections.

A lock of this machine only; the lease that all operators share is another thing.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.lab.locking import locked
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.progress import Tell
from aitbc_toolkit.release.reading import Mesh
from aitbc_toolkit.release.rolling import Run
from aitbc_toolkit.remote import Hosts


@contextmanager
def at_work(environment: Environment, tell: Tell) -> Iterator[Run]:
    """Hold the environment for one run from this machine, with its connections.

    Raises: AitbcError (busy) when another run holds it.
    """
    what = f"environment {environment.name}"
    with (
        locked(environment.folder / "deploy.lock", timeout_s=1.0, what=what),
        Hosts(environment) as remote,
        Mesh(environment) as mesh,
    ):
        yield Run(environment, Crew(environment, remote), mesh, tell)


@contextmanager
def looking(environment: Environment, tell: Tell) -> Iterator[Run]:
    """Give the connections for a run that only reads: it holds nothing and waits for nobody."""
    with Hosts(environment) as remote, Mesh(environment) as mesh:
        yield Run(environment, Crew(environment, remote), mesh, tell)
