"""How do steps reach hosts through pyinfra? One connection per host, one fresh State per step.

A `State` runs once and then only leads into traps, while connecting anew for each step costs more
than most steps; so the connectors are carried from State to State. Every host of a step gets a
row: pyinfra drops a host that fails, and its absence must not read as success.
"""

import json
import socket
import time
from collections.abc import Collection, Mapping
from typing import Any

import gevent
from pyinfra.api.config import Config
from pyinfra.api.connect import connect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import OperationMeta, add_op
from pyinfra.api.operations import run_ops
from pyinfra.api.state import BaseStateCallback, State, StateStage
from pyinfra.connectors.base import BaseConnector
from pyinfra.context import ctx_host, ctx_state

from aitbc_toolkit.deploys import bundle, operations
from aitbc_toolkit.deploys.attendant import Attendant
from aitbc_toolkit.deploys.hostside.attending import END
from aitbc_toolkit.deploys.hostside.program import MARK

Row = dict[str, Any]

_LOCAL = "@local"
_CONNECT_S = 5
# pyinfra's own limit is the last of three: the host's, this one, and the reader's of the parent.
_GRACE_S = bundle.KILL_AFTER_S + 5
_TAIL_LINES = 4


class _Hooks(BaseStateCallback):
    """Tune each connection as it comes up, and remember why one did not."""

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}

    def host_connect(self, state: State, host: Host) -> None:  # type: ignore[override]  # noqa: ARG002 - theirs is static
        client = getattr(host.connector, "client", None)
        if client is None:
            return
        transport = client.get_transport()
        # Nagle costs 44 ms a command; without the other two a cut link is never noticed.
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 8000)
        transport.set_keepalive(2)

    def host_connect_error(self, state: State, host: Host, error: Exception) -> None:  # type: ignore[override]  # noqa: ARG002 - theirs is static
        self.refused[host.name] = str(error)


