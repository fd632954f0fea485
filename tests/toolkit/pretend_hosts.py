"""Hosts that are folders here: the real host-side programs run as processes, without SSH."""

import json
import subprocess
import sys
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys import bundle
from aitbc_toolkit.deploys.hostside.program import MARK
from aitbc_toolkit.layout import Layout
from aitbc_toolkit.release.lease import Claim, Lease
from aitbc_toolkit.remote import Row


def attended(*steps: tuple[str, Mapping[str, Any]], deadline_s: float = 60) -> str:
    """Let the program that a host runs make some steps; return what it says of all of them."""
    known: set[str] = set()
    told = bundle.opening()
    for step, params in steps:
        told += bundle.job(step, params, deadline_s=deadline_s, known=known)
        known.update(bundle.modules(step))
    argv = bundle.attendant(sys.executable)
    done = subprocess.run(
        argv, input=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.stdout.decode()


@dataclass
class PretendHosts:
    """Some hosts below one folder; one in `cut` is not reached, one in `lacking` is not ready."""

    root: Path
    names: tuple[str, ...]
    cut: set[str] = field(default_factory=set)
    lacking: set[str] = field(default_factory=set)
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def record(self, host: str) -> Path:
        """Find the file in which a host keeps its lease."""
        return Path(str(self._layout(host).state), "lease.json")

    def told(self, host: str) -> dict[str, Any]:
        """Read that file."""
        found: dict[str, Any] = json.loads(self.record(host).read_text())
        return found

    def edit(self, host: str, **changes: Any) -> None:
        """Change that file, as a reboot or the passing of time would have it judged."""
        self.record(host).write_text(json.dumps({**self.told(host), **changes}))

    def ask(self, step: str, hosts: Collection[str], words: Mapping[str, Any]) -> dict[str, Row]:
        """Make a step on some hosts side by side; what `Crew.ask` does over SSH."""
        self.asked.append((step, tuple(hosts)))
        with ThreadPoolExecutor(max(1, len(hosts))) as pool:
            rows = pool.map(lambda host: self.run(step, host, words), hosts)
            return dict(zip(hosts, rows, strict=True))

    def run(self, step: str, host: str, words: Mapping[str, Any], **more: Any) -> Row:
        """Run the program of one step for one host."""
        if host in self.cut:
            return Row(host, ok=False, answer={"kind": "unreachable", "error": "cut"}, took_ms=0)
        said = attended((step, {**self.params(host), "lease": dict(words), **more}))
        lines = [each for each in said.splitlines() if each.startswith(MARK)]
        assert lines, said
        answer = json.loads(lines[-1].removeprefix(MARK))
        return Row(host, ok=answer["ok"], answer=answer, took_ms=0)

    def change(self, host: str, words: Mapping[str, Any]) -> Row:
        """Make the least step that changes a host: it stops the nodes that are not there."""
        return self.run("service", host, words, action="stop", lines=1)

    def lease(self, reason: str = "deploy", *, ttl_s: float = 60.0) -> Lease:
        """Make the lease of a run that has not asked for it yet."""
        claim = Claim("pretend", reason, holder=f"{reason}@here", ttl_s=ttl_s)
        return Lease(claim, self.names, self.ask, wait=self.waited.append)

    def _layout(self, host: str) -> Layout:
        return Layout(self.root / host, "pretend")

    def params(self, host: str) -> dict[str, Any]:
        return {
            "layout": self._layout(host).to_wire(),
            "python": sys.executable,
            "uv": sys.executable,  # any program that is there
            "uv_cache": "",
            "offline": True,
            "run_as": "",
            "manager": {
                "kind": "supervisord",
                "folder": "",
                "socket": "",
                "argv": [],
                "text": "",
                "environment": "pretend",
            },
            "instances": [],
            "disk_free_mib_min": 2**40 if host in self.lacking else 0,
        }
