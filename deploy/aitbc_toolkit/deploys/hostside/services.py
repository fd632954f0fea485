"""How are nodes started, stopped and watched on a host: by systemd, or by supervisord in dev?

One small protocol, two managers, chosen by the parameter document. Standard library only; the
files that they are given were rendered by the controller.
"""

import http.client
import socket
import subprocess
import time
import xmlrpc.client
from pathlib import Path
from typing import Any, Protocol

from aitbc_toolkit.deploys.hostside import files
from aitbc_toolkit.deploys.hostside.trouble import Trouble

Instance = dict[str, Any]

_LOG_BYTES_PER_LINE = 2048
_START_S = 10.0
_POLL_S = 0.05
_NO_WAIT = False


class Manager(Protocol):
    """Run the nodes of one host."""

    def install(self, instance: Instance, text: str) -> bool:
        """Put a node's service in place; tell whether that changed anything."""

    def start(self, instance: Instance) -> None:
        """Start a node that is down; one that runs is left alone."""

    def stop(self, instance: Instance) -> None:
        """Stop a node and wait until it is gone."""

    def restart(self, instance: Instance) -> None:
        """Stop a node if it runs, then start it."""

    def state(self, instance: Instance) -> dict[str, Any]:
        """Tell the state: `active` or not, the process id, how often it was restarted."""

    def log(self, instance: Instance, lines: int) -> list[str]:
        """Return the newest lines that the node wrote."""


class Systemd:
    """Run nodes as systemd units."""

    units = Path("/etc/systemd/system")

    def install(self, instance: Instance, text: str) -> bool:
        """Write the unit and let it start at boot."""
        unit = f"{instance['unit']}.service"
        if not files.write(self.units / unit, text):
            return False
        wanted = self.units / "multi-user.target.wants" / unit
        files.point(wanted, str(self.units / unit))
        files.call(["systemctl", "daemon-reload"])
        return True

    def start(self, instance: Instance) -> None:
        """Start the unit, also one that systemd has given up on."""
        self._forget_failures(instance)
        files.call(["systemctl", "start", instance["unit"]], timeout_s=60)

    def stop(self, instance: Instance) -> None:
        """Stop the unit if there is one."""
        if (self.units / f"{instance['unit']}.service").exists():
            files.call(["systemctl", "stop", instance["unit"]], timeout_s=60)

    def restart(self, instance: Instance) -> None:
        """Restart the unit; `systemctl restart` also works on a crash-looping one."""
        self._forget_failures(instance)
        files.call(["systemctl", "restart", instance["unit"]], timeout_s=60)

    def state(self, instance: Instance) -> dict[str, Any]:
        """Ask systemd."""
        wanted = "ActiveState,SubState,MainPID,NRestarts,ExecMainStatus"
        said = files.call(["systemctl", "show", instance["unit"], "-p", wanted])
        facts = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        active = facts.get("ActiveState") == "active" and facts.get("SubState") == "running"
        return {
            "active": active,
            "word": facts.get("SubState", "unknown"),
            "failed": facts.get("ActiveState") == "failed",
            "pid": int(facts.get("MainPID", "0")),
            "restarts": int(facts.get("NRestarts", "0")),
            "status": int(facts.get("ExecMainStatus", "0")),
        }

    def log(self, instance: Instance, lines: int) -> list[str]:
        """Read what the node itself wrote; systemd's own remarks would push it out."""
        wanted = f"_SYSTEMD_UNIT={instance['unit']}.service"
        argv = ["journalctl", wanted, "-n", str(lines), "-o", "cat", "--no-pager"]
        return files.call(argv).splitlines()

    def _forget_failures(self, instance: Instance) -> None:
        """Start counting restarts anew; systemd complains when there is nothing to forget."""
        argv = ["systemctl", "reset-failed", instance["unit"]]
        subprocess.run(argv, check=False, capture_output=True)  # noqa: S603 - fixed words