class Session:
    """Keep the connections of one deploy and run its steps.

    `hosts` says how each is reached; a host without a word about that is this machine.
    """

    def __init__(self, hosts: Mapping[str, Mapping[str, Any]]) -> None:
        # pyinfra tells by the name of a host that it is this machine.
        self._alias = {name: name if data else _LOCAL for name, data in hosts.items()}
        self._data = {self._alias[name]: dict(data) for name, data in hosts.items()}
        self._kept: dict[str, BaseConnector] = {}
        self._attendants: dict[str, Attendant] = {}
        # Each connects while nobody asks for anything; it gives why it could not, and when.
        self._early: dict[str, gevent.Greenlet[[str], tuple[str | None, float]]] = {}

    def begin(self) -> None:
        """Connect to every host, beside whatever else goes on."""
        self._early = {alias: gevent.spawn(self._reach, alias) for alias in self._data}

    def step(
        self, step: str, params_by_host: Mapping[str, Mapping[str, Any]], *, deadline_s: int
    ) -> dict[str, Row]:
        """Run one step on the named hosts in parallel; return a row for each of them."""
        began = time.monotonic()
        hooks = _Hooks()
        hooks.refused |= self._just_refused([self._alias[name] for name in params_by_host])
        try:
            params = {
                self._alias[name]: each
                for name, each in params_by_host.items()
                if self._alias[name] not in hooks.refused
            }
            said: dict[str, list[str]] = {alias: [] for alias in self._data}
            metas: dict[str, OperationMeta] = {}
            if params:  # a State of nobody is not even made
                state = self._connected(list(params), hooks)
                metas = self._run(state, step, params, said, deadline_s=deadline_s)
        finally:
            ctx_state.reset()
            ctx_host.reset()
        rows = {}
        for name in params_by_host:
            alias = self._alias[name]
            row = _row(metas.get(alias), said[alias], refused=hooks.refused.get(alias))
            row["took_ms"] = int((time.monotonic() - began) * 1000)
            if row.get("kind") == "unknown":
                self._drop(alias)
            rows[name] = row
        return rows

    def close(self) -> None:
        """Close every connection; pyinfra's own disconnect leaves the transports open."""
        gevent.killall(list(self._early.values()))
        for name in list(self._kept):
            self._drop(name)

    def _reach(self, alias: str) -> tuple[str | None, float]:
        hooks = _Hooks()
        self._connected([alias], hooks)
        return hooks.refused.get(alias), time.monotonic()

    def _just_refused(self, wanted: Collection[str]) -> dict[str, str]:
        """Tell who of these was not reached a moment ago: nobody waits for the same once more.

        Nor does anybody wait for a host that is not asked for.
        """
        early = {alias: self._early.pop(alias) for alias in wanted if alias in self._early}
        found = {alias: each.get() for alias, each in early.items()}
        now_s = time.monotonic()
        return {
            alias: why
            for alias, (why, at_s) in found.items()
            if why is not None and now_s - at_s < _CONNECT_S
        }

    def _connected(self, names: list[str], hooks: _Hooks) -> State:
        """Make the State of one step, with the connections that live already."""
        inventory = Inventory(([(name, self._data[name]) for name in names], {}))
        state = State(inventory, Config(CONNECT_TIMEOUT=_CONNECT_S), check_for_changes=False)
        state.add_callback_handler(hooks)
        for host in inventory:
            kept = self._kept.get(host.name)
            if kept is not None and _alive(kept):
                kept.state, kept.host = state, host
                host.connector, host.connected = kept, True
        try:
            connect_all(state)
        except PyinfraError as none_left:
            for host in inventory:
                if not host.connected:
                    hooks.refused.setdefault(host.name, str(none_left))
        for host in inventory:
            if host.connected:
                self._kept[host.name] = host.connector
        return state

    def _drop(self, name: str) -> None:
        if attendant := self._attendants.pop(name, None):
            attendant.close()
        client = getattr(self._kept.pop(name, None), "client", None)
        if client is not None:
            client.close()

    def _run(
        self,
        state: State,
        step: str,
        params: Mapping[str, Mapping[str, Any]],
        said: dict[str, list[str]],
        *,
        deadline_s: int,
    ) -> dict[str, OperationMeta]:
        """Run the one operation on every host that is connected."""
        if not state.active_hosts:
            return {}
        how = {"name": step, "_timeout": deadline_s + _GRACE_S}
        state.set_stage(StateStage.Prepare)
        if step in bundle.SCRIPTS:
            metas = add_op(state, operations.host_script, step, params, deadline_s, **how)
        else:
            hosts = {host.name: self._attendant(host, params) for host in state.active_hosts}
            words = (step, params, deadline_s, hosts, said)
            metas = add_op(state, operations.host_step, *words, **how)
        state.set_stage(StateStage.Execute)
        try:
            # The reader's time-out does not cover writing a script; this one does.
            with gevent.Timeout(deadline_s + 2 * _GRACE_S, PyinfraError(f"{step} took too long")):
                run_ops(state)
        except PyinfraError:
            pass  # it says that hosts failed, which every row says with its reason
        for host, meta in metas.items():
            if step in bundle.SCRIPTS and meta.is_complete():
                said[host.name] += [*meta.stderr_lines, *meta.stdout_lines]
        return {host.name: meta for host, meta in metas.items()}

    def _attendant(self, host: Host, params: Mapping[str, Mapping[str, Any]]) -> Attendant:
        known = self._attendants.get(host.name)
        if known is None or known.connector is not host.connector:
            known = Attendant(host.connector, str(params[host.name]["python"]))
            self._attendants[host.name] = known
        return known


def _row(meta: OperationMeta | None, lines: list[str], *, refused: str | None) -> Row:
    """Judge one host by what its program said; silence is *unknown*, never success."""
    if meta is None:
        why = (refused or "pyinfra did not run the step").replace("[Errno None] ", "")
        return {"ok": False, "error": f"unreachable: {why}", "hint": "", "kind": "unreachable"}
    if not meta.is_complete():
        return {"ok": False, "error": "the step did not end", "hint": "", "kind": "unknown"}
    for line in reversed(lines):
        if line.startswith(MARK):
            answer: Row = json.loads(line.removeprefix(MARK))
            return answer
    said = "\n".join([line for line in lines if not line.startswith(END)][-_TAIL_LINES:])
    return {"ok": False, "error": said or "no answer came back", "hint": "", "kind": "unknown"}


def _alive(connector: BaseConnector) -> bool:
    client = getattr(connector, "client", None)
    if client is None:
        return True  # the local connector has nothing to lose
    transport = client.get_transport()
    return bool(transport is not None and transport.is_active())
