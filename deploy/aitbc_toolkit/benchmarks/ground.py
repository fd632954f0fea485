"""Where are deploys measured? A lab of its own, and a clone of this checkout that is deployed.

The clone has an inventory of as many hosts as asked, and runs with this checkout's interpreter, so
that what is timed is the whole command as an operator types it. Nothing is timed here.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aitbc_toolkit import paths, shell

ENVIRONMENT = "lab"

_UP_S = 420.0
_COMMAND_S = 180.0
_DOWN_S = 120.0


@dataclass(frozen=True, slots=True)
class Ground:
    """Hold a lab that runs `base`, and the checkout that it came from."""

    checkout: Path
    hosts: Mapping[str, Any]
    base: str
    configurations: Mapping[str, str]

    @property
    def nodes(self) -> dict[str, str]:
        """Name the node of each host."""
        return {host: f"v{host.removeprefix('lab')}" for host in self.hosts}

    @property
    def ssh_config(self) -> Path:
        """Find the ssh configuration that names the hosts and the forge."""
        return self.checkout / ".aitbc/labs" / ENVIRONMENT / "ssh_config"

    @property
    def release_key(self) -> Path:
        """Find the key that the lab trusts to sign releases."""
        return self.checkout / ".aitbc/envs" / ENVIRONMENT / "release.key"

    def commit(self, subject: str) -> str:
        """Make a new commit that changes a file of the node; return its name."""
        (self.checkout / "node/aitbc_node/py.typed").write_text(f"{subject}\n", encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def git(self, *words: str) -> str:
        """Run git in the checkout."""
        return _git(self.checkout, *words)

    def python(self, module: str, *words: str) -> shell.Result:
        """Run a module of the checkout's toolkit to its end; its status is in the result."""
        return _python(self.checkout, module, *words, check=False)


@contextmanager
def ground(hosts: int) -> Iterator[Ground]:
    """Bring up a lab of so many hosts with a release on it; destroy it at the end.

    Raises: AitbcError when this machine cannot.
    """
    with tempfile.TemporaryDirectory(prefix="aitbc-benchmark-") as folder:
        checkout = Path(folder) / "aitbc"
        shell.run(
            ["git", "clone", "--quiet", "--no-hardlinks", paths.project_root(), checkout],
            timeout_s=_COMMAND_S,
        )
        path = checkout / "inventories" / ENVIRONMENT / "inventory.toml"
        path.write_text(inventory(path.read_text(encoding="utf-8"), hosts), encoding="utf-8")
        _git(checkout, "add", "--all")
        _git(checkout, "commit", "--quiet", "--allow-empty", "--message", f"{hosts} hosts")
        try:
            # Owned by this process: its hosts end with it, whatever ends it.
            words = ["lab", "up", ENVIRONMENT, "--hosts", str(hosts)]
            words += ["--owner-pid", str(os.getpid())]
            _python(checkout, "aitbc_toolkit.cli.main", *words, timeout_s=_UP_S)
            _python(checkout, "aitbc_toolkit.cli.main", "deploy", ENVIRONMENT, timeout_s=_UP_S)
            yield _ground(checkout)
        finally:
            words = ["lab", "destroy", ENVIRONMENT]
            _python(checkout, "aitbc_toolkit.cli.main", *words, timeout_s=_DOWN_S)


def _ground(checkout: Path) -> Ground:
    record = checkout / ".aitbc/labs" / ENVIRONMENT / "lab.json"
    written = json.loads(record.read_text(encoding="utf-8"))
    hosts = {each["name"]: each for each in written["hosts"]}
    base = _git(checkout, "rev-parse", "HEAD")
    config = record.with_name("ssh_config")
    found = {}
    for host in hosts:
        folder = f"/opt/aitbc/{ENVIRONMENT}/releases/{base}/etc"
        told = shell.run(["ssh", "-F", config, host, "ls", folder]).stdout
        found[host] = told.split()[-1]
    return Ground(checkout, hosts, base, found)


def inventory(written: str, hosts: int) -> str:
    """Keep the rules of the environment and its first host's settings; write so many hosts."""
    head, _, rest = written.partition("[hosts.lab1]\n")
    settings = rest.partition("\n[")[0].strip()
    parts = [head.rstrip()]
    parts += [f"[hosts.lab{number}]\n{settings}" for number in range(1, hosts + 1)]
    parts += [f'[instances.v{number}]\nhost = "lab{number}"' for number in range(1, hosts + 1)]
    return "\n\n".join(parts) + "\n"


def _git(checkout: Path, *words: str) -> str:
    identity = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@localhost"]
    return shell.run(["git", "-C", checkout, *identity, *words]).stdout.strip()


def _python(
    checkout: Path, module: str, *words: str, timeout_s: float = _COMMAND_S, check: bool = True
) -> shell.Result:
    argv: Sequence[str] = [sys.executable, "-P", "-m", module, *words]
    code = f"{checkout / 'deploy'}:{checkout / 'node'}"
    return shell.run(argv, timeout_s=timeout_s, env={"PYTHONPATH": code}, cwd=checkout, check=check)
