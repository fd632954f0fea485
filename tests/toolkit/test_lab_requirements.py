"""What a machine needs for a lab: installed where apt may do it, else named; stand-in for apt."""

from pathlib import Path

import pytest

from aitbc_toolkit import shell
from aitbc_toolkit.cli import main
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.lab import requirements

pytestmark = pytest.mark.integration


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be on a machine that has no program at all but what the test puts into this folder."""
    monkeypatch.setattr(shell, "search_path", lambda: str(tmp_path))
    return tmp_path


def an_apt(folder: Path, *, status: int) -> Path:
    """Put a stand-in for apt-get into the folder, which writes down its words."""
    log = folder / "log"
    apt = folder / "apt-get"
    apt.write_text(
        f'#!/bin/sh\necho "$*" >> {log}\necho "E: cannot" >&2\n[ "$1" = update ] || exit {status}\n'
    )
    apt.chmod(0o755)
    return log


def test_missing_packages_are_installed_in_one_go(bare: Path) -> None:
    """One update, one install of exactly what is missing, announced before it begins."""
    log = an_apt(bare, status=0)
    for program in requirements.PROGRAMS.keys() - {"debootstrap", "nft"}:
        (bare / program).touch(mode=0o755)
    told: list[str] = []

    requirements.ensure_packages(told.append)

    assert told == ["packages      installing debootstrap nftables"]
    assert log.read_text().splitlines() == [
        "update -q",
        "install -q -y --no-install-recommends debootstrap nftables",
    ]


def test_nothing_is_installed_where_all_is_here(bare: Path) -> None:
    """A second run asks nobody."""
    log = an_apt(bare, status=0)
    for program in requirements.PROGRAMS:
        (bare / program).touch(mode=0o755)

    requirements.ensure_packages(pytest.fail)

    assert not log.exists()


def test_apt_that_fails_is_told_with_its_reason(bare: Path) -> None:
    """The operator sees what apt said and what to run by hand; exit 20, nothing was changed."""
    an_apt(bare, status=100)

    with pytest.raises(AitbcError, match="E: cannot") as refusal:
        requirements.ensure_packages(lambda _line: None)

    assert refusal.value.hint.startswith("apt-get install debootstrap git ")
    assert refusal.value.exit_status == Exit.REFUSED


@pytest.mark.usefixtures("bare")
def test_machine_without_apt_is_told_the_names() -> None:
    """No guess about another package manager."""
    with pytest.raises(AitbcError, match="there is no apt: debootstrap git ") as refusal:
        requirements.ensure_packages(lambda _line: None)

    assert refusal.value.exit_status == Exit.REFUSED


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["up", "A B"], "error: lab name 'A B' refused"),
        (["up", "x", "--hosts", "0"], "error: lab x: 0 hosts asked, 1 to 64 possible"),
        (["up", "x", "--hosts", "many"], "'many' is not a valid integer"),
        (["up", "x", "--cpu-percent", "-5"], "-5 is not in the range"),
        (["up", "x", "y"], "unexpected extra argument"),
        (["exec", "x", "lab1"], "missing argument 'COMMAND...'"),
        (["shell", "x"], "missing argument 'HOST'"),
        (["sehll"], "error: unknown command 'sehll'"),
        (["list", "--jsn"], "error: unknown option '--jsn'"),
    ],
)
def test_mistake_of_the_operator_is_one_line_and_a_hint(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 64, nothing made, no traceback; also where no lab could be made anyway."""
    status = main.run(["lab", *words])

    said = capsys.readouterr().err
    assert status == Exit.USAGE
    assert says in said
    assert "hint: " in said
    assert "Traceback" not in said
