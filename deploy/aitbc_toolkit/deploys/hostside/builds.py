"""How is a build that lies on this host asked something? By its own command line.

As the node's user and behind everybody else. What an answer means is decided elsewhere. Standard
library only.
"""

import json
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LACKS = 64
"""How a build ends that has no such command."""
LATE = 124
"""How one counts that did not end in time."""

# A start takes a second; what runs beside it goes first, and a busy host is no other protocol.
_RUN_S = 25.0


class Said(NamedTuple):
    """Hold how a command of a build ended."""

    status: int
    out: str
    error: str

    @property
    def told(self) -> dict[str, Any]:
        """Read its answer; nothing when it gave none."""
        try:
            found: dict[str, Any] = json.loads(self.out)
        except ValueError:
            return {}
        return found

    @property
    def why(self) -> str:
        """Say why it failed: its answer's reason, else the first line of its error."""
        lines = [each for each in self.error.splitlines() if each.startswith("error: ")]
        said = self.told.get("why") or (lines or self.error.splitlines()[-1:] or [""])[0]
        return str(said).removeprefix("error: ") or f"it ended with {self.status}"


class Build(NamedTuple):
    """Run the commands of one release; `name` is `old` or `new`."""

    name: str
    release: Path
    user: str

    def run(self, *words: str, stdin: str = "", timeout_s: float = _RUN_S) -> Said:
        """Run a command to its end; one that takes too long has ended late."""
        try:
            done = subprocess.run(  # noqa: S603 - argv never passes through a shell
                self._argv(words),
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
                **self._as_user(),
            )
        except subprocess.TimeoutExpired:
            return Said(LATE, "", f"no end within {timeout_s:.0f} s")
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command that waits for another one."""
        pipe = subprocess.PIPE
        return subprocess.Popen(  # noqa: S603 - argv never passes through a shell
            self._argv(words), stdout=pipe, stderr=pipe, text=True, **self._as_user()
        )

    def _argv(self, words: Sequence[str]) -> list[str]:
        variables = ["LC_ALL=C.UTF-8", f"PYTHONPATH={self.release / 'node'}"]
        python = str(self.release / "venv/bin/python")
        return ["env", *variables, "nice", "-n", "10", python, "-P", "-m", "aitbc_node", *words]

    def _as_user(self) -> dict[str, Any]:
        if not self.user:
            return {"cwd": "/"}
        return {"user": self.user, "group": self.user, "extra_groups": [], "cwd": "/"}


def versions(params: dict[str, Any]) -> dict[str, Any]:
    """Ask the named releases what data and which rules they know; nothing of one that is mute."""
    return {"versions": known(params, params["commits"])}


def known(params: dict[str, Any], commits: Collection[str]) -> dict[str, dict[str, Any]]:
    """Tell by commit what data and which rules the builds know."""
    base = Path(params["layout"]["base"])
    told = {}
    for commit in commits:
        build = Build("old", base / "releases" / commit, params["run_as"])
        said = build.run("version", "--json") if build.release.is_dir() else Said(1, "", "")
        told[commit] = said.told if said.status == 0 else {}
    return told
