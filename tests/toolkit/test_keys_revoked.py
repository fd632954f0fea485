"""Ending the key of a node: what is signed, and which keys are spared."""

from pathlib import Path

import pytest

from aitbc_node.crypto import SigningKey, peer_id, verify
from aitbc_node.ledger.revoking import revocation_message, revoked_key
from aitbc_node.types import Signature
from aitbc_toolkit import keys
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import configuring, revoking


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Give an environment whose v2 uses the key in `v2.key`."""
    found = Inventory.load("dev", state=tmp_path)
    used = peer_id(a_key(tmp_path / "v2.key").public_key).hex()
    found.folder.mkdir(parents=True)
    public = {each.name: {"peer_id": "00" * 20} for each in found.instances}
    configuring.remember(found, {**public, "v2": {"peer_id": used}})
    return found


def a_key(path: Path) -> SigningKey:
    """Make a key file."""
    keys.make(path)
    return keys.read(path)


def test_the_key_itself_signs_that_it_has_ended(environment: Environment, tmp_path: Path) -> None:
    """For this chain only, and for nothing else."""
    stolen = a_key(tmp_path / "stolen.key")

    put = revoking.ended(environment, tmp_path / "stolen.key", force=False)

    assert revoked_key(put.ns, put.key) == stolen.public_key
    message = revocation_message(environment.chain.id, stolen.public_key)
    assert verify(stolen.public_key, message, Signature(put.value))


def test_the_key_of_a_node_that_is_in_use_is_ended_by_force_only(
    environment: Environment, tmp_path: Path
) -> None:
    """A slip of the pen must not take a node out of the mesh."""
    with pytest.raises(AitbcError, match="v2 is the node of that key") as caught:
        revoking.ended(environment, tmp_path / "v2.key", force=False)

    assert caught.value.exit_status == Exit.REFUSED
    assert "--force" in caught.value.hint
    assert revoking.ended(environment, tmp_path / "v2.key", force=True).ttl > 0
