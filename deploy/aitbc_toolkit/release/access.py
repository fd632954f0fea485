"""Why does a host not let us in, and which command mends that? Never by trusting less.

Told apart by the words of pyinfra and paramiko, because their exceptions stay in the child. An
unknown host key is never accepted for the operator: the hint ends with how to compare it.
"""

from aitbc_toolkit.inventory import Host
from aitbc_toolkit.shell import quoted

_COMPARE = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub   # on the host: the same fingerprint?"


def mend(host: Host, error: str) -> str:
    """Give the commands that help against what connecting to a host ended with."""
    known = host.known_hosts or "~/.ssh/known_hosts"
    place = host.address if host.ssh_port == 22 else f"[{host.address}]:{host.ssh_port}"  # noqa: PLR2004 - the default port stands for itself
    scan = ["ssh-keyscan", "-p", str(host.ssh_port), "-t", "ed25519", host.address]
    if "No host key for" in error:
        return f"{quoted(scan)} >> {known}\n{_COMPARE}"
    if "does not match" in error:
        forget = quoted(["ssh-keygen", "-R", place, "-f", known])
        return f"{_COMPARE}\n{forget}   # only if the host was made anew; then scan it again"
    if "Authentication" in error or "No authentication" in error:
        copy = ["ssh-copy-id", "-i", f"{host.ssh_key}.pub", "-p", str(host.ssh_port)]
        return f"{quoted(copy)} {host.ssh_user}@{host.address}   # a key, not a password"
    if "No such private key file" in error:
        return quoted(["ssh-keygen", "-t", "ed25519", "-f", host.ssh_key])
    return f"ssh -p {host.ssh_port} {host.ssh_user}@{host.address} true"
