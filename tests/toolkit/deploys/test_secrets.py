"""A canary in the place of every secret is seen by nobody while a project is deployed."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import drift

pytestmark = pytest.mark.integration

Build = Callable[..., Any]
CANARY = "canary-5c1e9d0b7a"
FORMS = {CANARY.encode(), CANARY.encode().hex().encode()}


LOOKS_PER_PROCESS = 5


class Watch:
    """Look at the command lines and environments of all processes, again and again.

    A process is looked at a few times only: between fork and exec it shows its parent's words.
    """

    def __init__(self) -> None:
        self.looks: Counter[str] = Counter()
        self.seen: set[str] = set()
        self._end = threading.Event()

    def run(self) -> None:
        """Look until told to end; a process that ends meanwhile is passed over."""
        while not self._end.wait(0.02):
            for pid in filter(str.isdigit, (each.name for each in Path("/proc").iterdir())):
                if self.looks[pid] < LOOKS_PER_PROCESS:
                    self.looks[pid] += 1
                    self._look(Path("/proc") / pid)

    def _look(self, folder: Path) -> None:
        for name in ("cmdline", "environ"):
            with suppress(OSError):
                content = (folder / name).read_bytes()
                if any(form in content for form in FORMS):
                    self.seen.add(name)

    def end(self) -> None:
        """Stop looking."""
        self._end.set()


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch for as long as the block runs."""
    watch = Watch()
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()


def plant(project: Any) -> set[Path]:
    """Put the canary where each node's secrets are, before there is any of them."""
    planted = set()
    for each in project.environment.instances:
        folder = Path(each.paths.keys)
        folder.mkdir(parents=True, mode=0o700)
        for name in ("admin.token", "consensus.key", "node.key"):
            path = folder / name
            path.write_text(f"{CANARY}\n")
            path.chmod(0o600)
            planted.add(path)
    return planted


def holders(root: Path) -> set[Path]:
    """Find every file below a folder that holds the canary."""
    return {
        path
        for path in root.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and any(form in path.read_bytes() for form in FORMS)
    }


@pytest.mark.proves("E56")
def test_check_25_secrets_are_in_no_argument_record_or_file(
    a_project: Build, capfd: pytest.CaptureFixture[str]
) -> None:
    """Deploys, a rollback and a look for drift: only the key files themselves hold the canary."""
    project = a_project(rollout="all")
    planted = plant(project)

    with watching() as watch:
        first = project.deploy()
        project.commit("ok", "a second build")
        second = project.deploy()
        back = project.rollback()
        report = drift.look(project.environment)

    assert [each.exit for each in (first, second, back)] == [Exit.OK] * 3, second.error
    assert len(watch.looks) > 20, "every step starts processes"
    assert watch.seen == set()
    assert holders(project.root) == planted
    out, err = capfd.readouterr()
    told = [json.dumps(project.records), json.dumps(report.to_document()), out, err]
    told += ["\n".join(each.lines) for each in (first, second, back)]
    assert not any(form.decode() in text for form in FORMS for text in told)


def test_the_watch_sees_a_canary(tmp_path: Path, eventually: Callable[..., None]) -> None:
    """A guard that never turned red would prove nothing: here it does, in both places."""
    (tmp_path / "leak.log").write_text(f"token={CANARY}")
    argv = [sys.executable, "-c", "input()", CANARY]

    with subprocess.Popen(argv, stdin=subprocess.PIPE) as shown:
        with watching() as watch:
            eventually("a look at it", lambda: watch.looks[str(shown.pid)])
        shown.kill()

    assert watch.seen == {"cmdline"}
    assert holders(tmp_path) == {tmp_path / "leak.log"}
