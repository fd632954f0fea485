"""Real processes that hang, are stopped, or are killed on purpose."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from local_mesh import NodeProcess, local_mesh

from aitbc_node.heartbeat import ALARM_S

Eventually = Callable[..., None]


def deaths(node: NodeProcess) -> int:
    """Count the short lives that a node remembers."""
    file = node.folder / "data" / "run" / "fast_exits.json"
    return len(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else 0


def has_ended(node: NodeProcess) -> Callable[[], bool]:
    """Return a condition."""
    return lambda: not node.is_running


def test_a_process_that_was_silent_too_long_ends_and_says_where(
    tmp_path: Path, eventually: Eventually
) -> None:
    """Stopped for longer than three beats; when it goes on, its own alarm ends it with status 1."""
    with local_mesh(tmp_path, eventually) as mesh:
        victim, *others = mesh.nodes
        mesh.until_heights(mesh.nodes, 3)
        assert victim.process is not None

        os.kill(victim.process.pid, signal.SIGSTOP)
        before = others[0].get("/blocks/latest")["time_ms"]
        eventually(
            "silence for longer than an alarm",
            lambda: others[0].get("/blocks/latest")["time_ms"] > before + 1000 * (ALARM_S + 1),
            deadline_s=90,
        )
        os.kill(victim.process.pid, signal.SIGCONT)

        eventually("the end of the process", has_ended(victim), deadline_s=60)
        assert victim.process.returncode == 1
        assert "Timeout" in victim.log.read_text(encoding="utf-8")
        victim.start()
        mesh.grow(mesh.nodes, 3)


def test_a_node_that_is_asked_to_stop_has_not_crashed(
    tmp_path: Path, eventually: Eventually
) -> None:
    """A kill without a word counts as a short life; SIGTERM takes its own life out of the count."""
    with local_mesh(tmp_path, eventually, validators=1, start=False) as mesh:
        (node,) = mesh.nodes
        node.start()
        eventually("a life that has begun", lambda: deaths(node) == 1, deadline_s=60)
        node.kill()
        assert deaths(node) == 1

        node.start()
        eventually("a node that runs", lambda: node.height() >= 1, deadline_s=60)

        assert node.stop() == 0
        assert deaths(node) == 0