class Supervisord:
    """Run nodes below a supervisor of the user's own, without root."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.folder = Path(facts["folder"])
        self.socket = Path(facts["socket"])
        self.argv = [str(word) for word in facts["argv"]]
        self.text = str(facts["text"])

    def install(self, instance: Instance, text: str) -> bool:
        """Write the program's section and let a running supervisor take it up."""
        files.write(self.folder / "supervisord.conf", self.text)
        changed = files.write(self.folder / "programs" / f"{instance['unit']}.conf", text)
        if changed and self.running():
            self._take_up()
        return changed

    def start(self, instance: Instance) -> None:
        """Start the program, and the supervisor before it where there is none."""
        if not self.running():
            self._launch()
        if not self.state(instance)["active"]:
            self._ask("startProcess", instance["unit"], _NO_WAIT)

    def stop(self, instance: Instance) -> None:
        """Stop the program; no supervisor means that nothing runs."""
        if self.running() and self.state(instance)["word"] not in {"stopped", "exited", "fatal"}:
            self._ask("stopProcess", instance["unit"])

    def restart(self, instance: Instance) -> None:
        """Stop, then start."""
        self.stop(instance)
        self.start(instance)

    def state(self, instance: Instance) -> dict[str, Any]:
        """Ask the supervisor; a program that it does not know is down."""
        unknown = {"active": False, "word": "absent", "failed": False, "pid": 0}
        if not self.running():
            return {**unknown, "restarts": 0, "status": 0}
        try:
            facts = self._ask("getProcessInfo", instance["unit"])
        except xmlrpc.client.Fault:
            return {**unknown, "restarts": 0, "status": 0}
        word = str(facts["statename"]).lower()
        return {
            # A program that has not yet lived for `startsecs` is starting; its process is there.
            "active": word in {"running", "starting"},
            "word": word,
            "failed": word in {"fatal", "exited"},
            "pid": int(facts["pid"]),
            "restarts": 0,  # it does not count them
            "status": int(facts["exitstatus"]),
        }

    def log(self, instance: Instance, lines: int) -> list[str]:
        """Read the file that the supervisor writes."""
        path = Path(instance["log"])
        if not path.is_file():
            return []
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - lines * _LOG_BYTES_PER_LINE))
            return file.read().decode(errors="replace").splitlines()[-lines:]

    def running(self) -> bool:
        """Tell whether our supervisor answers."""
        try:
            self._ask("getState")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def shut_down(self) -> None:
        """End the supervisor and all that it runs; wait until its socket is silent."""
        if self.running():
            self._ask("shutdown")
            _wait(lambda: not self.running(), what="supervisord to end", timeout_s=30)

    def _launch(self) -> None:
        files.write(self.folder / "supervisord.conf", self.text)
        self.socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.socket.unlink(missing_ok=True)
        files.call(self.argv, timeout_s=_START_S)
        _wait(self.running, what="supervisord to answer", timeout_s=_START_S)

    def _take_up(self) -> None:
        """Do what `supervisorctl update` does; a changed program is stopped, not restarted."""
        [[added, changed, removed]] = self._ask("reloadConfig")
        for name in [*changed, *removed]:
            self._ask("stopProcessGroup", name)
            self._ask("removeProcessGroup", name)
        for name in [*added, *changed]:
            self._ask("addProcessGroup", name)

    def _ask(self, method: str, *arguments: Any) -> Any:
        transport = _UnixTransport(self.socket)
        with xmlrpc.client.ServerProxy("http://supervisor", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("supervisor", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:  # noqa: ARG002 - its shape
        return _UnixConnection(self._path)


def manager(params: dict[str, Any]) -> Manager:
    """Choose the manager that this host's inventory names."""
    if params["manager"]["kind"] == "supervisord":
        return Supervisord(params["manager"])
    return Systemd()


def _wait(done: Any, *, what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise Trouble(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(_POLL_S)
