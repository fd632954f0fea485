"""One worker of a shared suite: what it leaves behind, and how it is ended."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.suites import crew, worker


@dataclass
class PretendLabs:
    """Have labs by name with their state, and note what is done to them."""

    states: dict[str, str] = field(default_factory=dict)
    fails: str = ""
    is_held: bool = False
    done: list[str] = field(default_factory=list)

    def list_labs(self) -> list[SimpleNamespace]:
        labs = self.states.items()
        return [SimpleNamespace(lab=SimpleNamespace(name=name), state=at) for name, at in labs]

    def up(self, *_arguments: object, **_more: object) -> Outcome:
        if self.fails:
            raise AitbcError(self.fails)
        self.states["w1"] = "up"
        return Outcome(Exit.OK, [])

    def down_by_name(self, *_arguments: object, **_more: object) -> None:
        if self.is_held:
            raise AitbcError("another run works on it")
        self.states["w1"] = "down"

    def take_down(self, name: str) -> None:
        self.done.append(f"take down {name}")
        self.states[name] = "down"

    def destroy(self, name: str) -> None:
        if name not in self.states:
            raise UsageError(f"no lab is called {name!r}")
        self.done.append(f"destroy {name}")
        del self.states[name]


@pytest.fixture
def labs(monkeypatch: pytest.MonkeyPatch) -> PretendLabs:
    """Give a worker labs that boot nothing."""
    found = PretendLabs()
    for name in ("list_labs", "take_down", "destroy"):
        monkeypatch.setattr(worker.lab, name, getattr(found, name))
    for name in ("up", "down_by_name"):
        monkeypatch.setattr(worker.meshing, name, getattr(found, name))
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    monkeypatch.setattr(worker.Inventory, "load", lambda name: name)
    return found


def test_why_a_lab_did_not_come_is_not_hidden_by_the_clearing_up(labs: PretendLabs) -> None:
    """It fails before there is anything of it: that nothing can be removed is no news."""
    labs.fails = "no free addresses"

    with pytest.raises(AitbcError, match="no free addresses"), worker.own_lab("lab-w1"):
        pass

    assert labs.done == []


def test_a_lab_goes_even_where_its_mesh_is_held(
    labs: PretendLabs, capsys: pytest.CaptureFixture[str]
) -> None:
    """The interrupted run still has its lease: hosts, folder and keys go, and the log has why."""
    labs.is_held = True

    with pytest.raises(KeyboardInterrupt), worker.own_lab("lab-w1"):
        raise KeyboardInterrupt

    assert labs.states == {}
    assert "another run works on it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after", "done"),
    [
        ({}, {}, ["destroy w1"]),
        ({"w1": "down"}, {"w1": "down"}, ["take down w1"]),
        ({"w1": "up"}, {"w1": "up"}, []),
    ],
)
def test_a_lab_is_afterwards_what_it_was_before(
    labs: PretendLabs, before: dict[str, str], after: dict[str, str], done: list[str]
) -> None:
    """One that was there and down keeps its folder and keys; one that was up stays up."""
    labs.states = dict(before)

    with worker.own_lab("lab-w1"):
        assert labs.states["w1"] == "up"

    assert labs.states == after
    assert labs.done == done


@pytest.mark.parametrize("way", ["SIGINT", "SIGTERM"])
def test_a_worker_hears_of_the_end_where_ctrl_c_was_ignored(
    tmp_path: Path, eventually: Callable[..., None], way: str
) -> None:
    """A shell ignores it for what it starts behind `&`, and its children inherit that."""
    argv = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", crew.MODULE]
    child = subprocess.Popen(
        [*argv, "sim", str(tmp_path), "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == crew.READY
        child.send_signal(getattr(worker.signal, way))
        eventually("its end", lambda: child.poll() is not None)
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
