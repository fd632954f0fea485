"""Which commands make, boot and reach lab hosts? Pure argv builders.

They are tested as exact strings. Nothing is run here.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from aitbc_toolkit.lab import addresses
from aitbc_toolkit.lab.model import SUPPLIES_ON_HOST, UV_CACHE_ON_HOST, Lab, LabHost, Stock
from aitbc_toolkit.lab.places import Places

# A host wrapper dies with whoever started it (pdeathsig), and with it the host's process
# namespace (kill-child) and its mounts (the private mount namespace): no kill leaves a host.
WRAPPER = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--propagation", "private"),
    *("--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "--"),
)


def add_bridge(lab: Lab) -> tuple[list[str], ...]:
    """Make the lab's bridge with this machine's addresses in the lab.

    A fixed hardware address keeps the hosts' neighbour tables true: a bridge would else take that
    of its lowest port. Without snooping no host waits for a multicast querier.
    """
    v4, v6 = addresses.controller_addresses(lab.slot)
    octets = ":".join(lab.tag[at : at + 2] for at in (0, 2, 4))
    name = lab.bridge
    return (
        [
            *("ip", "link", "add", "name", name, "address", f"02:ab:{octets}:01"),
            *("type", "bridge", "mcast_snooping", "0"),
        ],
        ["ip", "address", "add", f"{v4}/24", "dev", name],
        ["ip", "address", "add", f"{v6}/64", "dev", name, "nodad"],
        ["ip", "link", "set", "dev", name, "up"],
    )


def delete_link(name: str) -> list[str]:
    """Delete a bridge, or a port that outlived its host."""
    return ["ip", "link", "delete", "dev", name]


def mount_disk(folder: Path, *, size_mib: int) -> list[str]:
    """Give a host its own small disk in memory."""
    return ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=0755", "tmpfs", str(folder)]


def resize_disk(folder: Path, *, size_mib: int) -> list[str]:
    """Grow or shrink a host's disk while it is in use."""
    return ["mount", "-o", f"remount,size={size_mib}m", str(folder)]


def overlay_options(*, image: Path, disk: Path) -> str:
    """Lay the host's disk over the shared image."""
    return f"lowerdir={image},upperdir={disk}/upper,workdir={disk}/work"


def nspawn(
    lab: Lab, host: LabHost, *, root: Path, uv_cache: Path, supplies: Path | None = None
) -> list[str]:
    """Boot a full systemd in the host's tree.

    Neither machined nor a unit is asked for, because this machine may not run systemd at all.
    """
    return [
        *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit"),
        f"--machine={host.machine}",
        f"--hostname={host.name}",
        f"--directory={root}",
        "--boot",
        f"--network-bridge={lab.bridge}",
        f"--bind={uv_cache}:{UV_CACHE_ON_HOST}",
        *([f"--bind-ro={supplies}:{SUPPLIES_ON_HOST}"] if supplies else []),
        *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
        "--kill-signal=SIGRTMIN+3",
    ]


def boot_host(
    *, cgroups: Sequence[Path], options: str, root: Path, container: Sequence[str]
) -> list[str]:
    """Boot a host inside its cgroups and namespaces, with its overlay mounted only in there."""
    script = "\n".join(
        [
            f"for folder in {shlex.join(str(each) for each in cgroups)}; do",
            '  echo 0 > "$folder/cgroup.procs"',
            "done",
            shlex.join(["mount", "-t", "overlay", "overlay", "-o", options, str(root)]),
            f"exec {shlex.join(container)}",
        ]
    )
    return [*WRAPPER, "sh", "-euc", script]


def hold(places: Places, lab: Lab, *, stock: Stock) -> list[str]:
    """Start the lab's holder in a session and a mount namespace of its own."""
    return [
        *("unshare", "--mount", "--propagation", "private", "--"),
        *(sys.executable, "-P", "-m", "aitbc_toolkit.lab.holder"),
        *("--state", str(places.state), "--cache", str(places.cache), "--run", str(places.run)),
        *("--image", str(stock.image), "--name", lab.name),
        *(["--bare-image", str(stock.bare_image)] if stock.bare_image else []),
        *(["--supplies", str(stock.supplies)] if stock.supplies else []),
    ]


def make_key(path: Path, *, comment: str) -> list[str]:
    """Make an ed25519 key pair without a passphrase."""
    return ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)]


def ssh(lab: Lab, host: str, *, command: str = "", terminal: bool = False) -> list[str]:
    """Reach a host as root; strict host keys come with the lab's own configuration."""
    manner = ["-t"] if terminal else ["-o", "BatchMode=yes"]
    target = lab.host(host).name
    return [
        "ssh",
        "-F",
        str(lab.ssh_config),
        *manner,
        "--",
        target,
        *([command] if command else []),
    ]
