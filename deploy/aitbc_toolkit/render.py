"""What does each node's configuration say? Rendered here, whole, before any host is touched.

Templates are Jinja2 with StrictUndefined: a variable that nobody gives stops everything. The same
inputs give the same bytes. Do not read hosts or write files here.
"""

import getpass
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import jinja2

from aitbc_toolkit import paths, shell
from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.inventory import Environment, Host, Instance

# A path of a Unix socket has to fit into 107 bytes; the supervisor adds a suffix while it binds.
_SOCKET_CHARS_MAX = 90
_HASH_CHARS = 16


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Say once, for both service managers, what follows a crash or silence.

    The delay is fixed because systemd knows no growing one; the node's own back-off grows. A node
    that hangs ends by itself; `silence_s` is for one that cannot even do that, which only systemd
    notices. With the delay it is less than the twenty seconds that are promised.
    """

    delay_s: int = 1
    silence_s: int = 15
    tries_max: int = 5
    final_statuses: tuple[int, ...] = (64, 78)


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """Bound the logs of a host: how much disk they take, and how long they stay."""

    size_max: str = "500M"
    retention: str = "30day"


@dataclass(frozen=True, slots=True)
class Configuration:
    """Hold what one node is given; `hash` names the files apart from the commit in them."""

    instance: str
    files: Mapping[str, str]
    hash: str


def configurations(
    environment: Environment,
    *,
    commit: str,
    peer_ids: Mapping[str, str],
    genesis: str,
    templates: Path | None = None,
) -> dict[str, Configuration]:
    """Render every node of an environment; `peer_ids` has the live id of each by its name.

    Raises: ConfigError for a template that is missing, broken, or asks for what nobody gave.
    """
    source = _templates(templates)
    return {
        each.name: _configuration(
            environment, each, commit=commit, peer_ids=peer_ids, genesis=genesis, source=source
        )
        for each in environment.instances
    }


def manager(host: Host, *, templates: Path | None = None) -> dict[str, Any]:
    """Write what the host-side programs need to know about a host's service manager."""
    if host.manager == "systemd":
        return {"kind": "systemd"}
    folder = host.layout.supervisor
    socket = _socket(folder)
    values = {
        "environment": host.layout.environment,
        "folder": folder,
        "socket": socket,
        "user": getpass.getuser() if os.geteuid() == 0 else "",
    }
    text = _render(_templates(templates), "supervisord.conf.j2", values)
    configuration = str(folder / "supervisord.conf")
    return {
        "kind": "supervisord",
        "environment": host.layout.environment,
        "folder": str(folder),
        "socket": str(socket),
        "text": text,
        "argv": [host.python, "-m", "supervisor.supervisord", "-c", configuration],
    }


def keeper(host: Host, *, templates: Path | None = None) -> dict[str, Any]:
    """Write the service of a host's dead-man's switch, and what a manager needs to know of it."""
    environment = host.layout.environment
    unit = f"aitbc-{environment}-deadman"
    log = host.layout.instance("deadman").log
    values = {
        "environment": environment,
        "unit": unit,
        "python": host.python,
        "program": host.layout.state / "deadman.py",
        "log": log,
    }
    name = {
        "systemd": "aitbc-deadman.service.j2",
        "supervisord": "supervisor-deadman.conf.j2",
    }[host.manager]
    text = _render(_templates(templates), name, values)
    return {"keeper": {"name": "deadman", "unit": unit, "log": str(log)}, "service": text}


def host_texts(
    environment: Environment, host: Host, *, templates: Path | None = None
) -> dict[str, str]:
    """Render what belongs to a host and to no node: journal limits and, if wanted, its firewall."""
    source = _templates(templates)
    values = {
        "environment": environment,
        "host": host,
        "instances": environment.on(host.name),
        "journal": JournalLimits(),
    }
    texts = {"journald": _render(source, "journald.conf.j2", values)}
    if host.firewall:
        texts |= {
            "firewall": _render(source, "firewall.nft.j2", values),
            "ports": _render(source, "firewall-ports.nft.j2", values),
            "ports_name": f"{environment.name}.nft",
            "unit": _render(source, "firewall.service.j2", values),
        }
    return texts


def text(name: str, values: Mapping[str, Any], *, templates: Path | None = None) -> str:
    """Render a template that belongs to no host.

    Raises: as `configurations`.
    """
    return _render(_templates(templates), name, values)


