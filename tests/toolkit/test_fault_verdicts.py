"""What becomes of a fault that does not begin, does not bite, or does not end: never a pass."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from aitbc_toolkit import faults
from aitbc_toolkit.cli import chaos as chaos_command
from aitbc_toolkit.cli.chaos import chaos
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.faults import Fault, kinds
from aitbc_toolkit.faults import told as told_of
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.remote import Row

pytestmark = pytest.mark.unit

STOP = Fault(kind="proc.stop", lease_s=20, targets=("v1", "v2"))
LOOK = {
    "ok": True,
    "offers": dict.fromkeys(
        {need for kind in kinds.KINDS.values() for need in (*kind.needs, *kind.relay_needs)}, ""
    ),
    "addresses": [],
    "device": "eth0",
    "library": "",
    "processes": {f"v{n}": 4711 for n in range(1, 11)},
    "active": [],
}
WELL: Mapping[str, dict[str, Any]] = {
    "fault-look": LOOK,
    "fault-inject": {"ok": True, "began": 0.0},
    "fault-prove": {"ok": True, "bites": True, "evidence": {"stopped": "T"}},
    "fault-end": {"ok": True, "healed": [], "active": [], "residue": []},
}


class PretendRemote:
    """Answer each step well, but for one host."""

    def __init__(self, **wrong: dict[str, Any]) -> None:
        self.wrong = {step.replace("_", "-"): answer for step, answer in wrong.items()}
        self.steps: list[str] = []
        self.clock, self.takes_s = Clock(), 0.0

    def step(
        self, step: str, params: Mapping[str, Mapping[str, Any]], *, deadline_s: int
    ) -> dict[str, Row]:
        assert deadline_s > 0
        self.steps.append(step)
        rows = {}
        for name in params:
            answer = WELL[step] | (self.wrong.get(step, {}) if name == "node2" else {})
            rows[name] = Row(name, ok=answer["ok"], answer=answer, took_ms=1)
        self.clock.now += self.takes_s
        return rows


class Clock:
    """Be a clock that stands still unless a step takes its time."""

    now = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def environment() -> Environment:
    """Allow to break ten hosts that are not there."""
    found = Inventory.load("production")
    return dataclasses.replace(
        found, rules=msgspec.structs.replace(found.rules, chaos_allowed=True)
    )


def happened(environment: Environment, remote: PretendRemote) -> list[str]:
    """Inject into two hosts; tell what was heard, with the block in its place."""
    heard: list[str] = []
    with faults.injected(
        environment,
        STOP,
        tell=lambda record: heard.append(str(record["kind"])),
        remote=remote,  # type: ignore[arg-type] - as much of it as a fault needs
    ):
        heard.append("block")
    return heard


def test_a_fault_begins_proves_itself_and_ends(environment: Environment) -> None:
    """The block runs between the proof and the end."""
    remote = PretendRemote()

    heard = happened(environment, remote)

    assert heard == ["fault.begin", "fault.proved", "block", "fault.end"]
    assert remote.steps == ["fault-look", "fault-inject", "fault-prove", "fault-end"]


def test_what_one_host_does_not_show_has_not_bitten(environment: Environment) -> None:
    """It is ended everywhere, and is no verdict on the mesh."""
    remote = PretendRemote(fault_prove={"bites": False, "evidence": {"stopped": "S"}})

    with pytest.raises(faults.NotBitten, match="node2") as verdict:
        happened(environment, remote)

    assert verdict.value.exit_status is Exit.INFRASTRUCTURE
    assert remote.steps[-1] == "fault-end"


@pytest.mark.parametrize(
    ("step_s", "answer", "verdict"),
    [
        (60.0, {"bites": False, "evidence": {"stopped": "S"}}, faults.TooLate),
        (17.4, {"bites": False, "evidence": {"stopped": "S"}}, faults.TooLate),
        (1.0, {"bites": False, "evidence": {"stopped": "S"}}, faults.NotBitten),
        (60.0, {"ok": False, "error": "no answer"}, faults.NotBitten),
    ],
    ids=["asked too late", "asked 2.6 s before", "asked in time", "no answer"],
)
def test_a_fault_that_was_over_before_anybody_looked_is_told_apart(
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    step_s: float,
    answer: dict[str, Any],
    verdict: type[AitbcError],
) -> None:
    """A slow machine took longer than the lease: that says nothing of whether it would bite."""
    remote = PretendRemote(fault_prove=answer)
    began = time.time()
    monkeypatch.setattr(time, "time", lambda: began + step_s * len(remote.steps))

    with pytest.raises(faults.NotBitten) as ended:
        happened(environment, remote)

    assert type(ended.value) is verdict
    assert remote.steps[-1] == "fault-end"


def test_a_host_that_cannot_be_broken_has_all_others_healed(environment: Environment) -> None:
    """Half a fault is none."""
    remote = PretendRemote(fault_inject={"ok": False, "kind": "chaos", "error": "no such unit"})

    with pytest.raises(AitbcError, match="no such unit") as verdict:
        happened(environment, remote)

    assert verdict.value.exit_status is Exit.INFRASTRUCTURE
    assert remote.steps[-1] == "fault-end"


def test_the_end_lies_between_two_bounds(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host counts from when it was told, which is some time while all of them were.

    Recovery that is counted from the early bound is no shorter than it was.
    """
    remote = PretendRemote()
    monkeypatch.setattr(told_of, "time", remote.clock)
    remote.takes_s = 3.0

    with faults.injected(environment, STOP, remote=remote) as told:  # type: ignore[arg-type] - as above
        shown = told.to_document()

    # It looks for three seconds, and then injects for three.
    assert (shown["asked_at"], shown["began_at"]) == (1003.0, 1006.0)
    assert (shown["ends_from"], shown["ends_at"]) == (1023.0, 1026.0)


