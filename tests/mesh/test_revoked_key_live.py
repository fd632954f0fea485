"""The key of a running node is ended from the command line: real links close, and stay closed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from driven_mesh import environment_of
from local_mesh import NodeProcess, local_mesh

from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit

pytestmark = pytest.mark.mesh


def linked(node: NodeProcess) -> set[str] | None:
    """Ask a node whom it is linked with; None when it does not answer now."""
    told = node.get("/net/peers")
    return None if told is None else {peer["id"] for peer in told["peers"]}


@pytest.mark.nightly
@pytest.mark.proves("C22")
def test_every_node_parts_with_a_key_that_has_ended(
    tmp_path: Path, eventually: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three others close their links and go on; whoever has that key is told why, each time."""
    with local_mesh(tmp_path, eventually) as mesh:
        *others, ended = mesh.nodes
        mesh.until_heights(mesh.nodes, 2)
        peer = ended.public["peer_id"]
        eventually("links of all with all", lambda: all(len(linked(n) or ()) == 3 for n in others))
        found = environment_of(mesh, tmp_path / "state")
        monkeypatch.setattr("aitbc_toolkit.cli.reaching.load", lambda _named: found)

        key = ended.folder / "keys" / "node.key"
        assert run(["keys", "revoke", str(key), "-e", "dev"]) == Exit.OK

        def is_gone() -> bool:
            told = [linked(node) for node in others]
            return all(peers is not None and peer not in peers for peers in told)

        def is_told() -> bool:
            return "refused by the peer: revoked: the ledger says" in ended.log.read_text()

        eventually("no link with the ended key", is_gone)
        eventually("a dial of that node to be refused with the reason", is_told)
        mesh.grow(others, 3)
        assert is_gone()
        assert linked(ended) in (set(), None)
