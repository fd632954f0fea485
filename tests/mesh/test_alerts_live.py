"""Faults on real processes raise the alert that is meant for them, and their end clears it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from driven_mesh import environment_of
from local_mesh import local_mesh
from overheard import listening

pytestmark = [pytest.mark.mesh, pytest.mark.nightly]

# What is promised: told within a minute, and ended within a minute after the heal.
WITHIN_S = 60.0
DOWN = ("NodeDown", "n1")
HALTED = {("NoQuorum", ""), ("ChainStalled", ""), ("NodeCutOff", "n0"), ("NodeCutOff", "n3")}


@pytest.mark.proves("E58")
def test_what_happens_to_nodes_is_told_and_its_end_too(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """One killed: down. Two killed: no quorum, a stalled chain. Started again: all is quiet."""
    with local_mesh(tmp_path, eventually) as mesh:
        mesh.until_heights(mesh.nodes, 2)
        environment = environment_of(mesh, tmp_path / "state")
        with listening(environment) as heard:
            eventually("quiet", lambda: not heard.now(), deadline_s=WITHIN_S)
            assert heard.collector.blind == {}

            mesh.nodes[1].kill()
            eventually("NodeDown", lambda: DOWN in heard.now(), deadline_s=WITHIN_S)
            assert not HALTED & heard.now(), "three of four go on"
            mesh.nodes[1].start()
            eventually("its end", lambda: DOWN not in heard.now(), deadline_s=WITHIN_S)
            restarted = ("NodeRestarted", "n1")
            eventually("a restart", lambda: restarted in heard.ever, deadline_s=WITHIN_S)

            for node in mesh.nodes[1:3]:
                node.kill()
            eventually("a halt", lambda: heard.now() >= HALTED, deadline_s=WITHIN_S)
            for node in mesh.nodes[1:3]:
                node.start()
            mesh.until_reach(mesh.nodes)
            eventually("the end of it", lambda: not HALTED & heard.now(), deadline_s=WITHIN_S)
            eventually("quiet again", lambda: not heard.now(), deadline_s=2 * WITHIN_S)
