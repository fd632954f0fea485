"""What is a lab? Records that the lab writes and everybody else reads.

`lab.json` in the lab's state folder is a `Lab`. Do not add behaviour that touches the machine.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.lab.addresses import FAMILIES, FORGE, HOST_COUNT_MAX
from aitbc_toolkit.shell import quoted

FORMAT = 1
FORGE_REPOSITORY = "/srv/git/aitbc.git"
UV_CACHE_ON_HOST = "/srv/lab/uv-cache"
SUPPLIES_ON_HOST = "/srv/lab/supplies"
DEPLOY_KEY_ON_HOST = "/root/.ssh/id_ed25519"

_NAME = re.compile(r"[a-z][a-z0-9-]{0,15}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what one host may take from this machine.

    Units: MiB; `cpu_percent` of one core, 0 for no limit; processes and threads for `tasks_max`.
    """

    memory_mib: int = 1536
    disk_mib: int = 1024
    cpu_percent: int = 0
    tasks_max: int = 1024

    def __post_init__(self) -> None:
        # The disk is memory and the host's memory limit counts it: a full disk has to leave room
        # for the programs, or the disk-full fault would show as a killed process.
        assert self.memory_mib >= self.disk_mib + 256, self


@dataclass(frozen=True, slots=True)
class LabSpec:
    """Say which lab is wanted: its name, and how many hosts beside the forge.

    The hosts of a `bare` lab have nothing but systemd, sshd and root's key; its forge is ready.
    With a `family` hosts have no other addresses; without one they have both, and nodes use IPv4.
    """

    name: str
    hosts: int = 4
    limits: Limits = field(default_factory=Limits)
    bare: bool = False
    family: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        assert self.family in {"", *FAMILIES}, self.family
        if not 1 <= self.hosts <= HOST_COUNT_MAX:
            raise UsageError(
                f"lab {self.name}: {self.hosts} hosts asked, 1 to {HOST_COUNT_MAX} possible",
                hint=f"aitbc lab up {self.name} --hosts 4",
            )


def check_name(name: str) -> None:
    """Refuse a lab name that could not be a part of paths and interface names.

    Raises: UsageError.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"lab name {name!r} refused: a letter, then up to 15 of a-z 0-9 -",
            hint="aitbc lab up demo",
        )


@dataclass(frozen=True, slots=True)
class Stock:
    """Name what hosts are made from: the image of ready ones; for a bare lab, two things more."""

    image: Path
    bare_image: Path | None = None
    supplies: Path | None = None

    def image_of(self, host: str) -> Path:
        """Tell what a host boots from; the forge is always ready."""
        return self.image if host == FORGE or self.bare_image is None else self.bare_image


@dataclass(frozen=True, slots=True)
class LabHost:
    """Say how one host of a lab is reached; nodes use both addresses of one that is `dual`."""

    name: str
    machine: str
    ipv4: str
    ipv6: str
    port: int
    key: Path
    host_key: str
    dual: bool = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """List the addresses that it has."""
        return tuple(filter(None, (self.ipv4, self.ipv6)))

    @property
    def address(self) -> str:
        """Give the address at which it is reached."""
        return self.addresses[0]


@dataclass(frozen=True, slots=True)
class Lab:
    """Say everything about a lab that other parts of the toolkit need.

    `folder` is the lab's state folder; it holds the keys, `known_hosts` and `ssh_config`.
    """

    name: str
    tag: str
    slot: int
    bridge: str
    folder: Path
    limits: Limits
    hosts: tuple[LabHost, ...]
    forge: LabHost
    bare: bool = False

    @property
    def machines(self) -> tuple[LabHost, ...]:
        """List all hosts, the forge last."""
        return (*self.hosts, self.forge)

    @property
    def ssh_config(self) -> Path:
        """Find the file with which `ssh -F` reaches every host by its name."""
        return self.folder / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """Find the host keys of exactly this lab."""
        return self.folder / "known_hosts"

    @property
    def root_key(self) -> Path:
        """Find the private key that opens root on every host."""
        return self.folder / "root_ed25519"

    @property
    def push_key(self) -> Path:
        """Find the private key that may push to the forge."""
        return self.folder / "push_ed25519"

    @property
    def git_url(self) -> str:
        """Name the repository; the same on the hosts and, with `git_environment`, here."""
        return f"ssh://git@{FORGE}{FORGE_REPOSITORY}"

    @property
    def git_environment(self) -> dict[str, str]:
        """Let `git` on this machine reach `git_url` with the push key and strict host keys."""
        return {"GIT_SSH_COMMAND": quoted(["ssh", "-F", self.ssh_config])}

    def host(self, name: str) -> LabHost:
        """Find a host by its name.

        Raises: UsageError when the lab has no such host.
        """
        for host in self.machines:
            if host.name == name:
                return host
        names = ", ".join(host.name for host in self.machines)
        raise UsageError(f"lab {self.name} has no host {name!r}", hint=f"its hosts are {names}")


def to_json(lab: Lab) -> str:
    """Write a lab as its `lab.json`."""
    return json.dumps({"format": FORMAT, **asdict(lab)}, indent=2, default=str) + "\n"


def from_json(text: str) -> Lab:
    """Read a `lab.json`.

    Raises: AitbcError when it is not one that this version writes.
    """
    try:
        return _lab(json.loads(text))
    except (ValueError, KeyError, TypeError) as wrong:
        raise AitbcError(
            f"lab.json is not readable: {wrong!r}", hint="aitbc lab up NAME   # writes it anew"
        ) from wrong


def _lab(fields: dict[str, Any]) -> Lab:
    if fields.pop("format") != FORMAT:
        raise ValueError("another version of the toolkit wrote it")
    return Lab(
        name=fields.pop("name"),
        folder=Path(fields.pop("folder")),
        limits=Limits(**fields.pop("limits")),
        hosts=tuple(_host(each) for each in fields.pop("hosts")),
        forge=_host(fields.pop("forge")),
        **fields,
    )


def _host(fields: dict[str, Any]) -> LabHost:
    return LabHost(key=Path(fields.pop("key")), **fields)
