"""What is on a host's own disk before its first boot? Its name, addresses, keys and neighbours.

Everything that all hosts share is in the image. Do not add what a deploy would put on a host.
"""

import os
import secrets
from pathlib import Path

from aitbc_toolkit import shell
from aitbc_toolkit.lab import addresses
from aitbc_toolkit.lab.model import FORGE_REPOSITORY, Lab, LabHost

_READ_ONLY_GIT = """\
#!/bin/sh
# A deploy key fetches; anything else is refused in words.
case "$SSH_ORIGINAL_COMMAND" in
*..*) ;;
"git-upload-pack '/srv/git/"*".git'") exec git-shell -c "$SSH_ORIGINAL_COMMAND" ;;
esac
echo "this deploy key is read-only: only git fetch is allowed" >&2
exit 1
"""
_PUSH_OPTIONS = "restrict"
_FETCH_OPTIONS = 'restrict,command="read-only"'


def seed(lab: Lab, host: LabHost, *, upper: Path, image: Path) -> None:
    """Write a host's own files into the upper folder of its overlay.

    A folder made here hides the modes of the image's folder, so each is made with its right mode.
    """
    _put(upper, "etc/hostname", f"{host.name}\n")
    _put(upper, "etc/hosts", hosts_file(lab))
    _put(upper, "etc/machine-id", f"{secrets.token_hex(16)}\n", mode=0o444)
    _put(upper, "etc/systemd/network/10-lab.network", network_file(lab, host))
    _put(upper, "etc/ssh/ssh_known_hosts", known_hosts(lab))
    private = host_key(lab.folder, host.name)
    key = private.read_text(encoding="ascii")
    _put(upper, "etc/ssh/ssh_host_ed25519_key", key, mode=0o600)
    _put(upper, "etc/ssh/ssh_host_ed25519_key.pub", f"{host.host_key}\n")
    (upper / "root/.ssh").mkdir(parents=True, mode=0o700)
    (upper / "root").chmod(0o700)
    root_key = public_key(lab.root_key)
    _put(upper, "root/.ssh/authorized_keys", f"{root_key}\n", mode=0o600)
    if host.name == addresses.FORGE:
        _seed_forge(lab, upper=upper, image=image)


def hosts_file(lab: Lab) -> str:
    """Name every host of the lab, so that nothing ever asks a name server."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    for host in lab.machines:
        lines += [f"{address} {host.name}" for address in host.addresses]
    v4, v6 = addresses.controller_addresses(lab.slot)
    return "\n".join([*lines, f"{v4} controller", f"{v6} controller", ""])


def network_file(lab: Lab, host: LabHost) -> str:
    """Give the host its fixed addresses.

    Nobody else can have them, and duplicate address detection would cost IPv6 two seconds.
    """
    v4, v6 = addresses.networks(lab.slot)
    given = ((host.ipv4, v4.prefixlen), (host.ipv6, v6.prefixlen))
    lines = [f"Address={own}/{bits}" for own, bits in given if own]
    if not host.ipv6:
        lines.append("LinkLocalAddressing=no")
    fixed = "\n".join(lines)
    return f"""\
[Match]
Name=host0

[Network]
{fixed}
IPv6DuplicateAddressDetection=0
IPv6AcceptRA=no
DHCP=no
LLDP=no
"""


def known_hosts(lab: Lab) -> str:
    """List the key of every host under its name and both addresses."""
    return "".join(
        f"{','.join((host.name, *host.addresses))} {host.host_key}\n" for host in lab.machines
    )


def ssh_config(lab: Lab) -> str:
    """Let `ssh -F` reach each host by name, with these keys and no others."""
    forge = lab.forge.name
    lines = [
        f"Match originalhost {forge} user git",
        f"  IdentityFile {_quoted(lab.push_key)}",
    ]
    for host in lab.machines:
        lines += [
            f"Host {host.name}",
            f"  HostName {host.address}",
            f"  HostKeyAlias {host.name}",
            f"  Port {host.port}",
        ]
    lines += [
        "Host *",
        "  User root",
        f"  IdentityFile {_quoted(lab.root_key)}",
        "  IdentitiesOnly yes",
        "  IdentityAgent none",
        "  PasswordAuthentication no",
        "  StrictHostKeyChecking yes",
        f"  UserKnownHostsFile {_quoted(lab.known_hosts)}",
        "  GlobalKnownHostsFile none",
        "  UpdateHostKeys no",
        "  ConnectTimeout 10",
    ]
    return "\n".join([*lines, ""])


def forge_keys(push_key: str, deploy_keys: list[str]) -> str:
    """Write the forge's key list: one key pushes, one key of each host may only fetch."""
    lines = [f"{_PUSH_OPTIONS} {push_key}", *(f"{_FETCH_OPTIONS} {key}" for key in deploy_keys)]
    return "\n".join([*lines, ""])


def host_key(folder: Path, host: str) -> Path:
    """Find the private host key that a host is given; it stays the same over `down` and `up`."""
    return folder / "host-keys" / host


def public_key(private: Path) -> str:
    """Read the public half of a key pair."""
    return private.with_name(f"{private.name}.pub").read_text(encoding="ascii").strip()


def _seed_forge(lab: Lab, *, upper: Path, image: Path) -> None:
    """Put the bare repository there, owned by the user whose shell allows nothing but git."""
    home = upper / "srv/git"
    repository = upper / FORGE_REPOSITORY.lstrip("/")
    repository.mkdir(parents=True)
    shell.run(["git", "init", "-q", "--bare", "--initial-branch=main", repository])
    # A deploy fetches one exact commit, which no branch may point at any more.
    shell.run(["git", "-C", repository, "config", "uploadpack.allowAnySHA1InWant", "true"])
    _put(home, "git-shell-commands/read-only", _READ_ONLY_GIT, mode=0o755)
    keys = forge_keys(public_key(lab.push_key), [])
    _put(home, ".ssh/authorized_keys", keys, mode=0o600)
    uid, gid = _ids("git", passwd=image / "etc/passwd")
    for path in [home, *home.rglob("*")]:
        os.chown(path, uid, gid)
    (home / ".ssh").chmod(0o700)


def _ids(user: str, *, passwd: Path) -> tuple[int, int]:
    for line in passwd.read_text(encoding="utf-8").splitlines():
        name, _, uid, gid, *_ = line.split(":")
        if name == user:
            return int(uid), int(gid)
    raise AssertionError(f"the image has no user {user}")


def _put(root: Path, name: str, text: str, *, mode: int = 0o644) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _quoted(path: Path) -> str:
    """Quote a path for ssh_config(5), where a percent sign begins a token."""
    return '"' + str(path).replace("%", "%%") + '"'
