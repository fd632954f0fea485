"""Who has which role in an environment, and how does that change? In `trust.toml`, and audited.

A change asks for the right to change trust first, keeps the file's comments, and is refused when
nobody would be left who may make the next one. What a role allows is in `roles`.
"""

from pathlib import Path
from typing import Any

import tomlkit

from aitbc_toolkit import entries
from aitbc_toolkit.declared import nearest
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import allowed, audit, permission, roles, safekeeping
from aitbc_toolkit.release.allowed import Allowed, Role
from aitbc_toolkit.release.permission import Permit
from aitbc_toolkit.release.safekeeping import Change, Document


def change(
    environment: Environment, what: str, edit: Change, *, key: Path | None, verb: str = "trust"
) -> Path:
    """Edit an environment's trust file as whoever has the key; `what` and `verb` go on record.

    Raises: AitbcError (not permitted), ConfigError when the file would be wrong; nothing is
    written then.
    """
    known = safekeeping.load(environment)
    permit = permission.demand(environment, known, "trust", key=key, subject=what)
    path = safekeeping.folder_of(environment) / allowed.FILE
    strict = safekeeping.is_strict(environment)
    safekeeping.change(path, _keeping_operators(environment, known, edit), strict=strict)
    _record(environment, verb, what, permit)
    return path


def give(principal: str, role: Role, *, public_key: str = "") -> Change:
    """Let a signer have one more role; with a key, a new signer is named."""

    def edit(document: Document) -> None:
        row = safekeeping.signer(document, principal)
        if row is None:
            _refuse_nobody(document, principal, public_key)
            entry: dict[str, object] = {"principal": principal, "key": public_key, "roles": [role]}
            safekeeping.add(document, "signers", entry)
            return
        if public_key and public_key != row["key"]:
            raise UsageError(
                f"{principal} has another key; a name has one",
                hint=f"aitbc trust remove {principal}   # then name the new key",
            )
        if role in row["roles"]:
            raise UsageError(f"{principal} is {role} already", hint="aitbc grant list")
        row["roles"] = [*row["roles"], role]

    return edit


def take(principal: str, role: Role) -> Change:
    """Let a signer have one role less; who has no other leaves the file by `trust remove`."""

    def edit(document: Document) -> None:
        row = safekeeping.signer(document, principal)
        if row is None:
            _refuse_nobody(document, principal, "")
        elif role not in row["roles"]:
            raise UsageError(
                f"{principal} is not {role}, but {', '.join(row['roles'])}",
                hint="aitbc grant list",
            )
        elif len(row["roles"]) == 1:
            raise UsageError(
                f"{role} is the only role of {principal}", hint=f"aitbc trust remove {principal}"
            )
        else:
            row["roles"] = [each for each in row["roles"] if each != role]

    return edit


def rows(known: Allowed) -> list[dict[str, Any]]:
    """List who holds which roles, and what they allow together; a revoked key holds none."""
    return [
        {
            "principal": each.principal,
            "fingerprint": each.public_key.fingerprint,
            "roles": list(each.roles),
            "may": [action for action in roles.ACTIONS if roles.may(each.roles, action)],
        }
        for each in known.valid()
    ]


def _keeping_operators(environment: Environment, known: Allowed, edit: Change) -> Change:
    """Refuse an edit that leaves nobody who may change trust: the next stranger could."""
    governed = any(roles.may(each.roles, "trust") for each in known.valid())

    def judged(document: Document) -> None:
        edit(document)
        after = entries.read(Allowed, tomlkit.parse(tomlkit.dumps(document)).unwrap())
        if governed and not any(roles.may(each.roles, "trust") for each in after.valid()):
            raise AitbcError(
                f"{environment.name} would have nobody left who may change whom it trusts",
                hint=f"aitbc grant add NAME@PLACE --role operator -e {environment.name}",
                exit_status=Exit.REFUSED,
            )

    return judged


def _refuse_nobody(document: Document, principal: str, public_key: str) -> None:
    if public_key:
        return
    near = nearest(principal, safekeeping.principals(document))
    raise UsageError(
        f"no signer is named {principal!r}" + (f", the nearest is {near}" if near else ""),
        hint="aitbc grant add NAME@PLACE --role viewer --public-key FILE   # names a new one",
    )


def _record(environment: Environment, verb: str, what: str, permit: Permit) -> None:
    outcome = "first operator" if permit.founding else "done"
    entry = audit.Entry(verb, what, outcome, permit.who, "", bypassed=permit.bypassed)
    audit.append(audit.path_of(environment), entry)
