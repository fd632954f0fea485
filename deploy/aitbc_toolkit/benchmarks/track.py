"""Where is throughput measured? On a mesh of its own on this machine, under the profile `bench`.

The rules of `dev`, with as many validators as asked, a block interval of 200 ms, and doors that
turn nobody away; behind ports and in a folder of its own, so that the user's mesh is not touched.
Nothing is timed here.
"""

import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import tomlkit

from aitbc_toolkit import paths, shell
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import LOOPBACK, Environment, Inventory
from aitbc_toolkit.release import meshing
from aitbc_toolkit.release.deploy import Request, deploy
from aitbc_toolkit.release.progress import Tell, note

ENVIRONMENT = "dev"
INTERVAL_MS = 200
VALIDATORS_MIN, VALIDATORS_MAX = 1, 16

# Below the ports that the kernel gives to connections, and away from those of inventories.
_AREA = range(16_000, 20_000)
_APART = 64
_DOORS = ("p2p", "rpc", "admin")


@contextmanager
def track(validators: int, tell: Tell) -> Iterator[Environment]:
    """Bring up a mesh from this checkout; at the end nothing of it is left.

    Raises: AitbcError when it does not come up.
    """
    root = paths.project_root()
    edited = shell.run(["git", "-C", root, "status", "--porcelain"]).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="aitbc-benchmark-") as top:
        folder = Path(top, "inventories", ENVIRONMENT)
        folder.mkdir(parents=True)
        own = paths.inventories() / ENVIRONMENT
        (folder / "trust.toml").write_bytes((own / "trust.toml").read_bytes())
        written = (own / "inventory.toml").read_text(encoding="utf-8")
        text = inventory(written, free_ports(len(_DOORS) * validators))
        (folder / "inventory.toml").write_text(text, encoding="utf-8")
        environment = Inventory.load(ENVIRONMENT, folder=folder.parent, state=Path(top, "state"))
        try:
            _bring_up(environment, Request(snapshot=bool(edited), prove=_unproved), tell)
            yield environment
        except BaseException:
            # What went wrong first is what has to be told.
            try:
                meshing.down(environment, tell, wipe=True)
            except AitbcError as failure:
                note(tell, f"nodes of the benchmark may still run: {failure.message}")
            raise
        meshing.down(environment, tell, wipe=True)


def inventory(written: str, ports: list[int]) -> str:
    """Give an environment's file so many validators behind these ports, and the profile `bench`."""
    document = tomlkit.parse(written)
    found: Any = document  # tomlkit's types say nothing of what a document holds
    found["chain"]["block_interval_ms"] = INTERVAL_MS
    found["profile"]["limits"] = "bench"
    found["profile"]["log_level"] = "INFO"
    host = next(iter(found["hosts"]))
    places = [ports[at : at + len(_DOORS)] for at in range(0, len(ports), len(_DOORS))]
    found["instances"] = {
        f"v{number}": {"host": host, "ports": dict(zip(_DOORS, place, strict=True))}
        for number, place in enumerate(places, 1)
    }
    return tomlkit.dumps(document)


def free_ports(count: int) -> list[int]:
    """Find so many that nobody listens on, side by side. Raises: AitbcError when there are none."""
    for first in range(_AREA.start, _AREA.stop - count + 1, _APART):
        with ExitStack() as probes:
            try:
                for port in range(first, first + count):
                    probe = probes.enter_context(socket.socket())
                    probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return list(range(first, first + count))
    raise AitbcError(f"there are no {count} free ports side by side", hint="ss -tln")


def _bring_up(environment: Environment, request: Request, tell: Tell) -> None:
    done = deploy(environment, request, tell)
    if done.error:
        raise AitbcError(f"the mesh did not come up: {done.error}", hint=done.hint)


def _unproved(_environment: Environment) -> tuple[str, str]:
    return "not asked: what follows shows more", ""
