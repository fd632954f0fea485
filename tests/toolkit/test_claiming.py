"""Two suites at once on one mesh, and one whose lab is taken down meanwhile."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.suites import claiming, crew, playing, scene
from aitbc_toolkit.suites.scene import Scene, unless_gone
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

HOLDS = """
import sys
from pathlib import Path
from aitbc_toolkit.suites import claiming
with claiming.sole("dev", "aitbc test crash", state=Path(sys.argv[1])):
    print("holds", flush=True)
    sys.stdin.read()
"""


def test_who_comes_second_is_refused_at_once_with_who_is_there(tmp_path: Path) -> None:
    """With what it does, and its process; once that one is killed the mesh is free."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "holds\n"
        there = rf"dev is being tested: aitbc test crash, \S+@\S+ pid {other.pid} since \d\d:"
        try:
            with pytest.raises(AitbcError, match=there) as refused:
                _claim("dev", tmp_path)
            _claim("lab", tmp_path)
        finally:
            other.kill()

    assert refused.value.exit_status is Exit.BUSY
    assert "aitbc up lab-second" in refused.value.hint
    _claim("dev", tmp_path)


def _claim(name: str, state: Path) -> None:
    with claiming.sole(name, "a test", state=state):
        pass


def test_a_suite_on_a_mesh_that_is_tested_plays_nothing(
    fake_mesh: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before a node is asked, and leaves no record of a run."""
    monkeypatch.setattr("aitbc_toolkit.paths.state_root", lambda *_: tmp_path)
    monkeypatch.setattr(playing.Inventory, "load", lambda _name: fake_mesh.environment)
    name = fake_mesh.environment.name

    with (
        claiming.sole(name, "pytest", state=tmp_path),
        pytest.raises(AitbcError, match=f"{name} is being tested: pytest") as refused,
    ):
        playing.run("smoke/boot", name)

    assert refused.value.exit_status is Exit.BUSY
    assert not (tmp_path / "runs").exists()


def test_workers_of_one_lab_are_shared_out_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before a run is begun, and not only where a worker cannot have its mesh."""
    monkeypatch.setattr(crew.paths, "state_root", lambda: tmp_path)
    monkeypatch.setattr(playing.paths, "state_root", lambda: tmp_path)

    with (
        crew.claimed("lab", "aitbc test all -n 2"),
        crew.claimed("sim", "one"),
        crew.claimed("sim", "another"),
        pytest.raises(AitbcError, match="being tested: aitbc test all -n 2") as refused,
    ):
        playing.run("smoke", "lab", workers=2)

    assert refused.value.exit_status is Exit.BUSY
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (Verdict.LIVENESS, Verdict.INFRA),
        (Verdict.OBJECTIVE, Verdict.INFRA),
        (Verdict.INCONCLUSIVE, Verdict.INFRA),
        (Verdict.SAFETY, Verdict.SAFETY),
        (Verdict.UNHEALED, Verdict.INFRA),
    ],
)
def test_what_fails_on_a_lab_that_is_down_is_infrastructure(
    fake_mesh: Any, monkeypatch: pytest.MonkeyPatch, told: Verdict, verdict: Verdict
) -> None:
    """With the reason, and though no host says what a fault has left; what is broken counts."""

    def fails(_scene: Scene) -> str:
        raise ScenarioError(told, "made 0 blocks")

    monkeypatch.setattr(scene.labs, "is_down", lambda _environment: True)
    on_lab = _Named(fake_mesh.environment)

    with playing.open_mesh(fake_mesh.environment) as mesh:
        found = scene.play("made", fails, environment=on_lab, mesh=mesh, seed=1)  # type: ignore[arg-type]

    assert found.verdict is found.steps.verdict is verdict
    assert found.line.endswith("made 0 blocks")
    assert found.line.startswith("lab mine is down") == (verdict is Verdict.INFRA)


def test_what_fails_on_a_lab_that_is_up_or_on_no_lab_is_what_it_is(
    fake_mesh: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mesh that stands still on hosts that are there is a finding."""
    monkeypatch.setattr(scene.labs, "is_down", lambda _environment: False)
    ended = (Verdict.LIVENESS, "made 0 blocks")

    assert unless_gone(fake_mesh.environment, *ended) == ended
    assert unless_gone(_Named(fake_mesh.environment), *ended) == ended  # type: ignore[arg-type]


class _Named:
    """Be an environment of a lab."""

    lab = "mine"

    def __init__(self, whole: Any) -> None:
        self._whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)
