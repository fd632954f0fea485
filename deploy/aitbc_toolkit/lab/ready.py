"""When is a lab host ready? When its ssh answers to strict host keys and systemd runs.

In the same round trip the host makes its own deploy key, of which only the public half leaves it.
Then the forge learns all of them. Do not add what a deploy does to a host.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aitbc_toolkit import shell
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.lab import commands, seed
from aitbc_toolkit.lab.model import DEPLOY_KEY_ON_HOST, Lab, LabHost

_POLL_S = 0.05
_CONNECT_TIMEOUT_S = 1.0
_SSH_TIMEOUT_S = 60.0
_READY_WORD = "running"

# A host takes six inotify instances, and Debian gives a user 128: what watches paths fails first.
_MORE_WATCHES = "many hosts run on this machine: sysctl -w fs.inotify.max_user_instances=1024"
_FIRST_VISIT = f"""\
set -eu
test -s {DEPLOY_KEY_ON_HOST} ||
  ssh-keygen -q -t ed25519 -N '' -C "$(hostname)" -f {DEPLOY_KEY_ON_HOST}
cat {DEPLOY_KEY_ON_HOST}.pub
systemctl is-system-running --wait ||
  systemctl list-units --failed --plain --no-legend
"""
_LEARN_KEYS = """\
umask 077
cat > /srv/git/.ssh/new
chown git:git /srv/git/.ssh/new
mv /srv/git/.ssh/new /srv/git/.ssh/authorized_keys
"""


def make_ready(lab: Lab, *, timeout_s: float, fresh: bool, alive: Callable[[], None]) -> None:
    """Wait for all hosts at once, then let the forge know their deploy keys.

    `alive` raises when waiting has become pointless. On a `fresh` host every unit has to be well;
    on one that was in use a unit may have failed that is not the lab's business.

    Raises: AitbcError naming the host that did not come, or whose systemd is not well.
    """
    deadline = time.monotonic() + timeout_s
    given_up = threading.Event()

    def visit(host: LabHost) -> str:
        _await_banner(lab, host, deadline=deadline, alive=lambda: _go_on(given_up, alive))
        return _visit(lab, host, fresh=fresh)

    with ThreadPoolExecutor(max_workers=len(lab.machines)) as pool:
        try:
            keys = list(pool.map(visit, lab.machines))
        except BaseException:
            given_up.set()  # the pool waits for its threads, and they would wait for their hosts
            raise
    learned = seed.forge_keys(seed.public_key(lab.push_key), keys[: len(lab.hosts)])
    forge = lab.forge.name
    shell.run(commands.ssh(lab, forge, command=_LEARN_KEYS), stdin=learned, timeout_s=30)


def await_ssh(
    lab: Lab, host: LabHost, *, timeout_s: float, alive: Callable[[], None] = lambda: None
) -> None:
    """Wait until a command runs on the host over ssh.

    Raises: AitbcError when none does in time.
    """
    _await_banner(lab, host, deadline=time.monotonic() + timeout_s, alive=alive)
    shell.run(commands.ssh(lab, host.name, command="true"), timeout_s=_SSH_TIMEOUT_S)


def _visit(lab: Lab, host: LabHost, *, fresh: bool) -> str:
    """Let a host make its deploy key, and look at its units; return the public key."""
    argv = commands.ssh(lab, host.name, command="sh -s")
    lines = shell.run(argv, stdin=_FIRST_VISIT, timeout_s=_SSH_TIMEOUT_S).stdout.splitlines()
    key, state, *failed = [*lines, "", ""]
    if fresh and state != _READY_WORD:
        units = " ".join(line.split()[0] for line in failed if line)
        hint = f"aitbc lab exec {lab.name} {host.name} -- systemctl --failed"
        raise AitbcError(
            f"lab {lab.name}: systemd of {host.name} is {state or 'silent'}: {units}",
            hint=_MORE_WATCHES if ".path" in units else hint,
        )
    return key


def _go_on(given_up: threading.Event, alive: Callable[[], None]) -> None:
    if given_up.is_set():
        raise AitbcError("another host did not come", hint="aitbc lab list")
    alive()


def _await_banner(lab: Lab, host: LabHost, *, deadline: float, alive: Callable[[], None]) -> None:
    while not _answers(host):
        alive()
        if time.monotonic() > deadline:
            raise AitbcError(
                f"lab {lab.name}: {host.name} ({host.address}) does not answer on ssh",
                hint=f"tail {lab.folder}/console-{host.name}.log",
            )
        time.sleep(_POLL_S)


def _answers(host: LabHost) -> bool:
    with contextlib.suppress(OSError):
        address = (host.address, host.port)
        with socket.create_connection(address, timeout=_CONNECT_TIMEOUT_S) as link:
            return link.recv(4) == b"SSH-"
    return False
