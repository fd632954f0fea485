"""What is said of a run that has not ended, without hosts: by its switch, its plan, its options."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitbc_toolkit.cli import main
from aitbc_toolkit.deploys.hostside import deadman
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import arming, history, inquiry, journal, resuming
from aitbc_toolkit.release.drift import Difference, Report
from aitbc_toolkit.release.history import Record
from aitbc_toolkit.release.inquiry import Inquiry
from aitbc_toolkit.release.request import Choice, Request, Settled

RUN = "00000000000000ab"
FIRED = {
    "host": "lab1",
    "state": "fired",
    "nodes": ["v1", "v2"],
    "reason": "nobody disarmed it",
    "at": "2026-01-01T00:01:00Z",
}


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Give an environment whose state is in the test's own folder."""
    return Inventory.load("dev", state=tmp_path)


def a_record(outcome: str = "unknown") -> Record:
    """Build the record of a deploy of v1 and v2 that was announced."""
    return Record(
        id=RUN,
        number=1,
        action="deploy",
        environment="dev",
        commit="c" * 40,
        subject="a change",
        configs={"v1": "1", "v2": "1"},
        previous={},
        outcome=outcome,  # type: ignore[arg-type]  # the tests write plain words
        reason="",
        started="2026-01-01T00:00:00Z",
        took_s=0.0,
        who="test@localhost",
        genesis_hash="ab",
        snapshot=False,
    )


def begin(environment: Environment, **choice: Any) -> Record:
    """Write down that a run began, and no end of it."""
    record = a_record()
    began = {"record": record.to_document(), "choice": Settled(**choice).to_document()}
    journal.of(environment, RUN).write("begun", nodes=["v1", "v2"], **began)
    history.append(environment, record)
    return record


def test_a_switch_that_has_fired_is_told_with_the_run_that_it_belongs_to() -> None:
    """Nodes are as before, and the line says who took them back, when, and why."""
    points = [{"point": "switched", "nodes": ["v1", "v2"], "place": "wave 1/1"}]
    asked = Inquiry(a_record(), [{**points[0], "point": "begun"}, *points], False, {}, (), (FIRED,))  # noqa: FBT003 - the record's own order

    lines = "\n".join(asked.to_lines())

    assert "fired at 2026-01-01T00:01:00Z: lab1 took v1 v2 back, nobody disarmed it" in lines
    assert asked.to_document()["acted"] == [FIRED]
    assert "fired" not in "\n".join(
        replace(asked, record=a_record("healthy"), points=()).to_lines()
    )


def test_a_switch_that_was_withheld_says_why() -> None:
    """Its nodes are where the run has taken them, which is not what its host was armed for."""
    said = arming.ended({**FIRED, "state": "withheld", "reason": "v1: data or rules have changed"})

    assert said.endswith("lab1 left v1 v2 as they were, v1: data or rules have changed")


def test_only_what_a_host_did_since_the_run_began_belongs_to_it() -> None:
    """The file of an older run's switch stays on the host until the next one is armed."""
    answers = {"lab1": {"acted": {**FIRED}}, "lab2": {"acted": {}}}

    assert arming.acted(answers, since="2026-01-01T00:00:00Z") == [FIRED]
    assert arming.acted(answers, since="2026-01-01T00:02:00Z") == []


def test_a_host_tells_how_its_switch_ended(tmp_path: Path) -> None:
    """Armed or disarmed it has done nothing by itself; fired, it names who is back."""
    armed = {"state": "armed", "instances": [{"name": "v1"}, {"name": "v2"}], "back": ["v1"]}
    deadman.write(tmp_path, armed)
    waiting = deadman.ended(tmp_path)

    deadman.note_back(tmp_path, armed, "v2")
    fired = deadman.ended(tmp_path)
    deadman.settle(tmp_path, armed, "withheld", "data have changed")

    assert waiting == {}
    assert (fired["state"], fired["nodes"]) == ("fired", ["v1", "v2"])
    assert deadman.ended(tmp_path)["nodes"] == ["v2"]


