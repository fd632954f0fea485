"""Accounts: who may send, in which order, until when."""

import msgspec
import pytest

from aitbc_node import limits
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger.genesis import GenesisAccount
from aitbc_node.ledger.policy import Policy, address_of, single_key
from aitbc_node.ledger.transactions import Parsed, parse, sign
from aitbc_node.types import Amount, Height
from aitbc_sim.town import CHAIN_ID, Town, a_genesis, address, key_of, pay


def test_a_transaction_of_another_chain_is_refused(town: Town) -> None:
    """The chain's name is part of what is signed, so nothing is replayed across chains."""
    tx = town.tx("alice", pay("bob", 1), chain_id="aitbc-other-1")

    assert town.refusal(tx).code is Code.E_CHAIN
    assert CHAIN_ID in town.refusal(tx).message
    assert town.admit(tx) == town.refusal(tx)


@pytest.mark.proves("A10")
def test_a_transaction_is_never_in_a_block_after_its_last_height(town: Town) -> None:
    """At `valid_until` it is good; one height later no block may hold it, however it arrives."""
    tx = town.tx("alice", pay("bob", 1), valid_until=Height(2))
    town.apply()
    assert town.admit(tx) is None

    town.apply()

    assert town.admit(tx) == town.refusal(tx)
    assert town.refusal(tx).code is Code.E_EXPIRED
    town.apply()
    assert town.refusal(tx).code is Code.E_EXPIRED


def test_a_transaction_at_its_last_height_is_taken(town: Town) -> None:
    """`valid_until` itself is still a good height."""
    tx = town.tx("alice", pay("bob", 1), valid_until=Height(2))
    town.apply()

    assert town.apply(tx).receipts[0].code == Code.OK


def test_a_validity_too_far_ahead_is_refused(town: Town) -> None:
    """Nobody can park transactions for years in everyone's memory."""
    last = 1 + town.state.params.tx_ttl_blocks

    assert town.admit(town.tx("alice", pay("bob", 1), valid_until=Height(last))) is None
    refusal = town.admit(town.tx("alice", pay("bob", 1), valid_until=Height(last + 1)))
    assert refusal is not None
    assert refusal.code is Code.E_TOO_FAR


def test_a_nonce_is_used_exactly_once(town: Town) -> None:
    """The same transaction twice, in one block or in two, is refused (I5)."""
    tx = town.tx("alice", pay("bob", 1))

    assert town.refusal(tx, tx).code is Code.E_NONCE
    town.apply(tx)
    assert town.refusal(tx).code is Code.E_NONCE
    assert town.admit(tx) is not None


def test_nonces_have_no_gaps(town: Town) -> None:
    """Transactions of one sender take effect in the order that the sender gave them."""
    first, second = (town.tx("alice", pay("bob", 1), nonce=nonce) for nonce in (0, 1))

    assert town.refusal(second).code is Code.E_NONCE
    assert [receipt.code for receipt in town.apply(first, second).receipts] == ["ok", "ok"]


def test_the_mempool_may_hold_the_next_few_nonces(town: Town) -> None:
    """A window bounds what one sender can park; a known queue takes exactly its next."""
    last = limits.MEMPOOL_PER_ACCOUNT_MAX - 1

    assert town.admit(town.tx("alice", pay("bob", 1), nonce=last)) is None
    assert town.admit(town.tx("alice", pay("bob", 1), nonce=last + 1)) is not None
    assert town.admit(town.tx("alice", pay("bob", 1), nonce=3), pending_nonce=3) is None
    refusal = town.admit(town.tx("alice", pay("bob", 1), nonce=4), pending_nonce=3)
    assert refusal == Refusal(Code.E_NONCE, "nonce", "4, the sender's next is 3")


def test_a_new_account_brings_its_policy(town: Town) -> None:
    """The first transaction carries the policy that hashes to the address; then it is on record."""
    town.apply(town.tx("alice", pay("carol", 10_000)))
    bare = town.tx("carol", pay("bob", 1), policy=None)
    assert town.refusal(bare).code is Code.E_POLICY

    town.apply(town.tx("carol", pay("bob", 1)))

    account = town.state.account(address("carol"))
    assert account is not None
    assert account.policy == single_key(key_of("carol").public_key)
    assert town.tx("carol", pay("bob", 1)).tx.policy is None
    town.apply(town.tx("carol", pay("bob", 1)))


def test_the_first_transactions_may_all_be_under_way_at_once(town: Town) -> None:
    """Each of a new account's first few brings the same policy; one block holds them all."""
    town.apply(town.tx("alice", pay("carol", 10_000)))
    burst = [town.tx("carol", pay("bob", 1), nonce=nonce) for nonce in range(3)]

    assert all(town.admit(tx) is None for tx in burst)
    assert [receipt.code for receipt in town.apply(*burst).receipts] == ["ok"] * 3


def test_a_policy_that_is_not_the_addresss_own_is_refused(town: Town) -> None:
    """Nobody spends from an address with a policy of their own."""
    town.apply(town.tx("alice", pay("carol", 10_000)))
    thief = single_key(key_of("mallory").public_key)
    draft = town.draft("carol", pay("mallory", 1), policy=thief)

    stolen = parse(sign(draft, [key_of("mallory")]))

    assert isinstance(stolen, Parsed)
    assert town.refusal(stolen).code is Code.E_POLICY


def test_a_recorded_policy_is_not_replaced_by_another(town: Town) -> None:
    """A brought policy must be the recorded one."""
    other = Policy(1, tuple(sorted(key_of(name).public_key for name in ("alice", "bob"))))

    assert town.refusal(town.tx("alice", pay("bob", 1), policy=other)).code is Code.E_POLICY
    same = single_key(key_of("alice").public_key)
    assert town.apply(town.tx("alice", pay("bob", 1), policy=same)).receipts[0].code == Code.OK


def test_a_signature_by_a_strange_key_is_refused(town: Town) -> None:
    """Membership is checked at execution, whatever a cache of good signatures says (rules 2.3)."""
    draft = town.draft("alice", pay("bob", 1))

    forged = parse(sign(draft, [key_of("mallory")]))
    unsigned = parse(sign(draft, []))

    assert isinstance(forged, Parsed)
    assert isinstance(unsigned, Parsed)
    assert town.refusal(forged).code is Code.E_SIGNATURE
    assert town.refusal(unsigned).code is Code.E_SIGNATURE
    assert town.admit(forged) == town.refusal(forged)


@pytest.mark.parametrize(
    ("signers", "code"),
    [
        (["ann"], Code.E_SIGNATURE),
        (["ann", "ben"], None),
        (["ben", "cid"], None),
        (["ann", "ben", "cid"], Code.E_SIGNATURE),
        (["ann", "mallory"], Code.E_SIGNATURE),
    ],
)
def test_two_of_three_means_any_two(signers: list[str], code: Code | None) -> None:
    """Fewer are refused, strangers are refused, and so is a surplus that everyone must verify."""
    keys = tuple(sorted(key_of(name).public_key for name in ("ann", "ben", "cid")))
    policy = Policy(2, keys)
    shared = GenesisAccount(address_of(policy), policy, (("AIT", Amount(10_000)),))
    town = Town(a_genesis(accounts=[shared]))
    draft = msgspec.structs.replace(town.draft("alice", pay("bob", 1)), sender=address_of(policy))

    parsed = parse(sign(draft, [key_of(name) for name in signers]))

    assert isinstance(parsed, Parsed)
    refusal = town.admit(parsed)
    assert (None if refusal is None else refusal.code) == code
