"""How does a planned fault reach the hosts of a live mesh? As a leased one of `faults`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from aitbc_toolkit import faults
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.remote import Hosts
from aitbc_toolkit.suites.scenario.arena import Planned


class Told(Protocol):
    """Be what a fault says of itself while it bites."""

    bitten_at: float
    ends_from: float
    ends_at: float
    evidence: Any


Injector = Callable[[Environment, Planned], AbstractContextManager[Told]]
"""Break something of a live mesh until the block ends or the lease does."""


def over(hosts: Hosts) -> Injector:
    """Break hosts over connections that all faults of a run share."""

    def inject(environment: Environment, planned: Planned) -> AbstractContextManager[Told]:
        fault = faults.Fault(
            kind=planned.fault,
            lease_s=planned.lease_s,
            targets=() if planned.edges else planned.targets,
            edges=planned.edges,
            parameters=planned.parameters,
        )
        return faults.injected(environment, fault, remote=hosts)

    return inject