def start_command(instance: Instance, *, ends_with_parent: bool, module: str = "aitbc_node") -> str:
    """Write the command of a node: links resolved first, then the node in the shell's place.

    Another `module` of the release may run it, with words of its own before those of the node.

    Its environment says for as long as it lives which release and configuration it was started on.
    systemd ends what it started by its cgroup; a supervisor that is killed ends nothing, so there
    the kernel is told to.
    """
    tie = "setpriv --pdeathsig TERM " if ends_with_parent else ""
    script = (
        f"release=$(readlink -e {shell.quoted([str(instance.paths.current)])}) && "
        f"AITBC_CONFIG=$(readlink -m {shell.quoted([str(instance.paths.config)])}) "
        'PYTHONPATH="$release/node" exec '
        f'{tie}"$release/venv/bin/python" -P -m {module} run '
        f"--config {shell.quoted([str(instance.paths.config / 'node.toml')])}"
    )
    return f"/bin/sh -c {shell.quoted([script])}"


def _configuration(
    environment: Environment,
    instance: Instance,
    *,
    commit: str,
    peer_ids: Mapping[str, str],
    genesis: str,
    source: jinja2.Environment,
) -> Configuration:
    host = environment.host(instance.host)
    others = [each for each in environment.instances if each.name != instance.name]
    peers = [
        {"peer_id": peer_ids[each.name], "address": endpoint(address, each.p2p_port)}
        for each in others
        if (address := instance.way_to(each))
    ]
    values = {
        "environment": environment,
        "host": host,
        "instance": instance,
        "commit": commit,
        "peers": peers,
        "welcome": [peer_ids[each.name] for each in others if not instance.way_to(each)],
        "restart": RestartPolicy(),
        "start_command": start_command(instance, ends_with_parent=host.manager == "supervisord"),
        "p2p_listen": endpoint(instance.listens_on, instance.p2p_port),
        "advertised": [endpoint(each, instance.p2p_port) for each in instance.addresses],
        "rpc_listen": endpoint(instance.listens_on, instance.rpc_port),
        "admin_listen": endpoint("127.0.0.1", instance.admin_port),
    }
    service = {
        "systemd": "aitbc-instance.service.j2",
        "supervisord": "supervisor-program.conf.j2",
    }[host.manager]
    files = {
        "node.toml": _render(source, "node.toml.j2", values),
        "genesis.json": genesis,
        "service": _render(source, service, values),
    }
    return Configuration(instance.name, files, _hash(files, commit=commit))


def endpoint(address: str, port: int) -> str:
    """Write an address and a port as one text; an IPv6 address stands in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _hash(files: Mapping[str, str], *, commit: str) -> str:
    """Name a configuration by its content; the commit in it is the release's name, not its own."""
    plain = {name: text.replace(commit, "") for name, text in files.items()}
    content = json.dumps(plain, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:_HASH_CHARS]


def _templates(folder: Path | None) -> jinja2.Environment:
    return _compiled(folder or paths.templates())


@cache
def _compiled(folder: Path) -> jinja2.Environment:
    """Keep what templates were compiled to; one that is edited meanwhile is compiled again."""
    source = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - TOML and units, no HTML
    )
    source.filters["toml"] = _toml
    source.filters["percent"] = lambda value: str(value).replace("%", "%%")
    return source


def _render(source: jinja2.Environment, name: str, values: Mapping[str, Any]) -> str:
    try:
        return source.get_template(name).render(values)
    except jinja2.TemplateNotFound as missing:
        raise ConfigError(f"template {missing.name} is missing", hint="git status templates") from (
            missing
        )
    except jinja2.TemplateSyntaxError as wrong:
        raise ConfigError(
            f"template {name}, line {wrong.lineno}: {wrong.message}", hint=f"edit templates/{name}"
        ) from wrong
    except jinja2.UndefinedError as missing:
        raise ConfigError(
            f"template {name}, line {_line(missing, name)}: {missing.message}",
            hint=f"edit templates/{name}",
        ) from missing


def _line(failure: BaseException, name: str) -> int:
    """Find the template's own line: Jinja2 writes it into the traceback."""
    trace, line = failure.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(name):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _toml(value: object) -> str:
    """Write a value as TOML; a JSON string is a TOML basic string."""
    text = json.dumps(str(value) if isinstance(value, PurePosixPath) else value)
    return text.replace("\x7f", "\\u007f")


def _socket(folder: PurePosixPath) -> PurePosixPath:
    """Find a place for the supervisor's socket whose path is short enough."""
    beside = folder / "supervisor.sock"
    if len(str(beside)) <= _SOCKET_CHARS_MAX:
        return beside
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    return PurePosixPath(tempfile.gettempdir()) / f"aitbc-{os.getuid()}-{name}" / "supervisor.sock"
