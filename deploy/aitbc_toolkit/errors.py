"""Which failures does the toolkit raise? The same kinds as the node, under one import.

The node's module is the base, because the node may not import the toolkit. Do not add a kind here
that the node's table of exit statuses does not know.
"""

from aitbc_node.errors import AitbcError, ConfigError, Exit, UsageError

__all__ = ["AitbcError", "ConfigError", "Exit", "Interrupted", "UsageError"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended a run that knows what it leaves; `hint` says how to go on from there."""

    def __init__(self, hint: str) -> None:
        super().__init__(hint)
        self.hint = hint
