"""How is text for people printed, so that a command in it can be pasted?

Hints and next steps are written with `aitbc`; where the program was started as `./aitbc` of a
checkout, they are shown so. Documents for programs are not printed here: they keep `aitbc`.
"""

import click

from aitbc_toolkit.cli import failures


def say(text: str, *, err: bool = False) -> None:
    """Print text, the commands in it by the name that this run was started by."""
    report = failures.report()
    click.echo(report.named(text) if report else text, err=err)
