"""Real nodes that know one address find all others, and stay together without it."""

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from local_mesh import NodeProcess, local_mesh

from aitbc_node.limits import DEGREE_MIN
from aitbc_node.storage.files import ReadOnlyFiles
from aitbc_node.storage.keepsakes import ACQUAINTANCES
from aitbc_toolkit.graph import Graph

Eventually = Callable[..., None]
WHOLE_S, HELD_S = 60, 120
INTERVAL_MS = 1_000


def links_of(node: NodeProcess) -> set[str]:
    """Return the ids of a node's peers; nobody while it does not answer."""
    told = node.get("/net/peers")
    return set() if told is None else {peer["id"] for peer in told["peers"]}


def graph_of(nodes: Sequence[NodeProcess]) -> Graph:
    """Return the links between these nodes."""
    told = {node.public["peer_id"]: links_of(node) for node in nodes}
    return Graph(told).only(told)


def kept_by(node: NodeProcess) -> tuple[bytes, ...]:
    """Return the records of others that a node would find after a restart."""
    with contextlib.closing(ReadOnlyFiles(node.folder / "data")) as disk:
        return ACQUAINTANCES.read(disk) or ()


def is_one_mesh(nodes: Sequence[NodeProcess]) -> bool:
    """Tell whether these nodes hang together without any other, each with links enough."""
    graph = graph_of(nodes)
    return len(graph.components()) == 1 and min(graph.degrees().values()) >= DEGREE_MIN


def join_by_one_address(
    folder: Path, eventually: Eventually, *, full: int, deadline_s: int
) -> None:
    """Start nodes that know one, wait for their links, take that one away, and bring one back."""
    with local_mesh(folder, eventually, full=full, start=False) as mesh:
        *others, bootstrap = mesh.nodes
        for node in mesh.nodes:
            node.write_config([bootstrap], interval_ms=INTERVAL_MS)
            node.start()
        eventually("the bootstrap node", lambda: bootstrap.height() >= 0, deadline_s=HELD_S)
        began = time.monotonic()
        eventually(
            f"{DEGREE_MIN} links on each node",
            lambda: all(len(links_of(node)) >= DEGREE_MIN for node in mesh.nodes),
            deadline_s=deadline_s,
        )
        took_s = time.monotonic() - began
        print(f"{len(mesh.nodes)} nodes have their links in {took_s:.1f} s")  # noqa: T201 - measured

        eventually("links without the bootstrap", lambda: is_one_mesh(others), deadline_s=HELD_S)
        bootstrap.kill()
        eventually("one mesh without it", lambda: is_one_mesh(others), deadline_s=HELD_S)
        mesh.grow(others, 2)

        late = others[-1]
        eventually(
            "an address book of the last one that is enough without the bootstrap",
            lambda: len(kept_by(late)) > DEGREE_MIN,
            deadline_s=HELD_S,
        )
        late.stop()
        late.start()
        eventually(
            "its links after a restart, by its own book alone",
            lambda: len(links_of(late)) >= DEGREE_MIN,
            deadline_s=HELD_S,
        )
        mesh.grow(others, 2)


def test_nodes_that_know_one_address_outlive_it(tmp_path: Path, eventually: Eventually) -> None:
    """Four validators and four others; then the one is killed, and another restarted."""
    join_by_one_address(tmp_path, eventually, full=4, deadline_s=HELD_S)


@pytest.mark.nightly
@pytest.mark.proves("E11")
def test_twenty_nodes_that_know_one_address_outlive_it(
    tmp_path: Path, eventually: Eventually
) -> None:
    """Each has three links within 60 s; the one stops, and the mesh stays in one piece."""
    join_by_one_address(tmp_path, eventually, full=16, deadline_s=WHOLE_S)
