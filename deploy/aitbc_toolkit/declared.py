"""What does an inventory file declare, and what is wrong with it?

The file is judged whole: every mistake is named at once, with the file, the key and the nearest
name. Do not look at anything but the text here.
"""

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aitbc_toolkit import paths
from aitbc_toolkit.errors import ConfigError

NAME = re.compile(r"[a-z][a-z0-9-]{0,15}")

_VALIDATORS_MIN = 4
_APPROVALS_OF_PRODUCTION = 2

Port = Annotated[int, Field(ge=1024, le=65535)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EnvironmentRules(_Model):
    """Say what is allowed in an environment."""

    source: Literal["checkout", "forge", "origin"]
    dirty: bool = False
    regenesis: bool = False


class AssetEntry(_Model):
    """Say which asset a chain begins with, and who may mint it: its authority, or nobody ever."""

    title: Annotated[str, Field(min_length=1, max_length=64)]
    mint_policy: Literal["authority", "fixed"] = "fixed"


class Chain(_Model):
    """Say what goes into the genesis; a change after the first deploy changes nothing."""

    id: Annotated[str, Field(pattern=r"^aitbc-[a-z0-9-]+-[0-9]+$", max_length=48)]
    hrp: Annotated[str, Field(pattern=r"^[a-z]{1,10}$")]
    block_interval_ms: Annotated[int, Field(ge=100, le=60_000)]
    unbonding_s: Annotated[int, Field(ge=1)]
    downtime_slash_bps: Annotated[int, Field(ge=0, le=10_000)]
    assets: dict[str, AssetEntry] = Field(default_factory=dict)


class Profile(_Model):
    """Say how an environment is run; none of this changes the result of a block."""

    network_size: Annotated[int, Field(ge=1)]
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    approvals: Annotated[int, Field(ge=0)] = 0
    rollout: Literal["serial", "all"] = "serial"
    rpc_bind: Literal["loopback", "private"] = "private"


class HostEntry(_Model):
    """Say how one host is reached and run."""

    connector: Literal["local", "ssh", "lab"]
    address: str = ""
    ssh_port: Annotated[int, Field(ge=1, le=65535)] = 22
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


class Ports(_Model):
    """Name the ports of one instance; instances of one host need their own."""

    p2p: Port = 8600
    rpc: Port = 8710
    admin: Port = 8760


class InstanceEntry(_Model):
    """Say where one node runs and what it is."""

    host: str
    role: Literal["validator", "full"] = "validator"
    power: Annotated[int, Field(ge=1)] = 1
    ports: Ports = Ports()


class Declared(_Model):
    """Hold one environment's file as it was written."""

    environment: EnvironmentRules
    chain: Chain
    profile: Profile
    hosts: Annotated[dict[str, HostEntry], Field(min_length=1)]
    instances: Annotated[dict[str, InstanceEntry], Field(min_length=1)]

    @property
    def is_production(self) -> bool:
        """Tell whether real money is at stake: two people have to approve a release."""
        return self.profile.approvals >= _APPROVALS_OF_PRODUCTION


def parse(text: str, *, path: Path) -> Declared:
    """Judge the text of an inventory.

    Raises: ConfigError that names every mistake.
    """
    try:
        written = Declared.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as wrong:
        raise ConfigError(f"{_shown(path)} is not TOML: {wrong}", hint=str(path)) from wrong
    except ValidationError as wrong:
        raise _refusal(path, [_said(error) for error in wrong.errors()]) from wrong
    mistakes = list(_contradictions(written))
    if mistakes:
        raise _refusal(path, mistakes)
    return written


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


def _refusal(path: Path, mistakes: list[str]) -> ConfigError:
    shown = _shown(path)
    if len(mistakes) == 1:
        return ConfigError(f"{shown}: {mistakes[0]}", hint=f"edit {shown}")
    lines = "\n".join(f"  {each}" for each in mistakes)
    return ConfigError(f"{shown}: {len(mistakes)} mistakes\n{lines}", hint=f"edit {shown}")


def _shown(path: Path) -> str:
    root = paths.project_root()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _said(error: Mapping[str, Any]) -> str:
    """Put one finding of pydantic into our words: the key first, then what is wrong with it."""
    where = [str(part) for part in error["loc"]]
    key = ".".join(where)
    match error["type"]:
        case "extra_forbidden":
            near = nearest(where[-1], _keys_at(where[:-1]))
            return f"unknown key {key}" + (f", the nearest is {near}" if near else "")
        case "missing":
            return f"{key} is missing"
        case _:
            said = str(error["msg"])
            return f"{key}: {said[:1].lower()}{said[1:]}, found {error['input']!r}"


def _keys_at(where: list[str]) -> Iterable[str]:
    """List the keys that are valid at a place of the file."""
    match where:
        case []:
            return Declared.model_fields
        case ["environment"]:
            return EnvironmentRules.model_fields
        case ["chain"]:
            return Chain.model_fields
        case ["chain", "assets", _]:
            return AssetEntry.model_fields
        case ["profile"]:
            return Profile.model_fields
        case ["hosts", _]:
            return HostEntry.model_fields
        case ["instances", _]:
            return InstanceEntry.model_fields
        case ["instances", _, "ports"]:
            return Ports.model_fields
        case _:
            return ()


def _contradictions(written: Declared) -> Iterator[str]:
    """Find what is wrong between keys that are right each for itself."""
    for name in [*written.hosts, *written.instances]:
        if not NAME.fullmatch(name):
            yield f"the name {name!r} has to be a letter, then up to 15 of a-z 0-9 -"
    for name, instance in written.instances.items():
        if instance.host not in written.hosts:
            near = nearest(instance.host, written.hosts)
            said = f", the nearest is {near}" if near else ""
            yield f"instances.{name}.host: unknown host {instance.host!r}{said}"
    yield from _port_conflicts(written)
    yield from _host_contradictions(written)
    validators = [each for each in written.instances.values() if each.role == "validator"]
    if not validators:
        yield "instances: no validator, so there is nobody to make blocks"
    elif len(validators) < _VALIDATORS_MIN and not written.environment.dirty:
        yield f"instances: {len(validators)} validators, at least {_VALIDATORS_MIN} bear a fault"
    yield from _production_rules(written)


def _host_contradictions(written: Declared) -> Iterator[str]:
    for name, host in written.hosts.items():
        if host.connector == "ssh" and not host.address:
            yield f"hosts.{name}.address is missing"
        if host.connector == "ssh" and not host.known_hosts:
            yield f"hosts.{name}.known_hosts is missing: unknown host keys are never accepted"
    if sum(host.connector == "local" for host in written.hosts.values()) > 1:
        yield "hosts: more than one is this machine (connector local)"


def _port_conflicts(written: Declared) -> Iterator[str]:
    taken = Counter(
        (instance.host, port)
        for instance in written.instances.values()
        for port in instance.ports.model_dump().values()
    )
    for (host, port), count in taken.items():
        if count > 1:
            yield f"port {port} of host {host} is given to {count} listeners"


def _production_rules(written: Declared) -> Iterator[str]:
    """Hold the rules of an environment that may take no snapshot and needs two approvals."""
    if not written.is_production:
        return
    for name, asset in written.chain.assets.items():
        if asset.mint_policy == "authority":
            yield (
                f"chain.assets.{name}.mint_policy: {asset.mint_policy} is mock money, "
                "refused where two approvals are needed"
            )
    yield from overweight(written)
