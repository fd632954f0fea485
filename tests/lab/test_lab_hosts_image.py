"""Building the image: once, whole or not at all. Stand-ins replace debootstrap and chroot."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.lab.image import ensure_image

pytestmark = pytest.mark.lab

# As debootstrap, it is given the tree as the last word but one.
_BUILDS = """\
#!/bin/sh
echo built >> {log}
for last; do tree=$before; before=$last; done
mkdir -p $tree/etc/ssh $tree/usr/local/bin $tree/var/cache/apt/archives $tree/usr/share/doc
touch $tree/etc/ssh/ssh_host_rsa_key
{then}
"""


def a_bin(folder: Path, *, then: str) -> str:
    """Make a folder of stand-ins; give the PATH that finds them first."""
    folder.mkdir()
    (folder / "debootstrap").write_text(_BUILDS.format(log=folder / "log", then=then))
    (folder / "chroot").write_text("#!/bin/sh\nexit 0\n")
    for path in folder.iterdir():
        path.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_two_builds_at_once_make_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first and takes what it made."""
    monkeypatch.setenv("PATH", a_bin(tmp_path / "bin", then="exit 0"))
    cache = tmp_path / "cache"

    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(ensure_image, cache, progress=print) for _ in range(2)]
    trees = {build.result() for build in builds}

    assert len(trees) == 1
    assert (tmp_path / "bin/log").read_text() == "built\n"
    [tree] = trees
    assert (tree / "usr/local/bin/uv").is_file()
    assert not list(tree.glob("etc/ssh/ssh_host_*")), "all hosts would share one identity"


def test_failed_build_leaves_nothing_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason that debootstrap gave is in the message; a next build starts afresh."""
    monkeypatch.setenv("PATH", a_bin(tmp_path / "bin", then="echo E: no route >&2; exit 1"))
    cache = tmp_path / "cache"

    with pytest.raises(AitbcError, match="E: no route"):
        ensure_image(cache, progress=print)

    assert [path.name for path in cache.iterdir() if path.is_dir()] == ["packages"]


def test_killed_build_is_never_taken_for_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After SIGKILL of the builder nothing of the build runs on, and the next one is whole."""
    cache = tmp_path / "cache"
    hanging = a_bin(tmp_path / "hanging", then=f"echo $$ > {tmp_path}/inside; sleep 600; true")
    program = (
        "import sys; from pathlib import Path; from aitbc_toolkit.lab.image import ensure_image;"
        "ensure_image(Path(sys.argv[1]), progress=print)"
    )
    argv = [sys.executable, "-c", program, str(cache)]
    builder = subprocess.Popen(argv, env={**os.environ, "PATH": hanging})
    _await((tmp_path / "inside").exists, "the build is running")

    builder.kill()
    builder.wait()
    _await(lambda: not _uses(tmp_path), "the build has ended with its builder")

    assert not (cache / "images").exists()
    monkeypatch.setenv("PATH", a_bin(tmp_path / "bin", then="exit 0"))
    assert (ensure_image(cache, progress=print) / "etc/machine-id").is_file()
    assert not list(cache.glob("unfinished-*"))


def _uses(folder: Path) -> list[str]:
    """List the commands of processes that were started with a path in the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


def _await(condition: object, what: str, timeout_s: float = 20.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
