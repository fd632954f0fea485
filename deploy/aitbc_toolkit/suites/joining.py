"""Can a new full node join a live mesh with nothing but the genesis? It runs here, for a minute.

The newcomer is a child process of ours that runs the very commit the mesh runs, taken out of this
checkout's history: other code could rightly compute another state. It and its folder are gone at
the end, whatever happened. Do not judge the mesh here beyond what the newcomer shows.
"""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from aitbc_node.rpc import schema
from aitbc_toolkit import exchange, paths, rpc_client, shell
from aitbc_toolkit.asking import Silence
from aitbc_toolkit.rpc_client import RpcClient, Target
from aitbc_toolkit.suites import smoke
from aitbc_toolkit.suites.scene import LIVENESS_S, Scene
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict
from aitbc_toolkit.suites.waiting import Look, wait_until

NAME = "newcomer"
STOP_S = 5.0
COMPARED_BLOCKS = 20
_LOG_LINES = 5


def cold_join(scene: Scene) -> str:
    """Start a full node from nothing; it must reach the tip of a mesh that goes on, and agree."""
    scene.all_statuses()
    began = time.monotonic()
    with _newcomer(scene) as (node, process, log):
        smoke.transfer_everywhere(scene)  # equal states say little while nothing changes
        height = wait_until(
            "the newcomer at the tip",
            lambda: _at_tip(scene, node, process, log),
            deadline_s=LIVENESS_S / 2,
            stretch_s=5 * LIVENESS_S,
        )
        took_s = time.monotonic() - began
        _compare(scene, node, height=height)
    return f"from nothing to height {height} in {took_s:.1f} s, root equal"


def _at_tip(
    scene: Scene, node: RpcClient, process: subprocess.Popen[bytes], log: Path
) -> Look[int]:
    if process.poll() is not None:
        lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        why = f"the newcomer ended with status {process.returncode}: {' | '.join(lines)}"
        raise ScenarioError(Verdict.LIVENESS, why)
    tip = max(status.height for status in scene.all_statuses().values())
    try:
        own = node.status()
    except rpc_client.SilentError as silent:
        return Look(done=False, value=0, shown=silent.reason)
    done = not own.syncing and own.height >= tip - 1 and own.height > 0
    return Look(done, own.height, f"height {own.height}, {own.peers} peers")


def _compare(scene: Scene, node: RpcClient, *, height: int) -> None:
    """Compare the newest blocks that both have, block by block."""
    first = max(1, height - COMPARED_BLOCKS + 1)
    count = height - first + 1
    mine = node.blocks(first, count)
    theirs = scene.mesh.ask_any(lambda each: each.blocks(first, count))
    for own, other in zip(mine, theirs, strict=False):
        if (own.id, own.state_root) != (other.id, other.state_root):
            why = f"height {own.height}: the newcomer holds {own.id[:12]}, the mesh {other.id[:12]}"
            raise ScenarioError(Verdict.SAFETY, why)


@contextlib.contextmanager
def _newcomer(scene: Scene) -> Iterator[tuple[RpcClient, subprocess.Popen[bytes], Path]]:
    with tempfile.TemporaryDirectory(prefix="aitbc-join-") as folder, contextlib.ExitStack() as end:
        home = Path(folder)
        _take_out(scene, home)
        config, url = _prepare(scene, home)
        log = home / "node.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own node
                _program(home, "run", "--config", str(config)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=home,
            )
        end.callback(_end, process)
        http = end.enter_context(exchange.connection())
        yield RpcClient(Target(NAME, url), http=http, retries=0), process, log


def _take_out(scene: Scene, home: Path) -> None:
    """Unpack the node of the commit that the mesh runs."""
    commits = {status.commit for status in scene.all_statuses().values()}
    if len(commits) != 1:
        why = f"the nodes run different commits: {', '.join(each[:12] for each in commits)}"
        raise ScenarioError(Verdict.INFRA, why)
    commit = commits.pop()
    if not commit:  # started by hand from a checkout, so that ours is the best guess
        (home / "node").symlink_to(paths.project_root() / "node")
        return
    archive = home / "node.tar"
    told = shell.run(
        ["git", "-C", paths.project_root(), "archive", "-o", archive, commit, "node/aitbc_node"],
        check=False,
    )
    if not told.ok:
        why = f"the mesh runs {commit[:12]}, which this checkout does not have"
        raise ScenarioError(Verdict.INFRA, why)
    # Not tarfile: its safe filter is missing from the Python 3.11.2 of Debian 12.
    shell.run(["tar", "-xf", archive, "-C", home])


def _prepare(scene: Scene, home: Path) -> tuple[Path, str]:
    """Make keys and configuration of a full node; return the file and where its RPC will be."""
    init = _program(home, "init", "--key-dir", str(home / "keys"), "--role", "full", "--json")
    shell.run(init, cwd=home)
    genesis = scene.environment.folder / "genesis.json"
    if not genesis.is_file():
        raise ScenarioError(Verdict.INFRA, f"no genesis at {genesis}")
    p2p, rpc = _free_ports(2)
    # JSON strings are TOML strings, too.
    lines = [
        "[node]",
        f'id = "{NAME}"',
        'role = "full"',
        f"data_dir = {json.dumps(str(home / 'data'))}",
        f"key_dir = {json.dumps(str(home / 'keys'))}",
        f"genesis = {json.dumps(str(genesis))}",
        "[consensus]",
        f"block_interval_ms = {scene.environment.chain.block_interval_ms}",
        "[p2p]",
        f'listen = "127.0.0.1:{p2p}"',
        f"bootstrap = [{', '.join(_bootstrap(scene))}]",
        "[rpc]",
        f'listen = "127.0.0.1:{rpc}"',
    ]
    config = home / "node.toml"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config, f"http://127.0.0.1:{rpc}"


def _bootstrap(scene: Scene) -> Iterator[str]:
    told = scene.mesh.ask_all(lambda node: node.get("/net/peers", schema.Peers).id)
    for each in scene.environment.instances:
        peer_id = told[each.name]
        if not isinstance(peer_id, Silence):
            host = f"[{each.address}]" if ":" in each.address else each.address
            yield f'{{ id = "{peer_id}", address = "{host}:{each.p2p_port}" }}'


def _program(home: Path, *words: str) -> list[str]:
    """Run the unpacked node; our own installed one would shadow it anywhere but first in the path.

    A child that is told so by its command line needs no environment of its own.
    """
    start = f"import sys, runpy; sys.path.insert(0, {str(home / 'node')!r}); "
    start += "runpy.run_module('aitbc_node', run_name='__main__', alter_sys=True)"
    return [sys.executable, "-P", "-c", start, *words]


def _free_ports(count: int) -> list[int]:
    """Find ports that are free now; all are held until the last one is found."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
