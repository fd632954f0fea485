"""What has each key of this node signed last, and may it sign if that is not known?

A key whose sign state is missing may have signed anything: it waits until an operator says above
which height it cannot have. Damage of a state stops a start, unless a later key has signed: then
the damaged key is replaced, and signs nothing. Do not add rules about voting here: that is
`consensus/signing.py`.
"""

import logging
from collections.abc import Mapping

import msgspec

from aitbc_node import keyfiles
from aitbc_node.crypto import Signer, verify
from aitbc_node.errors import ConfigError
from aitbc_node.events import OwnKey, SignState
from aitbc_node.storage.sign_state import file_name, nothing_below
from aitbc_node.storage.store import Recovered, Store
from aitbc_node.types import Height

log = logging.getLogger(__name__)


def check_apart(keys: Mapping[int, Signer]) -> None:
    """Refuse one key in two files: with two sign states it could sign twice.

    Raises: ConfigError that names both files.
    """
    seen: dict[bytes, int] = {}
    for number, signer in keys.items():
        first = seen.setdefault(signer.public_key, number)
        if first != number:
            raise ConfigError(
                f"{keyfiles.consensus_key(number)} is the same key as "
                f"{keyfiles.consensus_key(first)}, each with a sign state of its own",
                hint="remove the copy, and its sign state; keep the one that has signed last",
            )


def recovered(store: Store, keys: Mapping[int, Signer], *, not_before: Height | None) -> Recovered:
    """Recover what the disk has, with what each of the keys has signed.

    Raises: DiskError for damage, ConfigError for a sign state of another key or a `not_before` that
    is wrong, or for no key at all.
    """
    states: dict[int, SignState | None] = {}
    is_retired = False
    for number in sorted(keys, reverse=True):
        if number > 1:
            state = states[number] = store.sign_states.load(number, is_retired=is_retired)
            # A key is made long before it votes; one that has signed has replaced all before it.
            is_retired = is_retired or (state is not None and state.sign_bytes != b"")
    found = store.recover(is_key_retired=is_retired)
    if 1 in keys:
        states[1] = found.sign_state
    for number, reason in store.sign_states.unknown.items():
        log.error("sign_state.unknown", extra={"reason": reason, **_signs_nothing(number)})
    missing = [number for number in keys if not store.sign_states.exists(number)]
    if not_before is None:
        for number in missing:
            log.error("sign_state.missing", extra=_signs_nothing(number))
    else:
        _check_height(not_before, found.last_height, missing)
        for number in missing:
            states[number] = store.sign_states.create(nothing_below(not_before), number)
            fields = {"not_before_height": not_before, "file": file_name(number)}
            log.warning("sign_state.created", extra=fields)
    held = {number: state for number, state in sorted(states.items()) if state is not None}
    for number, state in held.items():
        _check_signer(number, keys[number], state)
    later = tuple(OwnKey(number, keys[number], held[number]) for number in held if number > 1)
    return msgspec.structs.replace(found, sign_state=held.get(1), later_keys=later)


def _signs_nothing(number: int) -> dict[str, str]:
    return {"consequence": f"{keyfiles.consensus_key(number)} signs nothing"}


def _check_height(not_before: Height, tip: Height, missing: list[int]) -> None:
    if not missing:
        raise ConfigError(
            "--not-before-height is for a validator whose sign state is missing; here is none",
            hint="start without it",
        )
    if not_before <= tip + 2:
        raise ConfigError(
            f"--not-before-height {not_before} is not above the tip here + 2 ({tip} + 2)",
            hint="ask another node for the height of the chain, and stop the old host for good",
        )


def _check_signer(number: int, signer: Signer, state: SignState) -> None:
    if state.sign_bytes and not verify(signer.public_key, state.sign_bytes, state.signature):
        raise ConfigError(
            f"{file_name(number)} is not of {keyfiles.consensus_key(number)}: "
            "its signature is of another key",
            hint="put back the two files that belong together; what this key has signed is unknown",
        )
