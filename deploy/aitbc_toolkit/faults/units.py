"""How is a node on a host stopped, held and changed for a while? Shell texts for its manager.

No I/O. Everything that is written lies below /run, which a reboot clears.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from aitbc_toolkit.inventory import Host, Instance

_UNITS = PurePosixPath("/run/systemd/system")


class Units:
    """Write what a host's manager is told; `manager` is what `render` says of it."""

    def __init__(self, host: Host, manager: Mapping[str, Any]) -> None:
        self._is_systemd = host.manager == "systemd"
        self._supervisor = ""
        if not self._is_systemd:
            socket = shlex.quote(f"unix://{manager['socket']}")
            self._supervisor = f"{host.python} -m supervisor.supervisorctl -s {socket}"

    def signal(self, instance: Instance, signal: str) -> str:
        """Send a signal to all processes of a node."""
        unit = instance.paths.unit
        if self._is_systemd:
            return f"systemctl kill -s {signal} {unit}"
        return f"{self._supervisor} signal {signal} {unit}"

    def stop(self, instance: Instance) -> str:
        """Keep a node down, or let it be down."""
        unit = instance.paths.unit
        return f"systemctl stop {unit}" if self._is_systemd else f"{self._supervisor} stop {unit}"

    def start(self, instance: Instance) -> str:
        """Start a node, also one that its manager has given up."""
        unit = instance.paths.unit
        if not self._is_systemd:
            return f"{self._supervisor} start {unit}"
        return f"systemctl reset-failed {unit} 2>/dev/null\nsystemctl start {unit}"

    def patient(self, marker: str) -> str:
        """Let nobody end a node that does not beat."""
        if not self._is_systemd:
            return ":"
        others = PurePosixPath(marker).with_name("*.held")
        # What the host had before the first of them is what is there after the last.
        first = f"{{ cat {others} 2>/dev/null || true; systemctl service-watchdogs; }} | head -n 1"
        return f"{first} > {marker}.new\nmv {marker}.new {marker}\nsystemctl service-watchdogs no"

    def impatient(self, marker: str) -> str:
        """Watch over nodes as before, unless another fault still holds one."""
        if not self._is_systemd:
            return ":"
        others, last = PurePosixPath(marker).with_name("*.held"), f"{marker}.last"
        held = f"[ ! -e {last} ] || ls {others} >/dev/null 2>&1"
        restored = f"{held} || xargs systemctl service-watchdogs < {last}"
        return "\n".join([f"mv {marker} {last} 2>/dev/null", restored, f"rm -f {last}"])


def changed(instance: Instance, name: str, lines: Sequence[str]) -> str:
    """Write the shell text that restarts a node with other settings of its unit."""
    folder = _folder(instance)
    return "\n".join(
        [
            f"mkdir -p {folder}",
            f"cat > {folder}/{name}.conf <<'END'",
            "[Service]",
            *lines,
            "END",
            "systemctl daemon-reload",
            f"systemctl restart {instance.paths.unit} || true",
        ]
    )


def unchanged(instance: Instance, name: str) -> str:
    """Write the shell text that takes those settings back and restarts the node."""
    folder, unit = _folder(instance), instance.paths.unit
    return "\n".join(
        [
            f"rm -f {folder}/{name}.conf",
            f"rmdir {folder} 2>/dev/null",
            "systemctl daemon-reload",
            f"systemctl reset-failed {unit} 2>/dev/null",
            f"systemctl restart {unit}",
        ]
    )


def working(unit: str, lease_s: float, program: str, *words: str, after: str = "") -> str:
    """Write the shell text that runs a program of ours beside a node until the lease ends."""
    text = Path(__file__).with_name(f"{program}.py").read_text(encoding="utf-8")
    assert "$" not in text, "systemd would take a dollar for one of its own variables"
    argv = ["systemd-run", "--quiet", "--collect", f"--unit={unit}"]
    # Should the program forget its end, systemd does not.
    argv += [f"--property=RuntimeMaxSec={lease_s + 2:g}"]
    argv += [f"--property=ExecStopPost={after}"] if after else []
    return shlex.join([*argv, "python3", "-I", "-S", "-c", text, f"{lease_s:g}", *words])


def _folder(instance: Instance) -> PurePosixPath:
    return _UNITS / f"{instance.paths.unit}.service.d"