def test_while_other_faults_go_on_nobody_says_that_all_is_as_before(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was compared then, and that is what is said; by the record, too."""
    other = {"id": "f2", "about": "net.cut 6 edges", "left_s": 9.0}
    remote = PretendRemote(fault_end={"active": [other]})
    said: list[str] = []
    monkeypatch.setattr(chaos_command, "say", lambda text, **_: said.append(text))

    with faults.injected(environment, STOP, tell=chaos_command._tell, remote=remote) as told:  # type: ignore[arg-type] - as above
        pass

    assert told.to_document()["active"] == {"node2": ["net.cut 6 edges"]}
    assert said[-2:] == [
        "healed    other faults go on, so not every host was compared",
        "  node2          net.cut 6 edges",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"fault_end": {"residue": ["stopped process: python3"]}},
        {"fault_end": {"ok": False, "error": "unreachable: no route"}},
        {"fault_inject": {"ok": False, "kind": "residue", "error": "stopped process: python3"}},
    ],
)
def test_what_is_left_behind_is_unhealed(environment: Environment, wrong: dict[str, Any]) -> None:
    """So is a host that does not say, and one that refuses because of an earlier fault."""
    with pytest.raises(faults.Residue, match="node2") as verdict:
        happened(environment, PretendRemote(**wrong))

    assert verdict.value.exit_status is Exit.UNHEALED


@pytest.mark.parametrize(
    "wrong",
    [
        {"fault_prove": {"bites": False, "evidence": {"stopped": "S"}}},
        {"fault_inject": {"ok": False, "kind": "chaos", "error": "no such unit"}},
    ],
)
def test_what_a_fault_that_failed_leaves_behind_is_unhealed_too(
    environment: Environment, wrong: dict[str, Any]
) -> None:
    """That it did not begin or bite is told, and what is left of it on top of that."""
    remote = PretendRemote(**wrong, fault_end={"residue": ["clock: +30.0 s"]})

    with pytest.raises(faults.Residue, match=r"clock: \+30.0 s") as verdict:
        happened(environment, remote)

    assert verdict.value.exit_status is Exit.UNHEALED
    assert "does not bite" in verdict.value.message or "no such unit" in verdict.value.message


def test_a_failed_block_stays_the_news_and_the_residue_is_noted(environment: Environment) -> None:
    """What the test found is not hidden by what the heal found."""
    remote = PretendRemote(fault_end={"residue": ["clock: +30.0 s"]})

    with (
        pytest.raises(ZeroDivisionError) as found,
        faults.injected(environment, STOP, remote=remote),  # type: ignore[arg-type] - as above
    ):
        _ = 1 // 0

    assert "clock: +30.0 s" in "".join(found.value.__notes__)
    assert remote.steps[-1] == "fault-end"


def test_a_host_that_lacks_the_mechanism_stops_the_fault_before_it_begins(
    environment: Environment,
) -> None:
    """Nothing is injected anywhere."""
    remote = PretendRemote(fault_look={"processes": {f"v{n}": 0 for n in range(1, 11)}})

    with pytest.raises(AitbcError, match="v2 does not run") as refused:
        happened(environment, remote)

    assert refused.value.exit_status is Exit.REFUSED
    assert remote.steps == ["fault-look"]


@pytest.mark.parametrize("founded", [None, object()])
def test_a_heal_and_a_status_name_their_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], founded: object
) -> None:
    """Whoever forgot `-e` sees which one was meant, and that there is no mesh."""
    host = {"active": [], "residue": [], "healed": []}
    monkeypatch.setattr(faults, "heal", lambda *_, **__: {"localhost": host})
    monkeypatch.setattr(faults, "status", lambda *_, **__: {"localhost": host})
    monkeypatch.setattr(chaos_command.founding, "read", lambda _environment: founded)

    assert run(["chaos", "heal", "-e", "dev"]) == Exit.OK
    assert run(["chaos", "status", "-e", "dev"]) == Exit.OK

    healed, head, row = capsys.readouterr().out.splitlines()
    where = "dev" if founded else "dev, which has no mesh"
    assert healed == f"healed 0 faults on {where}; all hosts are as before"
    assert head == f"{where}:"
    assert row.split() == ["localhost", "no", "fault"]


@pytest.mark.parametrize("bound", ["-1", "0"])
def test_a_fault_that_may_hit_nobody_is_a_mistake(bound: str) -> None:
    """As a bound of less than no node."""
    words = ["chaos", "run", "proc.stop", "v1", "-e", "dev", "--max-nodes", bound]

    assert run(words) == Exit.USAGE


def test_the_command_line_breaks_nothing_without_leave() -> None:
    """It asks no host for it, and lists what there is."""
    refused = CliRunner().invoke(chaos, ["run", "proc.kill", "v1", "-e", "production"])
    listed = CliRunner().invoke(chaos, ["kinds"])

    assert isinstance(refused.exception, AitbcError)
    assert refused.exception.exit_status is Exit.DENIED
    assert all(name in listed.output for name in (*kinds.KINDS, *kinds.REFUSED))
