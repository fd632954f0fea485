"""What is in the images of lab hosts? Two recipes: hosts that are ready, and bare ones.

A ready host has everything that a deploy needs, so that a lab is up in seconds. A bare one is a
Debian with systemd and root's key, for `aitbc bootstrap` to begin with; its packages come from the
lab's supplies. Do not build anything here.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

from aitbc_toolkit.lab.model import SUPPLIES_ON_HOST

_PLAIN = (
    "dbus",
    "iproute2",
    "iputils-ping",
    "openssh-server",
    "procps",
    "systemd",
    "systemd-sysv",
)
_READY = (
    *_PLAIN,
    "ca-certificates",
    "git",
    "libfaketime",  # the kernel gives a container no clock of its own, a library can
    "nftables",
    "python3",
    "python3-venv",
)
# Units that wait for hardware, terminals or the internet, none of which a lab host has.
_MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "getty@tty1.service",
    "systemd-logind.service",
    "systemd-networkd-wait-online.service",
    "systemd-pstore.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
)
_ENABLED = (
    (
        "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
        "/lib/systemd/system/systemd-networkd.service",
    ),
    ("etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target"),
)
_SSHD = (
    "etc/ssh/sshd_config.d/lab.conf",
    """\
# One key per host, made when the host is made; many connections at once are normal here.
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
PermitRootLogin prohibit-password
UseDNS no
MaxStartups 100
MaxSessions 50
""",
)
_JOURNAL = (
    "etc/systemd/journald.conf.d/lab.conf",
    """\
[Journal]
Storage=persistent
SystemMaxUse=32M
""",
)
_GIT = (
    "etc/gitconfig",
    """\
[safe]
\tdirectory = /srv/git/aitbc.git
""",
)
# The supplies are this machine's own download of signed packages, mounted read-only.
_APT = ("etc/apt/sources.list", f"deb [trusted=yes] file:{SUPPLIES_ON_HOST}/packages ./\n")
_PIP = (
    "etc/pip.conf",
    f"""\
[global]
no-index = true
find-links = {SUPPLIES_ON_HOST}/wheels
disable-pip-version-check = true
""",
)
_USERS = (
    ("aitbc", "/var/lib/aitbc", "/usr/sbin/nologin"),
    ("git", "/srv/git", "/usr/bin/git-shell"),
)
_DROPPED = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt/archives",
    "var/lib/apt/lists",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hold everything that decides what is in an image, and nothing that does not."""

    name: str
    uv_version: str = ""
    suite: str = "bookworm"
    packages: tuple[str, ...] = _PLAIN
    masked: tuple[str, ...] = _MASKED
    enabled: tuple[tuple[str, str], ...] = _ENABLED
    users: tuple[tuple[str, str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = (_SSHD,)
    folders: tuple[str, ...] = ("srv/lab/uv-cache",)
    dropped: tuple[str, ...] = _DROPPED
    revision: int = 1

    @property
    def key(self) -> str:
        """Name the image by its content."""
        content = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


def ready(uv_version: str) -> Recipe:
    """Describe a host to which one can deploy at once, and the forge."""
    return Recipe(
        name="ready hosts",
        uv_version=uv_version,
        packages=_READY,
        users=_USERS,
        files=(_SSHD, _JOURNAL, _GIT),
        folders=("srv/git", "srv/lab/uv-cache", "var/lib/aitbc"),
    )


def bare() -> Recipe:
    """Describe a plain Debian: systemd, sshd and root's key, and where its packages come from."""
    return Recipe(
        name="bare hosts",
        files=(_SSHD, _APT, _PIP),
        folders=("srv/lab/uv-cache", SUPPLIES_ON_HOST.lstrip("/")),
    )
