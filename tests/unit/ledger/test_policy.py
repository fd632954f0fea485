"""Policies: who may act for an account, and how the account is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitbc_node.codes import Code
from aitbc_node.ledger.policy import Policy, address_of, check_policy, check_signers, single_key
from aitbc_node.types import PublicKey
from aitbc_sim.town import key_of

ANN, BEN, CID = sorted(key_of(name).public_key for name in ("ann", "ben", "cid"))
TWO_OF_THREE = Policy(2, (ANN, BEN, CID))


def test_an_address_is_twenty_bytes_of_the_policys_hash() -> None:
    """Every part of the policy matters."""
    policies = [TWO_OF_THREE, Policy(1, TWO_OF_THREE.keys), Policy(2, (ANN, BEN)), single_key(ANN)]
    addresses = {address_of(policy) for policy in policies}

    assert len(addresses) == len(policies)
    assert {len(address) for address in addresses} == {20}


def test_sound_policies_are_accepted() -> None:
    """One key, or some of several in order."""
    for policy in (TWO_OF_THREE, single_key(ANN), Policy(3, TWO_OF_THREE.keys)):
        assert check_policy(policy) is None


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (Policy(2, (BEN, ANN)), "policy.keys"),
        (Policy(1, (ANN, ANN)), "policy.keys"),
        (Policy(2, (ANN,)), "policy.threshold"),
        (Policy(1, (PublicKey(bytes(32)), ANN)), "policy.keys[0]"),
        (Policy(1, (ANN, PublicKey(b"\xff" * 32))), "policy.keys[1]"),
    ],
)
def test_unsound_policies_are_named(policy: Policy, field: str) -> None:
    """Disorder, too high a threshold, keys that anybody can sign for."""
    refusal = check_policy(policy)

    assert refusal is not None
    assert (refusal.code, refusal.field) == (Code.E_POLICY, field)


@given(
    signers=st.lists(st.sampled_from([ANN, BEN, CID, key_of("mallory").public_key]), unique=True)
)
def test_exactly_the_threshold_of_members_may_sign(signers: list[PublicKey]) -> None:
    """Neither fewer nor more, and nobody else."""
    refusal = check_signers(TWO_OF_THREE, signers)

    good = len(signers) == 2 and set(signers) <= {ANN, BEN, CID}
    assert (refusal is None) is good
    assert refusal is None or refusal.code is Code.E_SIGNATURE


def test_a_stranger_is_pointed_at() -> None:
    """The refusal names the signature that does not belong."""
    refusal = check_signers(TWO_OF_THREE, [ANN, key_of("mallory").public_key])

    assert refusal is not None
    assert refusal.field == "sigs[1].key"
