"""What the help of a command says: each option in words, and an example that can be typed."""

import shlex
from pathlib import Path

import click
import pytest
from command_tree import COMMANDS

from aitbc_toolkit.cli import hints, main

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
