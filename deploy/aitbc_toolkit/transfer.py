"""How does one large file come from a host, or go to it? Over SSH as a stream, here as a copy.

Steps carry small documents; an archive would not fit. The same strict host keys as for steps. What
the file means, and whether it arrived whole, is the caller's business.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Host

_TIMEOUT_S = 600.0


def fetch(host: Host, remote: str, local: Path) -> None:
    """Bring a file of a host here.

    Raises: AitbcError when it does not arrive.
    """
    local.parent.mkdir(parents=True, exist_ok=True)
    local.touch(mode=0o600)
    if host.connector == "local":
        shutil.copyfile(remote, local)
        return
    with local.open("wb") as file:
        _run([*ssh(host), shell.quoted(["cat", remote])], host=host, stdout=file)


def send(host: Host, local: Path, remote: str) -> None:
    """Bring a file from here to a host; only its owner may read it there.

    Raises: AitbcError when it does not arrive.
    """
    if host.connector == "local":
        target = Path(remote)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(mode=0o600)
        shutil.copyfile(local, target)
        return
    quoted = shell.quoted([remote])
    with local.open("rb") as file:
        _run([*ssh(host), f"umask 077 && cat > {quoted}"], host=host, stdin=file)


def ssh(host: Host, *, alive_s: int = 5) -> list[str]:
    """Write the command that reaches a host: no agent, no password, no unknown host key.

    A host that is silent for three times `alive_s` is given up.
    """
    options = [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={host.known_hosts}",
        "ConnectTimeout=10",
        f"ServerAliveInterval={alive_s}",
    ]
    words = ["ssh", "-F", "/dev/null", "-i", host.ssh_key, "-p", str(host.ssh_port)]
    for option in options:
        words += ["-o", option]
    return [*words, f"{host.ssh_user}@{host.address}"]


def _run(
    argv: Sequence[str],
    *,
    host: Host,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - argv never passes through a shell here
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise AitbcError(
            f"the transfer with {host.name} did not end within {_TIMEOUT_S:.0f} s",
            hint="check the link, then repeat the command",
            exit_status=Exit.DEADLINE,
        ) from late
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise AitbcError(
            f"the transfer with {host.name} failed: {said[-1] if said else 'no reason told'}",
            hint=shell.quoted([*ssh(host), "true"]),
        )
