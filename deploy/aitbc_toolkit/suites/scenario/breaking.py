"""How does a planned fault reach a live mesh? As a leased one of `faults`, on its hosts.

A flood comes from outside, as it would: it is no change of any host.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from aitbc_toolkit import faults
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.remote import Hosts
from aitbc_toolkit.suites.scenario.arena import Planned

FLOOD = "peer.flood"


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
        if planned.fault == FLOOD:
            from aitbc_toolkit.suites import flooding  # noqa: PLC0415 - it needs all that a peer does

            return flooding.flooded(environment, planned)
        fault = faults.Fault(
            kind=planned.fault,
            lease_s=planned.lease_s,
            targets=() if planned.edges else planned.targets,
            edges=planned.edges,
            parameters=planned.parameters,
        )
        return faults.injected(environment, fault, remote=hosts)

    return inject
