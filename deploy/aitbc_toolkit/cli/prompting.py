"""When is the operator asked? Only on a terminal, only where others depend on the answer."""

import sys

import click

from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.inventory import Environment


def confirm(environment: Environment, question: str, *, yes: bool) -> None:
    """Ask before a change of an environment that others use; dev and lab are the operator's own.

    Raises: UsageError without a terminal, because a prompt there would block for ever.
    """
    ask(question, yes=yes or environment.rules.dirty)


def ask(question: str, *, yes: bool) -> None:
    """Ask, unless the answer was given already.

    Raises: as `confirm`; click.Abort for a no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            f"{question.removesuffix('?')} needs an answer, and there is no terminal",
            hint="repeat the command with --yes",
        )
    click.confirm(question, abort=True, err=True)
