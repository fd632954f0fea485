"""What a preflight makes of what it is told: clocks, sign-offs, ways in, and the list's order."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest

from aitbc_toolkit import paths
from aitbc_toolkit.errors import ConfigError, Exit
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import access, checklist, checks, clocks, signoffs, validating
from aitbc_toolkit.release.checks import AREAS, Check, State

TODAY = dt.date(2026, 11, 21)


@pytest.mark.parametrize(
    ("told", "offset", "state"),
    [
        (1_050, 0, "pass"),
        (1_000, 0, "pass"),
        (1_100, 0, "pass"),
        (1_599, 499, "pass"),
        (1_600, 500, "warn"),
        (500, -500, "warn"),
        (6_099, 4_999, "warn"),
        (6_100, 5_000, "fail"),
        (-4_000, -5_000, "fail"),
    ],
)
def test_a_clock_is_judged_by_the_least_offset_that_explains_it(
    told: int, offset: int, state: State
) -> None:
    """Asked at 1.0 s, answered at 1.1 s: whatever lies between is right; bounds are inclusive."""
    found = clocks.skew_ms(told, asked_ms=1_000, answered_ms=1_100)

    assert found == offset
    assert clocks.state(found) == state


def a_report(*states: State) -> checks.Report:
    """Build a report with one item per state, the areas backwards."""
    found = [Check(AREAS[-1 - place], "x", state, "") for place, state in enumerate(states)]
    return checks.report("dev", found)


def test_only_a_failure_refuses() -> None:
    """A warning, a missing signature and what cannot be looked at do not stop a deploy."""
    assert a_report("pass", "warn", "unsigned", "n.a.").exit is Exit.OK
    assert a_report("pass", "fail").exit is Exit.REFUSED
    assert a_report("pass", "fail", "pass").count == "2 pass, 1 fail"


def test_documents_that_are_there_make_nothing_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preflight sees that they exist; a validation says what was tried, and leaves them out."""
    looked = a_report(*["pass"] * len(AREAS))  # one item of each area
    monkeypatch.setattr(validating, "preflight", lambda _environment: looked)

    found = validating.validate(Inventory.load("dev"), "pre")

    assert {*AREAS} - {each.area for each in found.checks} == {"runbooks", "api docs"}


def test_items_stand_in_the_order_of_the_checklist() -> None:
    """Whoever looked first, the list reads the same."""
    assert [each.area for each in a_report("pass", "fail", "pass").checks] == list(AREAS[-3:])


@pytest.mark.parametrize(
    ("signed", "state", "evidence"),
    [
        (None, "unsigned", "nobody has signed it"),
        (dt.date(2026, 11, 21), "pass", "Ann on 2026-11-21"),
        (dt.date(2026, 5, 22), "pass", "Ann on 2026-05-22"),
        (dt.date(2026, 5, 21), "unsigned", "older than 183 days, Ann on 2026-05-21"),
        (dt.date(2026, 11, 22), "unsigned", "dated in the future, Ann on 2026-11-22"),
    ],
)
def test_a_sign_off_has_a_date_and_ends(signed: dt.date | None, state: str, evidence: str) -> None:
    """Without one, too old or dated ahead, an item is `unsigned`, never passed."""
    given = signoffs.SignOff(date=signed, by="Ann") if signed else None

    assert signoffs.judge(given, today=TODAY) == (state, evidence)


def test_sign_offs_are_read_with_their_dates(tmp_path: Path) -> None:
    """TOML's own dates; no file is no sign-off."""
    path = tmp_path / signoffs.FILE
    assert signoffs.read(path) == {}

    path.write_text('[second-factor]\ndate = 2026-11-20\nby = "Ann"\nnote = "all five"\n')

    assert signoffs.read(path)["second-factor"].date == dt.date(2026, 11, 20)


@pytest.mark.parametrize(
    "text",
    [
        '[nonsense]\ndate = 2026-11-20\nby = "A"\n',
        '[second-factor]\nby = "A"\n',
        '[second-factor]\ndate = "2026-11-20"\nby = "A"\n',
        "x =",
    ],
)
def test_a_sign_off_file_that_says_something_else_is_refused(tmp_path: Path, text: str) -> None:
    """An item nobody knows, or one without a date, must not look signed."""
    path = tmp_path / signoffs.FILE
    path.write_text(text)

    with pytest.raises(ConfigError):
        signoffs.read(path)


@pytest.mark.parametrize(
    ("error", "start"),
    [
        ("SSH error (StrictPolicy: No host key for 192.0.2.1 found in known_hosts)", "ssh-keyscan"),
        ("SSH host key error (Host key for 192.0.2.1 does not match.)", "ssh-keygen -lf"),
        ("Authentication error (username=root) (Authentication failed.)", "ssh-copy-id -i"),
        ("No such private key file: /k", "ssh-keygen -t ed25519"),
        ("Could not connect ([Errno None] Unable to connect to port 22)", "ssh -p 2222"),
    ],
)
def test_each_way_of_not_getting_in_has_its_own_command(error: str, start: str) -> None:
    """Never one that trusts less: no hint switches host keys off."""
    host = replace(Inventory.load("staging").host("aitbc1"), ssh_port=2222)

    hint = access.mend(host, error)

    assert hint.startswith(start)
    assert "StrictHostKeyChecking" not in hint


@pytest.mark.parametrize("name", ["dev", "staging", "production"])
def test_what_this_machine_knows_is_told_without_hosts(name: str, tmp_path: Path) -> None:
    """Every item has a reason; what a person has to say is unsigned until somebody signed."""
    environment = replace(Inventory.load(name), state=tmp_path)

    found = {
        f"{each.area}: {each.item}": each
        for each in checklist.here(environment, paths.project_root())
    }

    assert all(each.evidence for each in found.values())
    assert found["access: second-factor"].state == "unsigned"
    assert found["database: database"].state == "n.a."
    assert found["venv: locks"].state == "pass"
