"""How a test gets a deployed dev mesh for itself: this commit, free ports, folders of its own."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import own_ports

from aitbc_toolkit import paths, widening
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import meshing
from aitbc_toolkit.release.deploy import Request, deploy
from aitbc_toolkit.release.occupation import at_work

_PORT = re.compile(r"\b8[67]\d\d\b")


@dataclass
class OwnMesh:
    """Be four nodes below a folder of the test's, mostly at 300 ms blocks."""

    environment: Environment
    request: Request
    records: list[Mapping[str, object]] = field(default_factory=list)

    def tell(self, record: Mapping[str, object]) -> None:
        """Keep what a verb tells."""
        self.records.append(record)

    def stop(self, name: str) -> None:
        """Stop one node, whatever that does to the mesh."""
        with at_work(self.environment, self.tell) as run:
            rows = run.crew.service("stop", [name])
        assert all(row.ok for row in rows.values())


@contextmanager
def bring_up(
    top: Path, *, validators: int = 4, rollout: str = "all", interval_ms: int = 300
) -> Iterator[OwnMesh]:
    """Deploy the committed state of this checkout; at the end nothing of it is left."""
    checkout = top / "clone"
    clone = ["git", "clone", "--quiet", "--no-hardlinks", str(paths.project_root()), str(checkout)]
    subprocess.run(clone, check=True)
    folder = top / "inventories" / "dev"
    folder.mkdir(parents=True)
    (folder / "trust.toml").write_text("dev_mode = true\n")
    (folder / "inventory.toml").write_text(_inventory(rollout, interval_ms))
    widening.remember(top / "state" / "envs" / "dev", validators)
    environment = Inventory.load("dev", folder=folder.parent, state=top / "state")
    made = OwnMesh(environment, Request(checkout=checkout))
    try:
        first = deploy(environment, made.request, made.tell)
        assert first.exit is Exit.OK, first.error
        yield made
    finally:
        meshing.down(environment, made.tell, wipe=True)


def _inventory(rollout: str, interval_ms: int) -> str:
    text = (paths.inventories() / "dev" / "inventory.toml").read_text()
    ports = iter(own_ports.take(len(_PORT.findall(text)), apart=20))  # for a wider mesh's nodes
    fast = text.replace("block_interval_ms = 1000", f"block_interval_ms = {interval_ms}")
    fast = fast.replace("unbonding_s = 300", f"unbonding_s = {interval_ms}")  # 1,000 blocks
    fast = fast.replace('rollout = "all"', f'rollout = "{rollout}"')
    return _PORT.sub(lambda _port: str(next(ports)), fast)
