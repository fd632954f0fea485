"""Which pyinfra operation does a deploy consist of? One: a step that a program on the host makes.

A step is one round trip to each host, whatever it does there (`notes` of pyinfra: every further
operation costs a round trip and a half). Do not add stock operations to the frequent path.
"""

from collections.abc import Generator, Mapping
from typing import Any

from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State
from pyinfra.context import host

from aitbc_toolkit.deploys import bundle
from aitbc_toolkit.deploys.attendant import Attendant


@operation(is_idempotent=False)
def host_script(
    step: str, params_by_host: Mapping[str, Mapping[str, Any]], deadline_s: int
) -> Generator[StringCommand, None, None]:
    """Run a step on hosts that may have nothing but a shell; what it starts ends with it."""
    script = bundle.script(step, params_by_host[host.name])
    yield StringCommand(*bundle.command(deadline_s=deadline_s), _stdin=script)


@operation(is_idempotent=False)
def host_step(
    step: str,
    params_by_host: Mapping[str, Mapping[str, Any]],
    deadline_s: int,
    attendants: Mapping[str, Attendant],
    said: Mapping[str, list[str]],
) -> Generator[FunctionCommand, None, None]:
    """Run a step of the deployer on a host, and let nothing of it outlive the deadline there."""

    def make(state: State, host: Host) -> bool:  # noqa: ARG001 - pyinfra asks for these names
        name = host.name
        return attendants[name].make(step, params_by_host[name], said[name], deadline_s=deadline_s)

    yield FunctionCommand(make, (), {})
