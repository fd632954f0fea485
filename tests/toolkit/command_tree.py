"""Every command of the command line, found in its tree: a new one is in here by itself."""

from collections.abc import Iterator

import click

from aitbc_toolkit.cli import main


def leaves(
    group: click.Group = main.aitbc, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Walk the tree of commands down to those that do something."""
    for name in group.list_commands(click.Context(group)):
        _, command, _ = group.resolve_command(click.Context(group), [name])
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(leaves())
