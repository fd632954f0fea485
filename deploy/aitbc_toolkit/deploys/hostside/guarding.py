"""Is what should be closed on this host closed? Each answer comes from trying or measuring it.

Sockets are those that the node's process holds now, routes and links are asked and refused live,
hardening is what systemd itself computes. No answer rests on a file that says so. A secret is
compared here and never told. Reads only. Standard library only.
"""

import http.client
import ipaddress
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import services

EXPOSURE_MAX = 5.0
"""systemd's own scale: below is `OK` or better, above begins what it calls exposed."""

_TIMEOUT_S = 5.0
_LISTEN = "0A"
_SECRET_CHARS_MIN = 16
_OTHERS = 0o077
_REFUSED = range(400, 500)

Row = dict[str, str]


def guard(params: dict[str, Any]) -> dict[str, Any]:
    """Try every door of every node on this host."""
    manager = services.manager(params)
    return {
        "checks": {each["name"]: list(_node(each, manager, params)) for each in params["instances"]}
    }


def _node(
    instance: dict[str, Any], manager: services.Manager, params: dict[str, Any]
) -> Iterator[Row]:
    yield _key_files(instance, params["run_as"])
    yield _unit(instance, manager)
    state = manager.state(instance)
    if not state["active"]:
        yield _row("service", "fail", f"the node does not run ({state['word']})")
        return
    yield _listeners(instance, state["pid"])
    yield _route("admin without token", "127.0.0.1", instance["listen"]["admin"][1])
    address, port = instance["listen"]["rpc"]
    yield _route("admin by public port", address, port)
    yield _links(*instance["listen"]["p2p"])
    yield _secrets_shown(instance)


def _row(item: str, state: str, evidence: str) -> Row:
    return {"item": item, "state": state, "evidence": evidence}


def _judged(item: str, wrong: list[str], fine: str) -> Row:
    return _row(item, "fail" if wrong else "pass", "; ".join(wrong[:5]) or fine)


def _listeners(instance: dict[str, Any], pid: int) -> Row:
    """Compare what the process listens on with the three doors that it may have."""
    found = {address for each in (pid, *_children(pid)) for address in _sockets(each)}
    admin = instance["listen"]["admin"][1]
    wanted = {(address, port) for address, port in instance["listen"].values()}
    wrong = [
        f"listens on {address}:{port}"
        for address, port in sorted(found)
        if (address, port) not in wanted
    ]
    doors = [address for address, port in found if port == admin]
    wrong += [f"admin on {each}" for each in doors if not ipaddress.ip_address(each).is_loopback]
    if not doors:
        wrong.append(f"nothing listens on the admin port {admin}")
    shown = ", ".join(f"{address}:{port}" for address, port in sorted(found))
    return _judged("listeners", wrong, f"{shown}; admin on loopback only")


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return [int(each) for each in text.split()]
    return []


def _sockets(pid: int) -> Iterator[tuple[str, int]]:
    """Yield the addresses that a process listens on. Source: proc(5), /proc/net/tcp."""
    own = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            name = str(link.readlink())
            if name.startswith("socket:["):
                own.add(name[len("socket:[") : -1])
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]
            for fields in map(str.split, lines):
                if fields[3] == _LISTEN and fields[9] in own:
                    yield _address(fields[1])


def _address(text: str) -> tuple[str, int]:
    digits, _, port = text.partition(":")
    # Each group of four bytes is written in the byte order of the machine, which is little.
    raw = b"".join(bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8))
    return str(ipaddress.ip_address(raw)), int(port, 16)


def _route(item: str, address: str, port: int) -> Row:
    """Ask for an admin route without a token; anything but a refusal is an open door."""
    connection = http.client.HTTPConnection(address, port, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", "/admin/finalize", body="{}")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as failure:
        return _row(item, "fail", f"{address}:{port} gave no answer: {failure}")
    finally:
        connection.close()
    return _row(item, "pass" if status in _REFUSED else "fail", f"refused with {status}")


def _links(address: str, port: int) -> Row:
    """Shake hands with the port of links: TLS 1.3, and nothing older."""
    new, failure = _handshake(address, port, newest=ssl.TLSVersion.TLSv1_3)
    old, _ = _handshake(address, port, newest=ssl.TLSVersion.TLSv1_2)
    wrong = [] if new == "TLSv1.3" else [f"no TLS 1.3: {new or failure}"]
    wrong += [f"{old} is accepted, too"] if old else []
    return _judged("links", wrong, "TLS 1.3; 1.2 is refused")


def _handshake(address: str, port: int, *, newest: ssl.TLSVersion) -> tuple[str, str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Whose certificate it is, nodes pin by the key; here only the protocol is asked about.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = newest
    try:
        with (
            socket.create_connection((address, port), timeout=_TIMEOUT_S) as plain,
            context.wrap_socket(plain) as link,
        ):
            return str(link.version()), ""
    except OSError as failure:
        return "", str(failure)


def _key_files(instance: dict[str, Any], user: str) -> Row:
    """Look who may read the keys: their owner, who is the node's user."""
    folder = Path(instance["keys"])
    paths = [folder, *sorted(folder.iterdir())] if folder.is_dir() else []
    wrong = []
    for path in paths:
        facts = path.stat()
        if facts.st_mode & _OTHERS:
            wrong.append(f"{path.name} has mode {facts.st_mode & 0o777:03o}")
        if user and path.owner() != user:
            wrong.append(f"{path.name} belongs to {path.owner()}")
    if not paths:
        wrong.append(f"{folder} is not there")
    return _judged("key files", wrong, f"{len(paths)} paths, for their owner only")


def _secrets_shown(instance: dict[str, Any]) -> Row:
    """Search every command line and environment of this host for what the key files hold."""
    secrets = _secrets(Path(instance["keys"]))
    searched, wrong = 0, []
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with suppress(OSError):
                content = (folder / name).read_bytes()
                searched += 1
                wrong += [
                    f"{what} is in {name} of process {folder.name}"
                    for what, secret in secrets
                    if secret in content
                ]
    if not secrets:
        wrong.append("there is no secret to look for")
    fine = f"{len(secrets)} secrets in none of {searched} command lines and environments"
    return _judged("secrets in argv", wrong, fine)


def _secrets(folder: Path) -> list[tuple[str, bytes]]:
    """Read what must not be seen: each key and token, as it is and as hexadecimal text."""
    found = []
    for path in (*sorted(folder.glob("*.key")), *sorted(folder.glob("*.token"))):
        content = path.read_bytes().strip()
        forms = {content, content.hex().encode(), *content.splitlines()}
        found += [
            (path.name, form)
            for form in forms
            if len(form) >= _SECRET_CHARS_MIN and not form.startswith(b"-----")
        ]
    return found


def _unit(instance: dict[str, Any], manager: services.Manager) -> Row:
    """Let systemd measure how exposed the unit is; supervisord has nothing like it."""
    if not isinstance(manager, services.Systemd):
        return _row("unit hardening", "n.a.", "supervisord has no such measure")
    argv = ["systemd-analyze", "security", "--no-pager", f"{instance['unit']}.service"]
    ran = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=30)  # noqa: S603 - fixed words
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", ran.stdout)
    if found is None:
        return _row("unit hardening", "fail", (ran.stderr.strip() or "no measure")[:200])
    exposure = float(found[1])
    state = "pass" if exposure <= EXPOSURE_MAX else "fail"
    return _row("unit hardening", state, f"exposure {exposure}, allowed {EXPOSURE_MAX}")
