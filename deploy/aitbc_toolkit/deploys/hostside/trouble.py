"""What can go wrong on a host, in words for the operator? Standard library only."""

from collections.abc import Mapping
from typing import Any


class TooLateError(BaseException):
    """Say that the step's deadline has passed; nothing but the program's end may catch it."""


class Trouble(Exception):  # noqa: N818 - it is told to the operator, who calls it an error already
    """Say what this host refuses or could not do; `kind` tells the controller which.

    `facts` go into the answer beside the message, for whoever decides by them.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        kind: str = "failed",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.kind = kind
        self.facts = facts or {}
