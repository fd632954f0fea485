"""How a host gets its keys: made where missing, never overwritten, only public parts shown.

The sign state is born here, together with the consensus key: a key that already exists and has no
sign state may have signed anything, so none is made for it later, unless an operator says above
which height it cannot have signed.
"""

from pathlib import Path
from typing import Any

from aitbc_node import bech32, crypto, keyfiles, succession
from aitbc_node.errors import UsageError
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.storage.files import FileDisk
from aitbc_node.storage.sign_state import SignStateFile, nothing_below
from aitbc_node.types import Height


def make(folder: Path, *, role: str, hrp: str, chain_id: str) -> dict[str, Any]:
    """Make the keys of a role and return their public parts.

    With `hrp` the operator's address is among them, with `chain_id` the consensus key's proof.
    """
    if hrp and not bech32.is_prefix(hrp):
        raise UsageError(f"{hrp!r} is not an address prefix", hint="lower-case letters, like aitd")
    keyfiles.make_folder(folder)
    names = [keyfiles.NODE_KEY]
    if role == "validator":
        names += [keyfiles.CONSENSUS_KEY, keyfiles.OPERATOR_KEY]
    disk = FileDisk(folder)
    sign_state = SignStateFile(disk)
    # Before the key: a crash in between leaves a sign state without a key, which signs nothing,
    # and not a key without a sign state, which never votes.
    if role == "validator" and not _has(folder, keyfiles.CONSENSUS_KEY) and not sign_state.exists():
        sign_state.create()
    disk.close()
    made = [name for name in names if keyfiles.make_key(folder / name)]
    return {"made": made, **_public(folder, role=role, hrp=hrp, chain_id=chain_id)}


def begin_signing(folder: Path, not_before: Height) -> dict[str, Any]:
    """Let a key that came back from a backup sign from a height on.

    A sign state that has signed stays; one that has not is raised and never lowered, for the key
    may have signed elsewhere since. The height is at least 3 above the tip of the chain, and the
    old host is gone for good: both are the operator's word.
    Raises: ConfigError where there is no consensus key, AitbcError (busy) when a node runs with it.
    """
    keyfiles.load_signer(folder / keyfiles.CONSENSUS_KEY)
    numbers = [1, *succession.load_later(folder)]
    disk = FileDisk(folder)
    try:
        disk.lock()
        begun = [_begin(SignStateFile(disk, number), not_before) for number in numbers]
        newest = SignStateFile(disk, numbers[-1]).load()
        return {"begun": any(begun), "signed_height": newest.height}
    finally:
        disk.close()


def _begin(sign_state: SignStateFile, not_before: Height) -> bool:
    """Write one key's first sign state, or raise one that has signed nothing."""
    wanted = nothing_below(not_before)
    if not sign_state.exists():
        sign_state.create(wanted)
        return True
    found = sign_state.load()
    if not found.sign_bytes and found.height < wanted.height:
        sign_state.save(wanted)
    return False


def _public(folder: Path, *, role: str, hrp: str, chain_id: str) -> dict[str, Any]:
    node = keyfiles.load_signer(folder / keyfiles.NODE_KEY)
    shown: dict[str, Any] = {
        "peer_id": crypto.peer_id(node.public_key).hex(),
        "node_key": node.public_key.hex(),
    }
    if role != "validator":
        return shown
    consensus = keyfiles.load_signer(folder / keyfiles.CONSENSUS_KEY)
    operator = keyfiles.load_signer(folder / keyfiles.OPERATOR_KEY)
    address = succession.operator_address(operator)
    shown["consensus_key"] = consensus.public_key.hex()
    if later := succession.load_later(folder):
        shown["later_keys"] = [signer.public_key.hex() for signer in later.values()]
    shown["operator_key"] = operator.public_key.hex()
    if hrp:
        shown["operator_address"] = bech32.address_text(hrp, address)
    if chain_id:
        shown["proof"] = possession_proof(chain_id, address, consensus).hex()
    return shown


def _has(folder: Path, name: str) -> bool:
    return (folder / name).exists()
