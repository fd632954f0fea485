"""A full disk on a real node: it stops voting, serves reads, and goes on when there is room."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from local_mesh import local_mesh

SIZE = "3m"


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Put a small file system in a folder's place."""
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "aitbc-test", str(folder)],
        check=True,
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - anything else is not a full disk


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_does_not_end_a_node(tmp_path: Path, eventually: Callable[..., None]) -> None:
    """It refuses transactions and votes for nothing meanwhile; then it catches up and votes."""
    with local_mesh(tmp_path, eventually, start=False) as mesh:
        victim, *others = mesh.nodes
        with small_disk(victim.folder / "data"):
            mesh.start()
            mesh.until_heights(mesh.nodes, 3)
            mesh.until_reach(mesh.nodes)

            fill(victim.folder / "data" / "filler")
            eventually("the failure", lambda: b"disk.unavailable" in victim.log.read_bytes())
            stuck = victim.height()
            mesh.grow(others, 5)

            assert victim.is_running
            assert victim.height() <= stuck + 1
            # The newest height may be known here without being written; what is below it is.
            assert victim.get(f"/blocks/{stuck - 1}")["height"] == stuck - 1
            assert "No space left" in victim.get("/status")["trouble"]
            with pytest.raises(httpx.HTTPStatusError, match="503"):
                victim.post_txs(mesh.transfers(1))

            (victim.folder / "data" / "filler").unlink()
            mesh.grow(mesh.nodes, 3)
            tip = victim.height()
            eventually("its vote", lambda: victim.last_voted() >= tip, deadline_s=60)
            mesh.common_root(mesh.nodes)
            assert victim.get("/status")["trouble"] == ""
            victim.stop()
