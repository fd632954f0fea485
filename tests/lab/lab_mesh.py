"""A lab of four hosts and the forge, with a clone of this checkout deployed to it."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit import lab as labs
from aitbc_toolkit import paths
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.lab import LabSpec, Limits
from aitbc_toolkit.lab.places import Places
from aitbc_toolkit.release.deploy import Request, deploy
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.reading import Mesh

# That the inventory of the lab has by itself.
HOSTS = 4


@dataclass
class LabMesh:
    """Real hosts that run a mesh: what tests do to them and ask them."""

    name: str
    checkout: Path
    places: Places
    records: list[Any] = field(default_factory=list)
    inventories: Path | None = None

    @property
    def environment(self) -> Environment:
        name = f"lab-{self.name}"
        return Inventory.load(name, state=self.places.state, folder=self.inventories)

    def deploy(self, **request: Any) -> Outcome:
        """Deploy HEAD of the clone unless told else."""
        wanted = Request(checkout=self.checkout, **request)
        return deploy(self.environment, wanted, self.records.append)

    def commit(self, subject: str) -> str:
        """Commit the clone as it is; no change is a commit too."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
        argv = ["git", "-C", str(self.checkout), *identity, *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def on(self, host: str, *argv: str) -> str:
        """Run a command on a host."""
        lab = labs.load_lab(self.name, places=self.places)
        return labs.exec_in(lab, host, list(argv)).stdout

    def commits(self) -> dict[str, str]:
        """Ask every node which commit it runs; who does not answer runs ""."""
        with Mesh(self.environment) as mesh:
            found = mesh.statuses()
        return {name: status.commit if status else "" for name, status in found.items()}

    def height(self) -> int:
        with Mesh(self.environment) as mesh:
            found = mesh.statuses().values()
        return max((status.height for status in found if status), default=0)


def _with_hosts(folder: Path, count: int) -> Path:
    """Copy the inventories, and give the lab's more hosts with a validator each."""
    shutil.copytree(paths.inventories(), folder, dirs_exist_ok=True)
    path = folder / "lab" / "inventory.toml"
    more = [
        f'[hosts.lab{n}]\nconnector = "lab"\nuv_cache = "/srv/lab/uv-cache"\noffline = true\n'
        f'firewall = true\n\n[instances.v{n}]\nhost = "lab{n}"\n'
        for n in range(HOSTS + 1, count + 1)
    ]
    path.write_text("\n".join([path.read_text(encoding="utf-8"), *more]), encoding="utf-8")
    return folder


def clone(folder: Path) -> Path:
    """Clone the committed state of this checkout."""
    checkout = folder / "aitbc"
    argv = ["git", "clone", "--quiet", "--no-hardlinks", str(paths.project_root()), str(checkout)]
    subprocess.run(argv, check=True)
    return checkout


@contextmanager
def deployed(
    folders: pytest.TempPathFactory,
    letter: str,
    kind: type[LabMesh] = LabMesh,
    *,
    family: str = "",
    hosts: int = HOSTS,
) -> Iterator[Any]:
    """Bring up hosts and the forge, and deploy; `letter` begins the name of the lab."""
    places = Places(state=folders.mktemp("state"))
    checkout = clone(folders.mktemp("clone"))
    limits = Limits(memory_mib=1024, disk_mib=640)
    spec = LabSpec(f"{letter}{secrets.token_hex(3)}", hosts, limits, family=family)
    labs.bring_up(spec, progress=print, places=places, owner_pid=os.getpid())
    made = kind(spec.name, checkout, places)
    if hosts > HOSTS:
        made.inventories = _with_hosts(folders.mktemp("inventories"), hosts)
    try:
        first = made.deploy()
        assert first.exit is Exit.OK, first.error
        yield made
    finally:
        labs.destroy(spec.name, places=places)
