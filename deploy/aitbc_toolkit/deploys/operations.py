"""Which pyinfra operation does a deploy consist of? One: a program on standard input.

A step is one round trip to each host, whatever it does there (`notes` of pyinfra: every further
operation costs a round trip and a half). Do not add stock operations to the frequent path.
"""

from collections.abc import Generator, Mapping
from typing import Any

from pyinfra.api.command import StringCommand
from pyinfra.api.operation import operation
from pyinfra.context import host

from aitbc_toolkit.deploys import bundle


@operation(is_idempotent=False)
def host_program(
    step: str, params_by_host: Mapping[str, Mapping[str, Any]], deadline_s: int
) -> Generator[StringCommand, None, None]:
    """Run one step of the deployer on a host, and let nothing of it outlive the deadline there."""
    params = params_by_host[host.name]
    program = bundle.compose(step, params)
    yield StringCommand(*bundle.command(step, params, deadline_s=deadline_s), _stdin=program)
