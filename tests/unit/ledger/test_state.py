"""State and drafts: reading, undoing, dropping, proving."""

import pytest
from msgspec.structs import replace

from aitbc_node.canonical import decode
from aitbc_node.ledger import objects, trie
from aitbc_node.ledger.objects import Account
from aitbc_node.ledger.state import Draft, State, verify_proof
from aitbc_node.types import Amount, Height
from aitbc_sim.town import WEALTH, Town, address, pay

RICH = Account(0, None, (("AIT", Amount(5)),))


def test_a_draft_hides_and_undoes_changes(town: Town) -> None:
    """Rolled back, everything is as it was when it was kept; the state never saw any of it."""
    draft = Draft(town.state)
    draft.put_account(address("carol"), RICH)
    draft.keep()
    draft.put_account(address("carol"), Account(1))
    draft.put_account(address("dave"), RICH)
    draft.put_account(address("carol"), Account(2))

    draft.roll_back()

    assert draft.account(address("carol")) == RICH
    assert draft.account(address("dave")) is None
    assert town.state.account(address("carol")) is None
    draft.roll_back()
    assert list(draft.writes()) == [(objects.ACCOUNT, address("carol"))]
    fresh = Draft(town.state)
    fresh.put_account(address("carol"), RICH)
    fresh.roll_back()
    assert fresh.writes() == {}


def test_a_change_there_and_back_is_no_change(town: Town) -> None:
    """Only what differs in the end reaches the tree."""
    draft = Draft(town.state)
    before = town.state.account(address("alice"))
    assert before is not None
    draft.put_account(address("alice"), RICH)
    draft.put_account(address("alice"), Account(0, before.policy, before.balances))

    assert draft.writes() == {}


def test_who_validates_and_by_which_parameters_is_what_was_adopted_last(town: Town) -> None:
    """Asked before and after: what was found once is not told for another state."""
    state, draft = town.state, Draft(town.state)
    turned, params = state.validators.rotated(), replace(state.params, epoch_blocks=7)
    draft.put((objects.VALIDATORS, b""), turned)
    draft.put((objects.PARAMS, b""), params)
    assert state.validators != turned
    assert state.params != params

    state.adopt(draft.writes(), draft.tree(draft.writes()))

    assert state.validators == turned
    assert state.params == params


def test_an_account_is_proved_against_the_root_alone(town: Town) -> None:
    """Whoever holds a header can check an account that a stranger shows."""
    town.apply(town.tx("alice", pay("carol", 4)))
    key = (objects.ACCOUNT, address("alice"))

    shown = verify_proof(town.state.root, key, town.state.prove(key))

    assert shown is not None
    account = decode(shown, Account)
    assert account == town.state.account(address("alice"))
    assert account.balances == (("AIT", WEALTH - 4 - 210),)


def test_the_absence_of_an_account_is_proved_too(town: Town) -> None:
    """Nobody can be told that an account does not exist when it does."""
    key = (objects.ACCOUNT, address("nobody"))

    assert verify_proof(town.state.root, key, town.state.prove(key)) is None


def test_a_proof_of_another_state_is_refused(town: Town) -> None:
    """A proof belongs to one root."""
    key = (objects.ACCOUNT, address("alice"))
    proof = town.state.prove(key)
    town.apply(town.tx("alice", pay("carol", 4)))

    with pytest.raises(trie.ProofError):
        verify_proof(town.state.root, key, proof)


def test_kinds_never_share_a_place_in_the_tree() -> None:
    """An account's bytes cannot name an asset or a pool."""
    kinds = [objects.ACCOUNT, objects.ASSET, objects.POOL, objects.PARAMS, objects.VALIDATORS]
    paths = {objects.path_of((kind, b"AIT")) for kind in kinds}

    assert len(paths) == len(kinds)
    assert not any("\0" in kind for kind in kinds)


def test_the_root_follows_from_the_contents_alone(town: Town) -> None:
    """A state rebuilt from its objects has the root that blocks led to (snapshots rely on it)."""
    for _ in range(3):
        town.apply(town.tx("alice", pay("carol", 40)), town.tx("bob", pay("dave", 7)))

    assert State(dict(town.state.items())).root == town.state.root


def test_accounts_and_assets_are_walked_in_order(town: Town) -> None:
    """Audits and dumps are the same on every node."""
    addresses = [found for found, _ in town.state.accounts()]

    assert addresses == sorted(addresses)
    assert [ticker for ticker, _ in town.state.assets()] == ["AIT", "mUSDA"]


def test_a_removed_object_is_gone_for_readers_and_for_the_root(town: Town) -> None:
    """Removing what was added leads back to the same root; undo brings it back."""
    draft = Draft(town.state)
    key = (objects.RECORD, b"some")
    draft.put(key, objects.StoredRecord("blob", b"k", b"v", address("alice"), Height(9)))
    draft.keep()

    draft.remove(key)

    assert draft.lookup(key) is None
    assert draft.tree(draft.writes()).hash == town.state.root
    draft.roll_back()
    assert draft.lookup(key) is not None


def test_removing_a_committed_object_takes_it_out_of_state_and_tree(town: Town) -> None:
    """The state after adoption is the one that never had it."""
    before = town.state.root
    key = (objects.RECORD, b"some")
    record = objects.StoredRecord("blob", b"k", b"v", address("alice"), Height(9))
    for change in (record, None):
        writes = {key: change}
        town.state.adopt(writes, Draft(town.state).tree(writes))

    assert town.state.root == before
    assert town.state.lookup(key) is None
