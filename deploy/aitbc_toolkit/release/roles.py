"""Who may do what? One table, by role; a key has its roles in `trust.toml`.

Pure. A key may have several roles; what no role of it allows is refused.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from aitbc_toolkit.release.allowed import Role

Action = Literal["read", "approve", "cut", "deploy", "rollback", "operate", "trust"]

ACTIONS: tuple[Action, ...] = get_args(Action)
ROLES: tuple[Role, ...] = get_args(Role)

ALLOWED: Mapping[Role, frozenset[Action]] = {
    "viewer": frozenset({"read"}),
    "qa": frozenset({"read", "approve"}),
    "release": frozenset({"read", "approve", "cut"}),
    "operator": frozenset({"read", "approve", "deploy", "rollback", "operate", "trust"}),
}
"""An operator who approves is still never the only one in production; `approvals` sees to it."""


def may(roles: Iterable[Role], action: Action) -> bool:
    """Tell whether one of the roles allows the action."""
    return any(action in ALLOWED[role] for role in roles)


def who_may(action: Action) -> list[Role]:
    """List the roles that allow an action."""
    return [role for role in ROLES if action in ALLOWED[role]]
