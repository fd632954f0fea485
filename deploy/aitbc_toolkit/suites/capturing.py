"""How are the packets of a case kept, in case that it fails? Each host listens while it is played.

Bounded in size and time by the hosts themselves (`sniffing`), on the ports of nodes only. A host
that cannot listen is named with its reason; no verdict depends on it. Do not judge here.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aitbc_toolkit import telling
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.remote import Hosts, Row
from aitbc_toolkit.suites import sniffing
from aitbc_toolkit.suites.scenario.quantities import megabytes, seconds
from aitbc_toolkit.suites.scenario.schema import Case, Pcap

ENDING = "pcap"
_STEP_S = 20
_SPARE_S = 60.0
"""So long after the budget of a case the hosts end by themselves."""


class Capture:
    """Be what hosts keep while a case is played; nothing where it asks for none."""

    def __init__(self, environment: Environment, remote: Hosts, case: Case | None) -> None:
        self._environment = environment
        self._remote = remote
        self._wanted: Pcap | None = case.written.pcap if case else None
        self._budget_s = seconds(case.written.budget.wall) if case else 0.0
        self._asked: list[str] = []
        self._listening: list[str] = []
        self.missing: list[str] = []
        """Which host has no packets to tell, and why."""

    def begin(self) -> None:
        """Let every host listen that can."""
        if self._wanted is None:
            return
        if not self._environment.rules.chaos_allowed:
            name = self._environment.name
            self.missing.append(f"{ENDING}: {name} is not to be broken, nor listened to")
            return
        for host in self._environment.hosts:
            if host.manager == "systemd":
                self._asked.append(host.name)
            else:
                why = f"{host.manager} would not end a capture by itself"
                self.missing.append(f"{host.name}.{ENDING}: {why}")
        text = Path(sniffing.__file__).read_text(encoding="utf-8")
        assert "$" not in text, "systemd would take a dollar for one of its own variables"
        share = megabytes(self._wanted.limit) // len(self._environment.hosts)
        lease_s = self._budget_s + _SPARE_S
        rows = self._told("capture", text=text, lease_s=lease_s, bytes=share)
        self._listening = [name for name, row in rows.items() if row.ok]
        self.missing += [f"{n}.{ENDING}: {row.error}" for n, row in rows.items() if not row.ok]

    def end(self, *, failed: bool) -> dict[str, bytes]:
        """Let them stop; return what they kept, by the name of its file, where it is wanted.

        All are told that were asked to listen: one whose answer was lost may do so.
        """
        if self._wanted is None:
            return {}
        keeps = failed or self._wanted.on == "always"
        rows = self._told("captured", wanted=keeps)
        if not keeps:
            self.missing.clear()
            return {}
        found = {}
        for name, row in rows.items():
            kept = [base64.b64decode(each) for each in row.answer.get("files", ())]
            if kept:
                found[f"{name}.{ENDING}"] = joined(kept)
            elif name in self._listening:
                self.missing.append(f"{name}.{ENDING}: {row.error or 'its host kept none'}")
        return found

    def _told(self, step: str, **more: Any) -> Mapping[str, Row]:
        """Tell the hosts that were asked to listen; what of it fails is only noted."""
        environment = self._environment
        params = {
            name: {
                **telling.host(environment.host(name)),
                "mesh": environment.name,
                "ports": sorted(
                    port for node in environment.on(name) for port in (node.p2p_port, node.rpc_port)
                ),
                **more,
            }
            for name in self._asked
        }
        try:
            return self._remote.step(step, params, deadline_s=_STEP_S)
        except AitbcError as failure:
            self.missing.append(f"{ENDING}: {failure.message}")
            return {}


def joined(files: list[bytes]) -> bytes:
    """Put files behind each other, as one: only the first has a beginning."""
    return files[0] + b"".join(each[len(sniffing.HEADER) :] for each in files[1:])


def newest(file: bytes, bytes_max: int) -> bytes:
    """Leave out the oldest packets of a file until it is small enough; a part of one is none."""
    head, records = len(sniffing.HEADER), list[int]()
    at = head
    while at + sniffing.RECORD.size <= len(file):
        (_, _, length, _) = sniffing.RECORD.unpack_from(file, at)
        if at + sniffing.RECORD.size + length > len(file):
            break  # its last one was just being written
        records.append(at)
        at += sniffing.RECORD.size + length
    first = next((each for each in records if at - each + head <= bytes_max), at)
    return file[:head] + file[first:at] if bytes_max >= head else b""
