"""Signers: an account changes its keys by the signatures that it asks for until then."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from aitbc_node.canonical import encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.ledger.apply import build
from aitbc_node.ledger.families import Body, gas_of
from aitbc_node.ledger.policy import Policy, single_key
from aitbc_node.ledger.signers import AccountPolicy
from aitbc_node.ledger.transactions import Parsed, parse, sign
from aitbc_node.types import PublicKey
from aitbc_sim.town import WEALTH, Town, address, key_of, pay

SMALL_ORDER = PublicKey(bytes(32))
NEW_KEYS = ("ann", "ben", "cid")


def policy_of(threshold: int, *names: str) -> AccountPolicy:
    """Ask for signatures out of these names' keys."""
    return AccountPolicy(threshold, tuple(sorted(key_of(name).public_key for name in names)))


def signed(town: Town, sender: str, body: Body, signers: Sequence[str], **changes: Any) -> Parsed:
    """Sign a transaction of one account by the keys of these names."""
    parsed = parse(sign(town.draft(sender, body, **changes), [key_of(name) for name in signers]))
    assert isinstance(parsed, Parsed), parsed
    return parsed


def shared(town: Town) -> None:
    """Let any two of three sign for alice."""
    town.apply(town.tx("alice", policy_of(2, *NEW_KEYS)))


@pytest.mark.proves("E39")
@pytest.mark.parametrize(
    ("signers", "code"),
    [
        (["ann"], Code.E_SIGNATURE),
        (["ann", "ben"], None),
        (["ann", "cid"], None),
        (["ben", "cid"], None),
        (["alice"], Code.E_SIGNATURE),
        (["alice", "ann"], Code.E_SIGNATURE),
        (["ann", "ben", "cid"], Code.E_SIGNATURE),
    ],
)
def test_any_two_of_three_sign_for_an_account(
    town: Town, signers: list[str], code: Code | None
) -> None:
    """One is refused and any two pass, none of them the key that was there before."""
    shared(town)

    tx = signed(town, "alice", pay("bob", 5), signers)

    if code is None:
        assert town.apply(tx).receipts[0].code == Code.OK
        assert town.owns("bob") == WEALTH + 5
    else:
        assert town.refusal(tx).code is code
        assert town.refusal(tx).field.startswith("sigs")
        assert town.admit(tx) == town.refusal(tx)


@pytest.mark.proves("E39")
def test_one_key_does_not_count_twice(town: Town) -> None:
    """Two signatures of one key are refused before anything is verified."""
    shared(town)
    body = encode(town.draft("alice", pay("bob", 5)))
    sig = [key_of("ann").public_key, key_of("ann").sign(b"aitbc/tx\0" + body)]

    refusal = parse(msgspec.msgpack.encode([body, [sig, sig]]))

    assert refusal == Refusal(Code.E_SIGNATURE, "sigs", "keys are not strictly ascending")


def test_the_address_stays_and_the_receipt_names_the_keys(town: Town) -> None:
    """Who signs is not who one is: balances and nonce go on."""
    body = policy_of(2, *NEW_KEYS)

    receipt = town.apply(town.tx("alice", body)).receipts[0]

    account = town.state.account(address("alice"))
    assert account is not None
    assert (account.policy, account.nonce) == (Policy(2, body.keys), 1)
    assert town.owns("alice") == WEALTH - 600
    keys = tuple(key.hex() for key in body.keys)
    assert receipt.events == (("account.policy", address("alice").hex(), "2", *keys),)
    assert (receipt.gas_used, gas_of(body)) == (60_000, 60_000)


def test_keys_rotate_again_by_the_new_ones_only(town: Town) -> None:
    """The key that was replaced has no say any more, the new ones have all of it."""
    shared(town)
    back = policy_of(1, "alice")

    assert town.refusal(signed(town, "alice", back, ["alice"])).code is Code.E_SIGNATURE
    assert town.apply(signed(town, "alice", back, ["ann", "cid"])).receipts[0].code == Code.OK
    assert town.apply(town.tx("alice", pay("bob", 5))).receipts[0].code == Code.OK


def test_a_first_transaction_may_change_the_policy_that_it_brings(town: Town) -> None:
    """A new account shows the policy of its address, signs with it, and goes on with another."""
    town.apply(town.tx("alice", pay("carol", 10_000)))

    town.apply(town.tx("carol", policy_of(1, "ann")))

    account = town.state.account(address("carol"))
    assert account is not None
    assert account.policy == single_key(key_of("ann").public_key)
    old = single_key(key_of("carol").public_key)
    stale = signed(town, "carol", pay("bob", 1), ["carol"], policy=old)
    assert (town.refusal(stale).code, town.refusal(stale).field) == (Code.E_POLICY, "policy")
    assert town.apply(signed(town, "carol", pay("bob", 1), ["ann"])).receipts[0].code == Code.OK


def test_what_waits_under_the_old_keys_is_left_out_of_the_next_block(town: Town) -> None:
    """Its signature was found good before, but membership is asked again (rules 2.3)."""
    rotation = town.tx("alice", policy_of(1, "ann"))
    waiting = town.tx("alice", pay("bob", 5), nonce=1)
    assert town.admit(waiting, pending_nonce=1) is None

    built = build(town.state, town.context(), [rotation, waiting])

    assert built.txs == (rotation,)
    assert [(tx, refusal.code) for tx, refusal in built.refused] == [(waiting, Code.E_SIGNATURE)]
    follower = signed(town, "alice", pay("bob", 5), ["ann"], nonce=1)
    assert [receipt.code for receipt in town.apply(rotation, follower).receipts] == ["ok", "ok"]


def test_bodies_behind_it_in_a_bundle_were_signed_before(town: Town) -> None:
    """A bundle is signed once, by the policy that is on record when its turn comes."""
    town.apply(town.tx("alice", policy_of(1, "ann"), pay("bob", 5)))

    assert town.owns("bob") == WEALTH + 5
    assert town.refusal(signed(town, "alice", pay("bob", 5), ["alice"])).code is Code.E_SIGNATURE


def test_a_failing_bundle_leaves_the_keys_as_they_were(town: Town) -> None:
    """All or nothing holds for who may sign, too."""
    receipt = town.apply(town.tx("alice", policy_of(1, "ann"), pay("bob", 1, "NOPE"))).receipts[0]

    assert receipt.code == Code.E_ASSET
    assert town.apply(town.tx("alice", pay("bob", 5))).receipts[0].code == Code.OK


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (policy_of(2, "ann"), Code.E_POLICY, "threshold"),
        (policy_of(0, "ann"), Code.E_MALFORMED, "threshold"),
        (policy_of(17, "ann"), Code.E_MALFORMED, "threshold"),
        (AccountPolicy(1, ()), Code.E_MALFORMED, "keys"),
        (policy_of(1, *(f"n{number}" for number in range(17))), Code.E_MALFORMED, "keys"),
        (policy_of(1, "ann", "ann"), Code.E_POLICY, "keys"),
        (AccountPolicy(1, policy_of(1, "ann", "ben").keys[::-1]), Code.E_POLICY, "keys"),
        (AccountPolicy(1, (SMALL_ORDER,)), Code.E_POLICY, "keys[0]"),
        (AccountPolicy(1, (PublicKey(b"short"),)), Code.E_MALFORMED, "keys[0]"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_by_its_field(
    town: Town, body: AccountPolicy, code: Code, field: str
) -> None:
    """No policy enters the ledger that nobody, or everybody, could sign for."""
    refusal = parse(sign(town.draft("alice", body), [key_of("alice")]))

    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.field) == (code, f"bodies[0].{field}")
