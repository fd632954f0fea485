"""A mesh starts from one static host, and needs it no more once the ledger names others."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from driven_mesh import environment_of
from local_mesh import Mesh, NodeProcess, local_mesh

from aitbc_node.keyfiles import OPERATOR_KEY
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit

DEADLINE_S = 120


def topology(node: NodeProcess) -> dict[str, Any]:
    """Return what a node sees of the mesh; one that does not answer sees nothing."""
    return node.get("/net/topology") or {"links": [], "ledger": 0}


def linked(node: NodeProcess) -> set[str]:
    """Return the ids of a node's peers."""
    return {link["id"] for link in topology(node)["links"]}


def ids(nodes: Sequence[NodeProcess]) -> set[str]:
    """Return the ids of some nodes."""
    return {node.public["peer_id"] for node in nodes}


def until_linked(mesh: Mesh, node: NodeProcess, peers: Sequence[NodeProcess]) -> None:
    """Wait until a node is linked with all of these."""
    mesh.eventually(
        f"links of {node.name}", lambda: linked(node) >= ids(peers), deadline_s=DEADLINE_S
    )


@pytest.mark.proves("C24")
def test_bootstrap_hosts_may_vanish_once_the_ledger_names_others(
    tmp_path: Path, eventually: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pinned keys, one genesis, a block, records on the ledger: then a newcomer needs no host.

    The newcomer joins by a peer that is no bootstrap host. Later it has no address at all, neither
    in its configuration nor in its file, and finds the mesh by the chain that it has.
    """
    with local_mesh(tmp_path, eventually, full=1, start=False, rich=True) as mesh:
        first, *rest = mesh.validators
        fresh = mesh.nodes[-1]
        # Phase 0: all know one host by its pinned key, and nobody else.
        for node in mesh.validators:
            node.write_config([first])
            node.start()
        for node in rest:
            until_linked(mesh, node, [first])
        # Phase 1: one genesis.
        genesis = {mesh.read(node, "/status")["genesis_hash"] for node in mesh.validators}
        assert genesis == {mesh.genesis.hash().hex()}
        # Phase 2: blocks are final, and the operators put on the ledger where their nodes are.
        mesh.until_heights(mesh.validators, 1)
        found = environment_of(mesh, tmp_path / "state")
        monkeypatch.setattr("aitbc_toolkit.cli.reaching.load", lambda _named: found)
        for node in mesh.validators:
            key = str(node.folder / "keys" / OPERATOR_KEY)
            done = run(["validator", "announce", node.name, "--key", key, "--deadline", "90"])
            assert done == Exit.OK
        eventually(
            "the ledger's names on all nodes",
            lambda: all(topology(node)["ledger"] == 3 for node in mesh.validators),
            deadline_s=DEADLINE_S,
        )
        # Phase 3: the host vanishes.
        first.kill()
        fresh.write_config([rest[-1]])
        fresh.start()
        until_linked(mesh, fresh, rest)
        mesh.grow([*rest, fresh], 2)
        eventually(
            "the ledger's names on the newcomer",
            lambda: topology(fresh)["ledger"] == 4,
            deadline_s=DEADLINE_S,
        )

        fresh.stop()
        (fresh.folder / "data" / "peers").unlink(missing_ok=True)
        for node in rest:
            node.write_config([])
            node.stop()
            (node.folder / "data" / "peers").unlink(missing_ok=True)
        fresh.write_config([])
        for node in [*rest, fresh]:
            node.start()
        until_linked(mesh, fresh, rest)
        mesh.grow([*rest, fresh], 2)
        mesh.common_root([*rest, fresh])