def test_a_run_without_an_end_is_open(environment: Environment) -> None:
    """That is what plans and drift name; a run that was closed is not."""
    assert inquiry.open_run(environment, []) is None
    record = begin(environment)
    found = inquiry.open_run(environment, [])
    assert found is not None
    assert found.id == RUN
    said = inquiry.open_words(environment, [])
    assert said == "deploy of cccccccccccc, 2026-01-01T00:00:00Z, has not ended"
    report = Report("dev", "c" * 40, [Difference("lab1", "v1", "service", "down")], {}, 1)
    assert report.to_lines()[-1] == "next: aitbc node start v1 -e dev"
    assert replace(report, open_run=said).to_lines()[-2:] == [
        f"  but an earlier run, {said}",
        "next: aitbc deploy status dev",
    ]

    journal.of(environment, RUN).write("closed", outcome="healthy", nodes=[])
    history.append(environment, replace(record, outcome="healthy"))

    assert inquiry.open_run(environment, []) is None


@pytest.mark.parametrize(
    ("request_", "flags"),
    [
        (Request(choice=Choice(canary=1, bake_s=5)), "--canary --bake"),
        (Request(choice=Choice(only=("v1",))), "--only"),
        (Request(load=5), "--load"),
    ],
)
def test_an_open_run_takes_no_other_options(
    environment: Environment, request_: Request, flags: str
) -> None:
    """Going on as it was begun, in silence, would leave out the care that was asked for."""
    record = begin(environment, canary=2, bake_s=9)
    resuming.refuse_other_wishes(environment, Request(), record)
    resuming.refuse_other_wishes(environment, Request(choice=Choice(canary=2, bake_s=9)), record)

    with pytest.raises(AitbcError, match=f"begun with another {flags}") as refused:
        resuming.refuse_other_wishes(environment, request_, record)

    assert refused.value.exit_status is Exit.REFUSED
    assert refused.value.hint.splitlines()[0].startswith("aitbc deploy dev --resume")


def test_an_open_run_of_another_machine_is_judged_by_nobody_here(
    environment: Environment,
) -> None:
    """How it was begun stands in a journal that is elsewhere."""
    resuming.refuse_other_wishes(environment, Request(choice=Choice(canary=1)), a_record())


def test_what_the_inventory_says_of_a_canary_is_no_other_wish(environment: Environment) -> None:
    """Who names no option takes the run as it was begun; who names none of the canary does not."""
    profile = msgspec.structs.replace(environment.profile, canary=1, bake_s=600)
    production = replace(environment, profile=profile)
    record = begin(production, canary=1, bake_s=60)

    resuming.refuse_other_wishes(production, Request(), record)

    with pytest.raises(AitbcError, match="begun with another --canary --bake"):
        resuming.refuse_other_wishes(production, Request(choice=Choice(canary=0)), record)


def test_a_journal_that_does_not_tell_who_was_silent_is_still_read(
    environment: Environment,
) -> None:
    """Those of earlier builds do not: that is not the same as nobody."""
    begin(environment)

    points = journal.read(environment, RUN)

    assert resuming.begun_with(points, "silent") is None
    assert resuming.begun_with([], "may_strand") is None
    assert resuming.begun_with([{**points[0], "silent": []}], "silent") == frozenset()


@pytest.mark.parametrize("flag", ["--resume", "--dry-run"])
def test_what_begins_no_deploy_pushes_nothing(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who looks, or goes on with a run, gives no commit away in passing."""
    assert main.run(["deploy", "dev", "--push", flag]) == Exit.USAGE
    assert capsys.readouterr().err.endswith("hint: leave --push out\n")


def test_a_run_that_is_resumed_has_no_plan_to_print(capsys: pytest.CaptureFixture[str]) -> None:
    """What it would do is told by its status; a flag is never ignored."""
    assert main.run(["deploy", "dev", "--resume", "--dry-run"]) == Exit.USAGE
    assert capsys.readouterr().err == (
        "error: --resume has no plan to print\nhint: aitbc deploy status\n"
    )


@pytest.mark.parametrize("left_out", ["--host", "--restore", "--identity", "--old-host-is-gone"])
def test_a_restore_needs_the_word_that_the_old_host_is_gone(
    capsys: pytest.CaptureFixture[str], left_out: str
) -> None:
    """Nobody but the operator can know it, and two hosts that sign with one key lose its stake."""
    words = {"--host": "one", "--identity": "id", "--old-host-is-gone": "its disk burned"}
    line = [each for flag, word in words.items() if flag != left_out for each in (flag, word)]

    status = main.run(["deploy", "dev", *line, *(["--restore"] * (left_out != "--restore"))])

    assert status == Exit.USAGE
    assert "--identity FILE --old-host-is-gone REASON" in capsys.readouterr().err
