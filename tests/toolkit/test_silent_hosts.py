"""A host that is off is 69 and a way to boot it, never the bare status of some program."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_lab_records import a_lab

from aitbc_toolkit import shell
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.lab import access, lifecycle
from aitbc_toolkit.release import backup
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.remote import Hosts, Row


@pytest.fixture
def ssh_ends_with(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let ssh end with these statuses: first on our terminal, then in the probe."""
    statuses: list[int] = []

    def probe(argv: Sequence[str | Path], **_manner: object) -> shell.Result:
        return shell.Result(tuple(map(str, argv)), statuses.pop(0), "", "", 0.0)

    monkeypatch.setattr(shell, "attach", lambda _argv: statuses.pop(0))
    monkeypatch.setattr(shell, "run", probe)
    return statuses


def test_ssh_that_reaches_nobody_is_69(ssh_ends_with: list[int]) -> None:
    """255 is ssh's own word when the host is away: it becomes ours, with a hint."""
    ssh_ends_with += [255, 255]

    with pytest.raises(AitbcError, match="host lab1 of lab try does not answer") as refused:
        access.pass_through(a_lab(), "lab1", ["true"])

    assert refused.value.exit_status is Exit.UNREACHABLE
    assert refused.value.hint.startswith("aitbc lab up try ")


def test_a_command_that_ends_with_255_keeps_its_status(ssh_ends_with: list[int]) -> None:
    """The host answers, so 255 was the command's."""
    ssh_ends_with += [255, 0]

    assert access.pass_through(a_lab(), "lab1", ["exit", "255"]) == 255
    ssh_ends_with += [3]
    assert access.pass_through(a_lab(), "lab1", ["exit", "3"]) == 3


@pytest.fixture
def half_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be a lab that is up with one host off."""
    lab = replace(a_lab(), folder=tmp_path)
    running = {"lab1": True, "lab2": False, "forge": True}
    state = lifecycle.LabState(lab, "up", running)
    monkeypatch.setattr(lifecycle, "_known", lambda _places, _name: state)
    monkeypatch.setattr(lifecycle, "list_labs", lambda **_where: (state,))


@pytest.mark.usefixtures("half_up")
@pytest.mark.parametrize("words", [["exec", "try", "lab2", "true"], ["shell", "try", "lab2"]])
def test_a_host_that_is_off_is_not_dialled(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The lab knows that it does not run, so ssh need not find out."""
    assert run(["lab", *words]) == Exit.UNREACHABLE

    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: host lab2 of lab try does not answer"
    assert hint == "hint: aitbc lab up try   # boots the hosts that are off"


@pytest.mark.usefixtures("half_up")
def test_the_list_names_the_hosts_that_are_off(capsys: pytest.CaptureFixture[str]) -> None:
    """A number alone would leave the search to the reader."""
    assert run(["lab", "list"]) == Exit.OK

    assert "2 of 3 hosts run, off: lab2" in capsys.readouterr().out


def test_a_backup_names_the_nodes_that_cannot_and_goes_on_without_them(tmp_path: Path) -> None:
    """One host of two is off: its nodes are told, and how to back up one of the others."""
    environment = Inventory.load("staging", state=tmp_path)
    silent = {"kind": "unreachable", "error": "no answer"}
    names = [each.name for each in environment.instances]
    told: list[Mapping[str, object]] = []

    class HalfThere(Crew):
        """Reach only this machine."""

        def keep(self, *_step: object, **_more: str) -> dict[str, Row]:
            """Archive, as far as hosts answer."""
            hosts = (each.name for each in environment.hosts)
            answers = {name: {"archives": {}} if name == "localhost" else silent for name in hosts}
            return {
                name: Row(name, ok=answer is not silent, answer=answer, took_ms=1)
                for name, answer in answers.items()
            }

    run = SimpleNamespace(
        environment=environment, crew=HalfThere(environment, Hosts(environment)), tell=told.append
    )
    with pytest.raises(AitbcError) as refused:
        backup._archive(run, names)

    on = {each.name: each.host for each in environment.instances}
    away = [name for name in names if on[name] != "localhost"]
    here = next(name for name in names if on[name] == "localhost")
    assert told[-1]["text"] == " ".join(away)
    assert refused.value.hint.splitlines() == [
        "ssh -p 22 root@10.0.0.2 true",
        f"aitbc backup staging --node {here}   # one alone",
    ]


@pytest.mark.parametrize(
    ("kind", "wanted", "status"),
    [
        ("unreachable", Exit.FAILED, Exit.UNREACHABLE),
        ("unreachable", Exit.REFUSED, Exit.REFUSED),
        ("busy", Exit.FAILED, Exit.BUSY),
        ("failed", Exit.FAILED, Exit.FAILED),
    ],
)
def test_a_step_on_a_silent_host_is_69_unless_it_was_refused(
    kind: str, wanted: Exit, status: Exit, tmp_path: Path
) -> None:
    """`node start` on a host that is off is unreachable; a deploy before any change is refused."""
    environment = Inventory.load("staging", state=tmp_path)
    answer = {"kind": kind, "error": "no answer"}
    rows = {"aitbc1": Row("aitbc1", ok=False, answer=answer, took_ms=1)}

    with pytest.raises(AitbcError) as refused:
        Crew(environment, Hosts(environment)).require(
            rows, verb="start", changed="nothing", status=wanted
        )

    assert refused.value.exit_status is status
    if kind == "unreachable":
        assert refused.value.hint == "ssh -p 22 root@10.0.0.2 true"


def test_the_way_to_the_host_that_is_silent_is_told_and_not_to_another(tmp_path: Path) -> None:
    """Of two that failed only one was not reached: the hint is about that one."""
    environment = Inventory.load("staging", state=tmp_path)
    said = {"localhost": "failed", "aitbc1": "unreachable"}
    rows = {
        name: Row(name, ok=False, answer={"kind": kind, "error": "why"}, took_ms=1)
        for name, kind in said.items()
    }

    with pytest.raises(AitbcError) as refused:
        Crew(environment, Hosts(environment)).require(rows, verb="plan", changed="nothing")

    assert refused.value.hint == "ssh -p 22 root@10.0.0.2 true"
