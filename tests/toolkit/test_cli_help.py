"""What the help of a command says: each option in words, and an example that can be typed."""

import shlex
from pathlib import Path

import click
import pytest
from command_tree import COMMANDS

from aitbc_toolkit.cli import environment, hints, main
from aitbc_toolkit.errors import Exit

pytestmark = pytest.mark.unit

NAMES = [" ".join(path) for path in COMMANDS]


def examples(command: click.Command) -> list[str]:
    """List the examples of a command, each a paragraph of its help."""
    paragraphs = [" ".join(each.split()) for each in (command.help or "").split("\n\n")]
    return [each for each in paragraphs if each.startswith("Example: ")]


@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_what_it_does(name: str) -> None:
    """A flag whose meaning has to be guessed is one that is guessed wrongly."""
    command = COMMANDS[tuple(name.split())]
    options = [each for each in command.params if isinstance(each, click.Option)]

    assert [each.name for each in options if not (each.help or "").strip()] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_an_example_that_is_understood(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the command that it stands at, with arguments and options that there are."""
    command = COMMANDS[tuple(name.split())]
    found = examples(command)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "payment.tx").touch()

    assert found
    for each in found:
        words = shlex.split(each.removeprefix("Example: aitbc "))
        path, meant = hints.resolve(main.aitbc, words)
        assert (path, meant) == (f"aitbc {name}", command)
        command.make_context(name, words[len(name.split()) :])


@pytest.mark.parametrize(
    "name", [name for name in NAMES if hints.takes_environment(COMMANDS[tuple(name.split())])]
)
def test_every_command_that_is_about_an_environment_takes_it_by_option(name: str) -> None:
    """Nobody has to remember which commands have a place for it."""
    command = COMMANDS[tuple(name.split())]

    assert set(hints.OPTIONS) <= {option for each in command.params for option in each.opts}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["staging"], "staging"),
        (["-e", "staging"], "staging"),
        (["--env=staging"], "staging"),
        (["staging", "-e", "staging"], "staging"),
        ([], "lab"),
    ],
)
def test_an_environment_is_named_by_its_place_or_by_option(
    words: list[str], meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`backup`, which has a place for it, and `up`, which means dev without a name."""
    monkeypatch.setenv("AITBC_ENV", "lab")
    backup, up = COMMANDS["backup",], COMMANDS["up",]

    named = backup.make_context("backup", list(words)).params["environment"]

    assert environment.chosen(named) == meant
    assert up.make_context("up", list(words)).params["environment"] == (named or "dev")


def test_two_environments_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    """Which of them is meant would be a guess, and the wrong one may be production."""
    status = main.run(["audit", "verify", "staging", "-e", "production"])

    assert status == Exit.USAGE
    assert capsys.readouterr().err == (
        "error: two environments are named: staging and production\n"
        "hint: aitbc audit verify -e staging\n"
    )
