"""Possession: a proof is good for one chain, one operator and one key."""

from aitbc_node.crypto import verify
from aitbc_node.ledger.possession import possession_message, possession_proof
from aitbc_sim.town import address, key_of


def test_a_proof_fits_its_chain_operator_and_key_alone() -> None:
    """It cannot be carried to another chain, nor be used by another operator."""
    key = key_of("north votes")
    proof = possession_proof("one", address("north"), key)

    assert verify(key.public_key, possession_message("one", address("north")), proof)
    assert not verify(key.public_key, possession_message("two", address("north")), proof)
    assert not verify(key.public_key, possession_message("one", address("east")), proof)
