"""How is a hint made whole? A command in it gets the environment that the run was about.

Whoever raises a failure writes `aitbc tx wait ID` and need not know how the environment was named.
Do not write hints here: they sit where they are raised; `of_last_resort` is for those from below
that could not know any.
"""

import re
import shlex
from collections.abc import Sequence

import click

from aitbc_toolkit.errors import Exit

OPTIONS = ("-e", "--env")
"""How every command that is about an environment takes its name."""

_PROGRAMS = ("aitbc", "./aitbc")
_COMMENT = "   #"
_SAME = "aitbc ... "


def complete(hint: str, *, root: click.Group, environment: str, words: Sequence[str] = ()) -> str:
    """Name the environment in every command of a hint that takes one and names none.

    `aitbc ... --option` is the command that was run, once more and with an option that it has.
    """
    lines = [line for each in hint.splitlines() if (line := _again(each, root, words))]
    if environment:
        lines = [_completed(line, root, environment) for line in lines]
    return "\n".join(lines)


def named(text: str, program: str, *, root: click.Group) -> str:
    """Write each command in a text with the name by which this program was started.

    Shape: `aitbc deploy lab` is a command; `aitbc-node` and `the user aitbc` are not.
    """
    words = "|".join(map(re.escape, [*root.commands, "--debug", "--help"]))
    return re.sub(rf"(?<![\w./-])aitbc(?= (?:{words})(?![\w-]))", lambda _found: program, text)


def of_last_resort(status: int, *, root: click.Group, words: Sequence[str]) -> str:
    """Say what helps after a failure of which nothing is known but its kind."""
    path, command = resolve(root, words)
    match status:
        case Exit.USAGE:
            return f"{path} --help"
        case Exit.UNREACHABLE if takes_environment(command):
            return "aitbc network status"
        case _:
            return f"where it comes from: aitbc --debug {shlex.join(words)}".rstrip()


def after_interrupt(*, root: click.Group, words: Sequence[str], environment: str) -> str:
    """Say how to find out what an interrupted run has left."""
    path, _ = resolve(root, words)
    if environment:
        return "aitbc status"
    return "aitbc lab list" if path.startswith("aitbc lab ") else f"{path} --help"


def resolve(root: click.Group, words: Sequence[str]) -> tuple[str, click.Command]:
    """Find the command that words on a command line mean, as far as they mean one."""
    path, command, _ = _resolve(root, words)
    return path, command


def takes_environment(command: click.Command) -> bool:
    """Tell whether a command is about an environment."""
    return any(each.name == "environment" for each in command.params)


def _again(line: str, root: click.Group, words: Sequence[str]) -> str:
    """Put the words of the run in the place of the dots; nothing where it lacks the option."""
    if not line.startswith(_SAME):
        return line
    more = line.removeprefix(_SAME)
    _, command = resolve(root, words)
    known = {name for each in command.params for name in each.opts}
    if not words or more.split()[0] not in known:
        return ""
    return f"aitbc {shlex.join(words)} {more}"


def _completed(line: str, root: click.Group, environment: str) -> str:
    written, mark, comment = line.partition(_COMMENT)
    program, _, rest = written.strip().partition(" ")
    if program not in _PROGRAMS:
        return line
    _, command, left = _resolve(root, rest.split())
    for parameter in command.params:
        if parameter.name == "environment" and not _is_named(parameter, left):
            named = "" if isinstance(parameter, click.Argument) else "-e "
            return f"{written.rstrip()} {named}{environment}{mark}{comment}"
    return line


def _is_named(parameter: click.Parameter, left: Sequence[str]) -> bool:
    if any(word.split("=")[0] in {*OPTIONS, "--help"} for word in left):
        return True
    return isinstance(parameter, click.Argument) and any(
        not word.startswith("-") for word in left[:1]
    )


def _resolve(root: click.Group, words: Sequence[str]) -> tuple[str, click.Command, list[str]]:
    path, command = "aitbc", root
    left = [word for word in words if word != "--debug"]
    found: click.Command = command
    while isinstance(found, click.Group) and left and not left[0].startswith("-"):
        try:
            name, below, left = found.resolve_command(click.Context(found), list(left))
        except click.UsageError:
            break
        assert below is not None
        path, found = f"{path} {name}", below
    return path, found, left
