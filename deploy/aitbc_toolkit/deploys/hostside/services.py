"""How are nodes started, stopped and watched on a host: by systemd, or by supervisord in dev?

One small protocol, two managers, chosen by the parameter document. Standard library only; the
files that they are given were rendered by the controller.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from aitbc_toolkit.deploys.hostside import files

Instance = dict[str, Any]


class Manager(Protocol):
    """Run the nodes of one host."""

    def install(self, instance: Instance, text: str) -> bool:
        """Put a node's service in place; tell whether that changed anything."""

    def start(self, instance: Instance) -> str:
        """Start a node that is down; one that runs is left alone.

        Return where in the log its own words begin, for `log`.
        """

    def stop(self, instance: Instance) -> None:
        """Stop a node and wait until it is gone."""

    def restart(self, instance: Instance) -> str:
        """Stop a node if it runs, then start it; return the same as `start`."""

    def state(self, instance: Instance) -> dict[str, Any]:
        """Tell the state: `active` or not, the process id, how often it was restarted.

        An `orphan` is active, but its manager does not know it.
        """

    def log(self, instance: Instance, lines: int, *, since: str = "") -> list[str]:
        """Return the newest lines that the node wrote, none from before `since`."""

    def definition(self, instance: Instance) -> Path:
        """Return the file that `install` writes."""

    def drop_ins(self, instance: Instance) -> list[str]:
        """List files that change a node's service beside that one."""

    def shut_down(self, instances: Sequence[Instance]) -> None:
        """Stop these nodes and all that ran them here."""


class Systemd:
    """Run nodes as systemd units."""

    units = Path("/etc/systemd/system")

    def install(self, instance: Instance, text: str) -> bool:
        """Write the unit and let it start at boot."""
        unit = f"{instance['unit']}.service"
        if not files.write(self.definition(instance), text):
            return False
        wanted = self.units / "multi-user.target.wants" / unit
        files.point(wanted, str(self.units / unit))
        files.call(["systemctl", "daemon-reload"])
        return True

    def start(self, instance: Instance) -> str:
        """Start the unit, also one that systemd has given up on."""
        self._forget_failures(instance)
        files.call(["systemctl", "start", instance["unit"]], timeout_s=60)
        return self._began(instance)

    def stop(self, instance: Instance) -> None:
        """Stop the unit if there is one."""
        if self.definition(instance).exists():
            files.call(["systemctl", "stop", instance["unit"]], timeout_s=60)

    def restart(self, instance: Instance) -> str:
        """Restart the unit; `systemctl restart` also works on a crash-looping one."""
        self._forget_failures(instance)
        files.call(["systemctl", "restart", instance["unit"]], timeout_s=60)
        return self._began(instance)

    def state(self, instance: Instance) -> dict[str, Any]:
        """Ask systemd."""
        wanted = "ActiveState,SubState,MainPID,NRestarts,ExecMainStatus"
        said = files.call(["systemctl", "show", instance["unit"], "-p", wanted])
        facts = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        active = facts.get("ActiveState") == "active" and facts.get("SubState") == "running"
        return {
            "active": active,
            "orphan": False,  # systemd knows every process of a unit by its cgroup
            "word": facts.get("SubState", "unknown"),
            "failed": facts.get("ActiveState") == "failed",
            "pid": int(facts.get("MainPID", "0")),
            "restarts": int(facts.get("NRestarts", "0")),
            "status": int(facts.get("ExecMainStatus", "0")),
        }

    def log(self, instance: Instance, lines: int, *, since: str = "") -> list[str]:
        """Read what the node itself wrote; systemd's own remarks would push it out."""
        wanted = f"_SYSTEMD_UNIT={instance['unit']}.service"
        argv = ["journalctl", wanted, "-n", str(lines), "-o", "cat", "--no-pager"]
        argv += ["--since", since] if since else []
        return files.call(argv).splitlines()

    def definition(self, instance: Instance) -> Path:
        """Find the unit's file."""
        return self.units / f"{instance['unit']}.service"

    def drop_ins(self, instance: Instance) -> list[str]:
        """Ask systemd which files it reads beside the unit's own."""
        said = files.call(["systemctl", "show", instance["unit"], "-p", "DropInPaths", "--value"])
        return said.split()

    def shut_down(self, instances: Sequence[Instance]) -> None:
        """Stop the units; systemd itself stays."""
        for instance in instances:
            self.stop(instance)

    def _began(self, instance: Instance) -> str:
        """Tell when the unit's process was started, to the microsecond."""
        argv = ["systemctl", "show", instance["unit"], "--timestamp=us+utc"]
        return files.call([*argv, "-P", "ExecMainStartTimestamp"]).strip()

    def _forget_failures(self, instance: Instance) -> None:
        """Start counting restarts anew; systemd complains when there is nothing to forget."""
        argv = ["systemctl", "reset-failed", instance["unit"]]
        subprocess.run(argv, check=False, capture_output=True)  # noqa: S603 - fixed words


def manager(params: dict[str, Any]) -> Manager:
    """Choose the manager that this host's inventory names."""
    if params["manager"]["kind"] == "supervisord":
        from aitbc_toolkit.deploys.hostside.supervising import (  # noqa: PLC0415 - its libraries cost 30 ms
            Supervisord,
        )

        return Supervisord(params["manager"])
    return Systemd()
