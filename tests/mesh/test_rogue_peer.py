"""A stranger with a key of its own means harm to real nodes: it is thrown out, they go on."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from local_mesh import NodeProcess, local_mesh

Eventually = Callable[..., None]

BESIDE = Path(__file__).with_name("rogue_peer.py")


class Rogue:
    """The process, and the lines that it has said."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.lines: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def said(self, what: str, *, after: int = 0) -> bool:
        """Tell whether a line behind the first so many contains this."""
        return any(what in line for line in self.lines[after:])

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.strip())


@contextmanager
def rogue_of(node: NodeProcess) -> Iterator[Rogue]:
    """Let a rogue peer dial a node for as long as the block lasts."""
    genesis = str(node.folder / "genesis.json")
    argv = [node.p2p, node.public["peer_id"], genesis]
    with subprocess.Popen(
        [sys.executable, str(BESIDE), *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield Rogue(child)
        finally:
            if child.poll() is None:
                child.kill()


def test_a_forger_is_banned_and_still_is_when_the_node_comes_back(
    tmp_path: Path, eventually: Eventually
) -> None:
    """The one false signature is enough; the restart is no amnesty; the others make blocks."""
    with local_mesh(tmp_path, eventually) as mesh:
        victim = mesh.nodes[0]
        mesh.until_heights(mesh.nodes, 3)
        with rogue_of(victim) as rogue:
            eventually("a link", lambda: rogue.said("up"), deadline_s=90)
            eventually("a ban", lambda: rogue.said("banned here"), deadline_s=90)
            kept = victim.folder / "data" / "bans"
            eventually("the ban on disk", kept.exists, deadline_s=60)

            assert victim.stop() == 0
            before = len(rogue.lines)
            victim.start()
            eventually(
                "the next refusal",
                lambda: rogue.said("banned here", after=before),
                deadline_s=60,
            )

            assert not rogue.said("up", after=before)
            mesh.grow(mesh.nodes, 3)
