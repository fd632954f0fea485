"""How does an operator end the key of a node for good, because somebody else may have it?

The key itself signs that, from a backup or from its host; then no node talks to it any more. So a
key that a node of the environment uses is refused unless forced. Do not hand anything in here.
"""

from pathlib import Path

from aitbc_node.crypto import peer_id
from aitbc_node.ledger.records import RecordPut, revoked_by
from aitbc_toolkit import keys
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import configuring

_SHOWN = 12


def ended(environment: Environment, file: Path, *, force: bool) -> RecordPut:
    """Have a node key sign its own end.

    Raises: AitbcError (refused) for a key that a node of this environment uses, unless forced.
    """
    signer = keys.read(file)
    peer = peer_id(signer.public_key).hex()
    known = configuring.known_keys(environment) or {}
    users = [name for name, public in known.items() if public.get("peer_id") == peer]
    if users and not force:
        raise AitbcError(
            f"{users[0]} is the node of that key, {peer[:_SHOWN]}: no other would talk to it again",
            hint=f"aitbc keys revoke {file} -e {environment.name} --force   # it is lost anyway",
            exit_status=Exit.REFUSED,
        )
    return revoked_by(environment.chain.id, signer)
