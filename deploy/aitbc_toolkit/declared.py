"""What may an inventory file declare? Every key with its type, its bounds and its default.

Whether the keys of one file agree with each other is judged in `mistakes`.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, field

from aitbc_node import limits
from aitbc_toolkit.entries import Entry

NAME = re.compile(r"[a-z][a-z0-9-]{0,15}")

BAKE_S_MAX = 3_600

_APPROVALS_OF_PRODUCTION = 2

Port = Annotated[int, Meta(ge=1024, le=65535)]


class EnvironmentRules(Entry, frozen=True, kw_only=True):
    """Say what is allowed in an environment; with `chaos_allowed`, to break its hosts."""

    source: Literal["checkout", "forge", "origin"]
    dirty: bool = False
    regenesis: bool = False
    chaos_allowed: bool = False


class AssetEntry(Entry, frozen=True, kw_only=True):
    """Say which asset a chain begins with, and who may mint it: its authority, or nobody ever."""

    title: Annotated[str, Meta(min_length=1, max_length=64)]
    mint_policy: Literal["authority", "fixed"] = "fixed"


class Chain(Entry, frozen=True, kw_only=True):
    """Say what goes into the genesis; a change after the first deploy changes nothing.

    `validators` says whether a bond is enough for a vote, or the others have to admit its holder;
    `power_max_bps` is the most of all power that one of them can come to hold.
    """

    id: Annotated[str, Meta(pattern=r"^aitbc-[a-z0-9-]+-[0-9]+\Z", max_length=48)]
    hrp: Annotated[str, Meta(pattern=r"^[a-z]{1,10}\Z")]
    block_interval_ms: Annotated[int, Meta(ge=100, le=60_000)]
    unbonding_s: Annotated[int, Meta(ge=1)]
    validators: Literal["open", "admitted"] = "admitted"
    power_max_bps: Annotated[int, Meta(ge=100, le=10_000)] = 10_000
    assets: dict[str, AssetEntry] = field(default_factory=dict)


class Profile(Entry, frozen=True, kw_only=True):
    """Say how an environment is run; none of this changes the result of a block.

    The first `canary` nodes of a deploy are watched for `bake_s` before the others follow.
    `limits` are the bounds of nodes against crowds: `bench` has none that a measured load meets.
    `trusted_height` and `trusted_hash` name a block that people told each other, so that no peer
    can tell a node that was away for long, or is new, another history.
    """

    network_size: Annotated[int, Meta(ge=1)]
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    approvals: Annotated[int, Meta(ge=0)] = 0
    rollout: Literal["serial", "all"] = "serial"
    canary: Annotated[int, Meta(ge=0)] = 0
    bake_s: Annotated[int, Meta(ge=1, le=BAKE_S_MAX)] = 30
    rpc_bind: Literal["loopback", "private"] = "private"
    limits: Literal["usual", "bench"] = "usual"
    trusted_height: Annotated[int, Meta(ge=0, le=2**53)] = 0
    trusted_hash: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")] = ""


class Alerts(Entry, frozen=True, kw_only=True):
    """Say from when on an operator is told; 0 is what follows from the chain and its nodes."""

    stall_s: Annotated[int, Meta(ge=0, le=3_600)] = 0
    lag_blocks: Annotated[int, Meta(ge=0, le=100_000)] = 0
    peers_min: Annotated[int, Meta(ge=0, le=1_000)] = 0
    disk_pct: Annotated[int, Meta(ge=1, le=100)] = 80
    clock_skew_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = limits.CLOCK_SKEW_MS_MAX


class HostEntry(Entry, frozen=True, kw_only=True):
    """Say how one host is reached and run."""

    connector: Literal["local", "ssh", "lab"]
    address: str = ""
    address6: str = ""
    ssh_port: Annotated[int, Meta(ge=1, le=65535)] = 22
    ssh_user: Literal["root"] = "root"  # another would need sudo on every step; not built yet
    ssh_key: str = ""
    known_hosts: str = ""
    manager: Literal["systemd", "supervisord"] = "systemd"
    root: str = "/"
    run_as: str = "aitbc"
    python: str = "python3"
    uv: str = "uv"
    uv_cache: str = ""
    offline: bool = False
    firewall: bool = False
    domain: str = ""


class Ports(Entry, frozen=True, kw_only=True):
    """Name the ports of one instance; instances of one host need their own."""

    p2p: Port = 8600
    rpc: Port = 8710
    admin: Port = 8760


class InstanceEntry(Entry, frozen=True, kw_only=True):
    """Say where one node runs and what it is."""

    host: str
    role: Literal["validator", "full"] = "validator"
    power: Annotated[int, Meta(ge=1)] = 1
    ports: Ports = field(default_factory=Ports)


class Declared(Entry, frozen=True, kw_only=True):
    """Hold one environment's file as it was written."""

    environment: EnvironmentRules
    chain: Chain
    profile: Profile
    hosts: Annotated[dict[str, HostEntry], Meta(min_length=1)]
    instances: Annotated[dict[str, InstanceEntry], Meta(min_length=1)]
    alerts: Alerts = field(default_factory=Alerts)

    @property
    def is_production(self) -> bool:
        """Tell whether real money is at stake: two people have to approve a release."""
        return self.profile.approvals >= _APPROVALS_OF_PRODUCTION


def nearest(name: str, known: Iterable[str]) -> str:
    """Find the name that was probably meant, or nothing."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)), "")


def shares(written: Declared, *, by: Literal["host", "domain"]) -> dict[str, int]:
    """Sum the voting power of the validators by host, or by failure domain."""
    power: Counter[str] = Counter()
    for each in written.instances.values():
        host = written.hosts.get(each.host)
        domain = host.domain if host and by == "domain" else ""
        power[domain or each.host] += each.power if each.role == "validator" else 0
    return dict(power)


def overweight(written: Declared) -> list[str]:
    """Say which hosts and domains hold a third of the power: no mesh outlives their loss."""
    hosts, domains = shares(written, by="host"), shares(written, by="domain")
    total = sum(hosts.values())
    named = [
        *(("failure domain", name, power) for name, power in domains.items()),
        # A host that is a domain of its own is said once.
        *(("host", name, power) for name, power in hosts.items() if name not in domains),
    ]
    return [
        f"{what} {name} holds {power} of {total} power, a third or more"
        for what, name, power in named
        if 3 * power >= total
    ]
