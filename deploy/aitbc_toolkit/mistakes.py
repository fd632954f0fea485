"""What is wrong with the text of an inventory? Every mistake at once, each with key and place.

The nearest name is told where a name is unknown. Do not look at anything but the text here; which
keys there are stands in `declared`.
"""

import ipaddress
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from aitbc_toolkit import entries, paths, placing
from aitbc_toolkit.declared import (
    NAME,
    Declared,
    HostEntry,
    InstanceEntry,
    nearest,
    overweight,
)
from aitbc_toolkit.entries import MistakenError
from aitbc_toolkit.errors import ConfigError

_VALIDATORS_MIN = 4
_KEY = re.compile(r"(?:unknown key )?([\w.-]+)")

_Entry = TypeVar("_Entry", HostEntry, InstanceEntry)


def parse(text: str, *, path: Path) -> Declared:
    """Judge the text of an inventory.

    Raises: ConfigError that names every mistake.
    """
    try:
        document = tomllib.loads(text)
        written = entries.read(Declared, document)
    except tomllib.TOMLDecodeError as wrong:
        raise refusal(path, [f"not TOML: {wrong}"]) from wrong
    except MistakenError as wrong:
        found = [*wrong.found, *_contradictions_beside(document)]
        raise refusal(path, found, text=text) from wrong
    mistakes = list(_contradictions(written))
    if mistakes:
        raise refusal(path, mistakes, text=text)
    return written


def refusal(path: Path, mistakes: list[str], *, text: str = "") -> ConfigError:
    """Put all mistakes of one file into one error; those of a key of its text have their line."""
    name = shown(path)
    placed = [(_line_of(each, text), each) for each in mistakes]
    if len(mistakes) == 1:
        ((line, mistake),) = placed
        where = f"{name}:{line}" if line else name
        return ConfigError(f"{where}: {mistake}", hint=f"edit {name}")
    lines = "\n".join(f"  line {line}: {each}" if line else f"  {each}" for line, each in placed)
    return ConfigError(f"{name}: {len(mistakes)} mistakes\n{lines}", hint=f"edit {name}")


def _line_of(mistake: str, text: str) -> int:
    key = _KEY.match(mistake)
    return placing.line_of(text, key[1]) if key else 0


def shown(path: Path) -> str:
    """Name a file as the operator does: from the checkout on."""
    root = paths.project_root()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _contradictions(written: Declared) -> Iterator[str]:
    """Find what is wrong between keys that are right each for itself."""
    named = {name: each.host for name, each in written.instances.items()}
    yield from _wrong_names(written.hosts, named)
    yield from _port_conflicts(written.instances.values())
    yield from _host_contradictions(written.hosts)
    validators = [each for each in written.instances.values() if each.role == "validator"]
    if not validators:
        yield "instances: no validator, so there is nobody to make blocks"
    elif len(validators) < _VALIDATORS_MIN and not written.environment.dirty:
        yield f"instances: {len(validators)} validators, at least {_VALIDATORS_MIN} bear a fault"
    if bool(written.profile.trusted_height) != bool(written.profile.trusted_hash):
        yield "profile.trusted_height and trusted_hash come together or not at all"
    nodes = len(written.instances)
    if 0 < written.profile.canary >= nodes:
        yield f"profile.canary: {written.profile.canary} leaves none of {nodes} nodes to protect"
    yield from _production_rules(written)


def _contradictions_beside(document: Mapping[str, Any]) -> Iterator[str]:
    """Find what else is wrong in a file with keys that are wrong each for itself.

    Sums over all instances are left out: those that cannot be read might be what is missing.
    """
    hosts, instances = _table(document, "hosts"), _table(document, "instances")
    named = {
        name: str(each["host"])
        for name, each in instances.items()
        if isinstance(each, Mapping) and isinstance(each.get("host"), str)
    }
    yield from _wrong_names(hosts, named)
    yield from _port_conflicts(_sound(InstanceEntry, instances).values())
    yield from _host_contradictions(_sound(HostEntry, hosts))


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, Mapping) else {}


def _sound(model: type[_Entry], tables: Mapping[str, Any]) -> dict[str, _Entry]:
    """Keep the entries that are right each for itself."""
    found = {}
    for name, entry in tables.items():
        with suppress(MistakenError):
            found[name] = entries.read(model, entry)
    return found


def _wrong_names(hosts: Collection[str], named: Mapping[str, str]) -> Iterator[str]:
    """Judge the names of hosts and instances; `named` says which host each instance names."""
    for name in [*hosts, *named]:
        if not NAME.fullmatch(name):
            yield f"the name {name!r} has to be a letter, then up to 15 of a-z 0-9 -"
    for name, host in named.items():
        if host not in hosts:
            near = nearest(host, hosts)
            said = f", the nearest is {near}" if near else ""
            yield f"instances.{name}.host: unknown host {host!r}{said}"


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6  # noqa: PLR2004 - the newer IP
    except ValueError:
        return False


def _host_contradictions(hosts: Mapping[str, HostEntry]) -> Iterator[str]:
    for name, host in hosts.items():
        if host.connector == "ssh" and not host.address:
            yield f"hosts.{name}.address is missing"
        if host.address6 and not (host.address and _is_ipv6(host.address6)):
            yield f"hosts.{name}.address6 has to be an IPv6 address beside an `address`"
        if host.connector == "ssh" and not host.known_hosts:
            yield f"hosts.{name}.known_hosts is missing: unknown host keys are never accepted"
    if sum(host.connector == "local" for host in hosts.values()) > 1:
        yield "hosts: more than one is this machine (connector local)"


def _port_conflicts(instances: Iterable[InstanceEntry]) -> Iterator[str]:
    taken = Counter(
        (instance.host, port)
        for instance in instances
        for port in msgspec.structs.astuple(instance.ports)
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
    if not written.profile.canary:
        yield "profile.canary: a node goes first and is watched where two approvals are needed"
    if written.profile.limits == "bench":
        yield "profile.limits: bench turns nobody away, refused where two approvals are needed"
    yield from overweight(written)
