"""How does a person or a test get into a lab host? Root over ssh, as on any other host.

Do not add a way in that goes around ssh: what works in the lab has to work elsewhere.
"""

from collections.abc import Sequence

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.lab import commands
from aitbc_toolkit.lab.model import Lab

_SSH_FAILED = 255


def exec_in(
    lab: Lab, host: str, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: str = ""
) -> shell.Result:
    """Run one command on a host as root; its status is in the result, not an exception.

    Raises: UsageError for an unknown host, AitbcError when the deadline passes.
    """
    command = shell.quoted(argv)
    return shell.run(
        commands.ssh(lab, host, command=command), timeout_s=timeout_s, stdin=stdin, check=False
    )


def open_shell(lab: Lab, host: str) -> int:
    """Give the operator's terminal to a login shell on a host; return its status.

    Raises: AitbcError (unreachable).
    """
    return _reached(lab, host, shell.attach(commands.ssh(lab, host, terminal=True)))


def pass_through(lab: Lab, host: str, argv: Sequence[str]) -> int:
    """Run one command on a host with our own input and output; return its status.

    Raises: AitbcError (unreachable).
    """
    return _reached(lab, host, shell.attach(commands.ssh(lab, host, command=shell.quoted(argv))))


def unreachable(lab: Lab, host: str) -> AitbcError:
    """Say that a host of a lab is off or silent."""
    return AitbcError(
        f"host {host} of lab {lab.name} does not answer",
        hint=f"aitbc lab up {lab.name}   # boots the hosts that are off",
        exit_status=Exit.UNREACHABLE,
    )


def _reached(lab: Lab, host: str, status: int) -> int:
    """Pass a status on, unless it is ssh's own: a command may end with that one, too."""
    if status == _SSH_FAILED and not exec_in(lab, host, ["true"]).ok:
        raise unreachable(lab, host)
    return status
