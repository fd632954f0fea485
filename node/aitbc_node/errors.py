"""Which kinds of failure exist, and what each says to the operator.

Four kinds, told apart by type: an operator's mistake (`UsageError`, `ConfigError`), a peer's or
client's fault (`PeerFault`), the world (`AitbcError` and its sub-classes) and our own bug
(`AssertionError`). A refused transaction is a receipt value with a `Code`, never an exception.
Do not add messages here: they sit where they are raised.
"""

from enum import IntEnum


class Exit(IntEnum):
    """Name every exit status of the command line; the table is in `docs/exit-codes.md`."""

    OK = 0
    FAILED = 1
    PENDING = 2
    UNSAFE = 10
    STUCK = 11
    OBJECTIVE = 12
    INCONCLUSIVE = 13
    INFRASTRUCTURE = 14
    UNHEALED = 15
    INVALID = 16
    REFUSED = 20
    ROLLED_BACK = 21
    MIXED = 22
    UNKNOWN = 23
    USAGE = 64
    UNREACHABLE = 69
    BUG = 70
    BUSY = 75
    DENIED = 77
    CONFIG = 78
    DEADLINE = 124
    INTERRUPTED = 130
    CLOSED = 141


class AitbcError(Exception):
    """Say in one line what went wrong in the world, and in another what helps."""

    exit_status = Exit.FAILED

    def __init__(self, message: str, *, hint: str = "", exit_status: Exit | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_status is not None:
            self.exit_status = exit_status


class UsageError(AitbcError):
    """The operator asked for something that does not exist or makes no sense."""

    exit_status = Exit.USAGE


class ConfigError(AitbcError):
    """A configuration, inventory, template or key file is wrong."""

    exit_status = Exit.CONFIG


class UpgradeNeededError(ConfigError):
    """The chain goes on with rules that this build does not know."""

    def __init__(self, app_version: int, *, known: int) -> None:
        super().__init__(
            f"upgrade-needed {app_version}: the chain has rules of version {app_version}, "
            f"this build knows {known}",
            hint="run a release that knows them, on the same data and keys; this one cannot "
            "execute the chain's next block",
        )


class DiskError(AitbcError):
    """A file of the node cannot be trusted or written; the node stops rather than guess."""

    exit_status = Exit.FAILED


class PeerFault(Exception):  # noqa: N818 - it is the peer's fault, not our error
    """A peer or client sent what the protocol forbids: count it, drop it, never crash."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
