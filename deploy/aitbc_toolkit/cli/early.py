"""Whose hosts will a command surely ask, known by its words before its module is imported?

To connect takes as long as that import, so both go on side by side. Words that leave any doubt,
and whatever is wrong with an environment, are the command's to judge: here they only mean no head
start.
"""

from collections.abc import Sequence
from contextlib import suppress

from aitbc_toolkit import remote
from aitbc_toolkit.cli.environment import chosen
from aitbc_toolkit.cli.hints import OPTIONS
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Inventory

# `up` and `down` may make the hosts, or end them, before they ask.
_COMMANDS = frozenset({"deploy", "plan", "rollback", "status"})


def reach(command: str, words: Sequence[str]) -> None:
    """Let the child that was started early connect; no host is asked anything."""
    name = named(command, words)
    if name is not None:
        with suppress(AitbcError):
            remote.reach_early(Inventory.load(chosen(name)))


def named(command: str, words: Sequence[str]) -> str | None:
    """Tell which environment the words name, "" for the chosen one; None where that is open.

    What stands first and is no option is the environment: options may have words of their own.
    """
    if command not in _COMMANDS:
        return None
    rest = words[1:] if (command, *words[:1]) == ("deploy", "status") else words
    if not rest:
        return ""
    if rest[0] in OPTIONS:
        return rest[1] if len(rest) > 1 else None
    return None if rest[0].startswith("-") else rest[0]
