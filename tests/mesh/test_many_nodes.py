"""Many real nodes on one machine: one height, short ways, and no few that all hang on."""

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pytest
from arrivals import Arrivals, listening
from local_mesh import Mesh, NodeProcess, local_mesh

from aitbc_node.limits import DEGREE_MIN, OUTBOUND_MAX
from aitbc_toolkit.graph import Graph

Eventually = Callable[..., None]
Record = Callable[[str, object], None]
DIAMETER_MAX = 5
ARRIVAL_P95_MS = 5_000
REMOVALS = 1_000
SETTLED_S = 300
AT_ONCE = 4
SEED = 14


def heights(nodes: Sequence[NodeProcess]) -> list[int]:
    """Return the newest height of each node; -1 for one that does not answer."""
    return [node.height() for node in nodes]


def shape(nodes: Sequence[NodeProcess]) -> tuple[Graph, list[int]] | None:
    """Return the links of all nodes and how many each dialled; None while one does not answer."""
    told = {node.public["peer_id"]: node.get("/net/topology") for node in nodes}
    if None in told.values():
        return None
    links = {peer: [link["id"] for link in each["links"]] for peer, each in told.items()}
    return Graph(links), [each["out_degree"] for each in told.values()]


def until_settled(mesh: Mesh, *, lost: int) -> tuple[Graph, list[int]]:
    """Wait until the loss of so many nodes splits nothing; return the shape of the mesh then."""
    found: list[tuple[Graph, list[int]]] = []

    def is_settled() -> bool:
        seen = shape(mesh.nodes)
        if seen is None or min(seen[0].degrees().values()) < DEGREE_MIN:
            return False
        found[:] = [seen]
        return set(survivors(seen[0], lost)) == {1}

    what = f"links that hold without any {lost} nodes"
    mesh.eventually(what, is_settled, deadline_s=SETTLED_S)
    return found[0]


def survivors(graph: Graph, lost: int) -> list[int]:
    """Return into how many parts the loss of so many nodes leaves the mesh: drawn, and the best."""
    degrees = graph.degrees()
    dice = random.Random(SEED)  # noqa: S311 - not for secrets
    best = sorted(degrees, key=lambda node: -degrees[node])[:lost]
    drawn = [dice.sample(sorted(degrees), lost) for _ in range(REMOVALS)]
    return [len(graph.components(without=gone)) for gone in (best, *drawn)]


def memory_mib(node: NodeProcess) -> float:
    """Return the memory that a running node holds."""
    assert node.process is not None
    lines = Path(f"/proc/{node.process.pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1_024


def total(mesh: Mesh, name: str) -> float:
    """Sum a metric over all nodes, once each has told it."""
    told: dict[str, float] = {}

    def is_told() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            told.update({node.name: node.metric(name) for node in mesh.nodes})
        return len(told) == len(mesh.nodes)

    mesh.eventually(f"{name} of all nodes", is_told, deadline_s=SETTLED_S)
    return sum(told.values())


def figures(mesh: Mesh, arrivals: Arrivals, graph: Graph, out: list[int]) -> dict[str, object]:
    """Put together what was measured."""
    late_ms = arrivals.late_ms(len(mesh.nodes))
    spread, repeated = (total(mesh, f"aitbc_p2p_{what}_total") for what in ("spread", "repeated"))
    held = [memory_mib(node) for node in mesh.nodes]
    degrees = graph.degrees().values()
    return {
        "nodes": len(mesh.nodes),
        "blocks": len(arrivals.complete(len(mesh.nodes))),
        "arrival_p50_ms": late_ms[len(late_ms) // 2],
        "arrival_p95_ms": late_ms[len(late_ms) * 95 // 100],
        "degrees": f"{min(degrees)}..{max(degrees)}",
        "out_degree_max": max(out),
        "diameter": graph.diameter(),
        "duplicate_ratio": round(repeated / spread, 2),
        "memory_mib": f"{sum(held) / len(held):.0f} on average, {max(held):.0f} at most",
    }


def hold_together(mesh: Mesh, record: Record, *, blocks: int, lost: int) -> dict[str, object]:
    """Start all, wait for blocks and links, and judge the shape; return what was measured."""
    first = mesh.validators
    for node in mesh.nodes:
        known = first if node in first else first[:2]
        node.write_config(known, interval_ms=1_000, patience_ms=5_000)
    began = time.monotonic()
    for begin in range(0, len(mesh.nodes), AT_ONCE):
        # All at once, each would get the processor so seldom that its own watchdog ended it.
        group = mesh.nodes[begin : begin + AT_ONCE]
        for node in group:
            node.start()
        mesh.eventually(
            "answers of the nodes that were just started",
            lambda group=group: min(heights(group)) >= 0,
            deadline_s=SETTLED_S,
        )
    started_s = time.monotonic() - began
    mesh.eventually(
        "one height on all nodes, give or take one",
        lambda: min(now := heights(mesh.nodes)) >= 3 and max(now) - min(now) <= 1,
        deadline_s=SETTLED_S,
    )
    level_s = time.monotonic() - began
    with listening(mesh.nodes) as arrivals:
        mesh.eventually(
            f"{blocks} blocks that all nodes told of",
            lambda: len(arrivals.complete(len(mesh.nodes))) >= blocks,
            deadline_s=60 + 10 * blocks,
        )
        graph, out = until_settled(mesh, lost=lost)
        told = figures(mesh, arrivals, graph, out)
    told |= {"all_answer_s": round(started_s), "one_height_s": round(level_s)}

    print(told)  # noqa: T201 - measured
    for name, value in told.items():
        record(name, value)
    assert max(out) <= OUTBOUND_MAX
    assert graph.diameter() is not None
    assert int(str(told["diameter"])) <= DIAMETER_MAX
    return told


@pytest.mark.nightly
def test_ten_nodes_hold_together(
    tmp_path: Path, eventually: Eventually, record_property: Record
) -> None:
    """Four validators and six others: links and ways are bounded, and no two nodes split them."""
    with local_mesh(tmp_path, eventually, full=6, start=False) as mesh:
        hold_together(mesh, record_property, blocks=3, lost=2)


@pytest.mark.nightly
@pytest.mark.proves("E14", "E17", "M2", "M4")
def test_fifty_nodes_hold_together(
    tmp_path: Path, eventually: Eventually, record_property: Record
) -> None:
    """Ten validators and forty others: one height within 5 min, and any 15 nodes may go."""
    with local_mesh(tmp_path, eventually, validators=10, full=40, start=False) as mesh:
        told = hold_together(mesh, record_property, blocks=200, lost=15)

        assert int(str(told["arrival_p95_ms"])) < ARRIVAL_P95_MS
