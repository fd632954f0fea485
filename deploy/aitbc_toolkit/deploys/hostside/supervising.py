"""How are nodes run below a supervisor of the user's own, without root?

The supervisor is the parent of its nodes, and the kernel ends them when it dies. A node that runs
without it all the same is an *orphan*: it is shown as one, and every verb that stops or starts the
node ends it first. Standard library only.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import files, processes
from aitbc_toolkit.deploys.hostside.asking import (
    ALREADY_STARTED,
    ENDING,
    NOT_RUNNING,
    UNKNOWN_PROGRAM,
    Refused,
    Silent,
    ask,
)
from aitbc_toolkit.deploys.hostside.trouble import Trouble

_LOG_BYTES_PER_LINE = 2048
_LAUNCH_S = 10.0
# Longer than a program's own `stopwaitsecs`, after which the supervisor kills it.
_END_S = 12.0
_PROBE_S = 2.0
_POLL_S = 0.05
_NO_WAIT = False
_ABSENT = {"active": False, "word": "absent", "failed": False, "pid": 0, "status": None}


class Supervisord:
    """Run nodes below a supervisor of the user's own, without root."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.environment = str(facts["environment"])
        self.folder = Path(facts["folder"])
        self.socket = Path(facts["socket"])
        self.argv = [str(word) for word in facts["argv"]]
        self.text = str(facts["text"])

    def install(self, instance: dict[str, Any], text: str) -> bool:
        """Write the program's section and let a running supervisor take it up."""
        self._settle()
        files.write(self.folder / "supervisord.conf", self.text)
        changed = files.write(self.definition(instance), text)
        if changed and self._pid():
            self._take_up()
        return changed

    def start(self, instance: dict[str, Any]) -> str:
        """Start the program, and the supervisor before it where there is none."""
        self._settle()
        if self._told(instance)["active"]:
            return ""
        self._end_orphans(instance)
        since = self._end_of_log(instance)
        if not self._pid():
            self._launch()
        self._stop(instance)  # one that waits for its next try counts as started
        self._ask("startProcess", instance["unit"], _NO_WAIT, fine=ALREADY_STARTED)
        return since

    def stop(self, instance: dict[str, Any]) -> None:
        """Stop the program, and whatever of it runs without a supervisor."""
        self._settle()
        if self._pid():
            self._stop(instance)
        self._end_orphans(instance)

    def restart(self, instance: dict[str, Any]) -> str:
        """Stop, then start."""
        self.stop(instance)
        return self.start(instance)

    def state(self, instance: dict[str, Any]) -> dict[str, Any]:
        """Ask the supervisor; then look whether the node runs without one."""
        told = self._told(instance)
        orphans = [] if told["active"] else self._orphans(instance)
        if orphans:
            told = {**told, "active": True, "failed": False, "word": "orphan", "pid": orphans[0]}
        # Restarts it does not count.
        return {**told, "orphan": bool(orphans), "restarts": 0}

    def log(self, instance: dict[str, Any], lines: int, *, since: str = "") -> list[str]:
        """Read the file that the supervisor writes; one that was begun anew is read whole."""
        path = Path(instance["log"])
        if not path.is_file():
            return []
        size, first = path.stat().st_size, int(since or 0)
        with path.open("rb") as file:
            file.seek(max(first if first <= size else 0, size - lines * _LOG_BYTES_PER_LINE))
            return file.read().decode(errors="replace").splitlines()[-lines:]

    def definition(self, instance: dict[str, Any]) -> Path:
        """Find the program's section."""
        return self.folder / "programs" / f"{instance['unit']}.conf"

    def drop_ins(self, instance: dict[str, Any]) -> list[str]:  # noqa: ARG002 - as systemd's
        """List nothing: supervisord knows no such files."""
        return []

    def shut_down(self, instances: Sequence[dict[str, Any]]) -> None:
        """End the supervisor and all that it runs, answering or not, and the nodes without one.

        Raises: Trouble when something of it does not end.
        """
        if self._pid():
            self._ask("shutdown", fine=ENDING)
            _wait(lambda: not self._supervisors(), timeout_s=_END_S)
        processes.end(dict.fromkeys(self._supervisors(), self._supervisor_words))
        self._end_orphans(*instances)

    def _settle(self) -> None:
        """Wait for a supervisor that is ending; refuse one that lives and does not answer."""
        if self._pid() or _wait(lambda: self._pid() or not self._supervisors(), timeout_s=_END_S):
            return
        pids = " ".join(map(str, self._supervisors()))
        name = self.environment
        raise Trouble(
            f"supervisord (process {pids}) does not answer on {self.socket}",
            hint=f"aitbc down {name}\naitbc up {name}",
        )

    def _told(self, instance: dict[str, Any]) -> dict[str, Any]:
        """Tell what the supervisor says; a program that it does not know is down."""
        try:
            facts = ask(self.socket, "getProcessInfo", instance["unit"], timeout_s=_PROBE_S)
        except Silent:
            return dict(_ABSENT)
        except Refused as refused:
            if refused.code not in {UNKNOWN_PROGRAM, ENDING}:
                raise
            return dict(_ABSENT)
        word = str(facts["statename"]).lower()
        return {
            # A program that has not yet lived for `startsecs` is starting; its process is there.
            "active": word in {"running", "starting"},
            "word": word,
            # 64 and 78 stay down too, and are judged by their status. One that exits with another
            # is started again: it is between two lives.
            "failed": word == "fatal" or (word == "exited" and facts["exitstatus"] == 0),
            "pid": int(facts["pid"]),
            # Of a program that ended too soon the supervisor forgets how: its 0 says nothing.
            "status": int(facts["exitstatus"]) if word == "exited" else None,
        }

    def _stop(self, instance: dict[str, Any]) -> None:
        if self._told(instance)["word"] not in {"absent", "stopped", "exited", "fatal"}:
            self._ask("stopProcess", instance["unit"], fine=NOT_RUNNING)
            _wait(lambda: self._told(instance)["word"] != "stopping", timeout_s=_END_S)

    def _orphans(self, instance: dict[str, Any]) -> list[int]:
        """List the processes of a node that are not children of an answering supervisor."""
        found = processes.find(_node_words(instance))
        supervisor = self._pid() if found else 0
        return [pid for pid in found if not supervisor or processes.parent(pid) != supervisor]

    def _end_orphans(self, *instances: dict[str, Any]) -> None:
        words = {pid: _node_words(each) for each in instances for pid in self._orphans(each)}
        processes.end(words)

    def _end_of_log(self, instance: dict[str, Any]) -> str:
        path = Path(instance["log"])
        return str(path.stat().st_size if path.is_file() else 0)

    def _pid(self) -> int:
        """Tell the process of our supervisor; 0 when none answers that takes orders."""
        try:
            return int(ask(self.socket, "getPID", timeout_s=_PROBE_S))
        except Silent:
            return 0
        except Refused as refused:
            if refused.code != ENDING:
                raise
            return 0

    @property
    def _supervisor_words(self) -> list[str]:
        return ["-m", "supervisor.supervisord", "-c", str(self.folder / "supervisord.conf")]

    def _supervisors(self) -> list[int]:
        return processes.find(self._supervisor_words)

    def _launch(self) -> None:
        files.write(self.folder / "supervisord.conf", self.text)
        self.socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.socket.unlink(missing_ok=True)
        files.call(self.argv, timeout_s=_LAUNCH_S)
        if not _wait(self._pid, timeout_s=_LAUNCH_S):
            raise Trouble(
                f"supervisord did not answer within {_LAUNCH_S:.0f} s",
                hint=f"less {self.folder / 'supervisord.log'}",
            )

    def _take_up(self) -> None:
        """Do what `supervisorctl update` does; a changed program is stopped, not restarted."""
        [[added, changed, removed]] = self._ask("reloadConfig")
        for name in [*changed, *removed]:
            self._ask("stopProcessGroup", name)
            self._ask("removeProcessGroup", name)
        for name in [*added, *changed]:
            self._ask("addProcessGroup", name)

    def _ask(self, method: str, *arguments: Any, fine: int = 0) -> Any:
        """Give an order; a refusal that means that it is carried out already is `fine`."""
        try:
            return ask(self.socket, method, *arguments)
        except Refused as refused:
            if refused.code == fine:
                return None
            if refused.code == UNKNOWN_PROGRAM:
                raise Trouble(
                    f"{arguments[0]} has never been deployed here",
                    hint=f"aitbc deploy {self.environment}",
                ) from None
            raise


def _node_words(instance: dict[str, Any]) -> list[str]:
    return ["-m", "aitbc_node", "run", "--config", f"{instance['config']}/node.toml"]


def _wait(done: Callable[[], object], *, timeout_s: float) -> bool:
    """Wait for something to become true; tell whether it did."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
