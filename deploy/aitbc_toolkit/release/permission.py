"""May the operator do this here? The key is proved, the table asked, the answer written down.

Every answer is a record of the audit log, whatever follows. Hosts do not rely on this: they verify
signatures themselves. Do not add rules here: they are in `roles`.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from aitbc_toolkit import paths
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import audit, provenance, roles, safekeeping, signatures
from aitbc_toolkit.release.allowed import Allowed, Signer
from aitbc_toolkit.release.roles import Action
from aitbc_toolkit.release.source import who


@dataclass(frozen=True, slots=True)
class Permit:
    """Say who acts; `bypassed` when nobody had to prove anything, `founding` for the first key."""

    who: str
    bypassed: bool = False
    founding: bool = False


def require(
    environment: Environment, action: Action, *, subject: str, root: Path | None = None
) -> Permit:
    """Let a verb begin, by the key that git signs with; `root` is the checkout that names it.

    A lab's hosts were made by whoever works on them, so nobody has to prove anything there.

    Raises: AitbcError (not permitted) as `demand`.
    """
    if environment.rules.source == "forge":
        return _granted(environment, action, Permit(who(), bypassed=True), subject, "its own lab")
    key = provenance.configured_key(root or paths.project_root())
    known = safekeeping.load(environment)
    return demand(environment, known, action, key=key, subject=subject)


def demand(
    environment: Environment, allowed: Allowed, action: Action, *, key: Path | None, subject: str
) -> Permit:
    """Let the operator pass, or refuse and record it.

    Raises: AitbcError (not permitted) when the key is missing, unknown, or lacks the role.
    """
    if allowed.dev_mode:
        return _granted(environment, action, Permit(who(), bypassed=True), subject, "dev_mode")
    if action == "trust" and not any(roles.may(each.roles, action) for each in allowed.valid()):
        permit = Permit(who(), founding=True)
        return _granted(environment, action, permit, subject, "nobody is named yet")
    holder, why = _holder(allowed, key)
    if holder is not None:
        why = f"{holder.principal} is {', '.join(holder.roles)}"
        if roles.may(holder.roles, action):
            return _granted(environment, action, Permit(holder.principal), subject, why)
    needed = " or ".join(roles.who_may(action))
    acting = holder.principal if holder else who()
    entry = audit.Entry(action, subject, "not permitted", acting, f"{why}, needs {needed}")
    audit.append(audit.path_of(environment), entry)
    raise AitbcError(
        f"{action} {environment.name} refused: {why}; it needs the role {needed}",
        hint=f"aitbc trust list -e {environment.name}",
        exit_status=Exit.DENIED,
    )


def _granted(
    environment: Environment, action: Action, permit: Permit, subject: str, why: str
) -> Permit:
    entry = audit.Entry(action, subject, "permitted", permit.who, why, bypassed=permit.bypassed)
    audit.append(audit.path_of(environment), entry)
    return permit


def _holder(allowed: Allowed, key: Path | None) -> tuple[Signer | None, str]:
    """Find whose key it is, and let the key prove that it is here: it signs a fresh number."""
    if key is None:
        return None, "no key is named (--key, or user.signingkey of git)"
    public = signatures.public_of(key)
    holder = allowed.holder(public)
    if holder is None:
        return None, f"{public.fingerprint} belongs to no valid signer"
    challenge = secrets.token_hex(32)
    missing = f"the key of {holder.principal} is not here"
    try:
        signature = signatures.sign(challenge, key=key, namespace=signatures.ROLE)
    except AitbcError:
        return None, missing
    with signatures.keyring(
        holder.principal, public, revoked=allowed.revoked_lines(), namespace=signatures.ROLE
    ) as ring:
        if not signatures.text_is_signed(challenge, signature, ring, namespace=signatures.ROLE):
            return None, missing
    return holder, ""
