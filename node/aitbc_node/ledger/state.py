"""What the ledger knows at one height, and how a candidate block looks before it is final.

`State` is what is committed; `Draft` lays changes over it, with undo of the last, so that a
failing body leaves nothing behind and a losing candidate is simply dropped. Do not add rules here.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Protocol, TypeVar

from aitbc_node.canonical import Record, encode
from aitbc_node.ledger import objects, trie
from aitbc_node.ledger.listing import Listing
from aitbc_node.ledger.objects import (
    Absence,
    Account,
    Asset,
    Chain,
    Decided,
    EpochLog,
    Fees,
    KeyUse,
    Membership,
    ObjectKey,
    Pool,
    Proposal,
    Roster,
    Stake,
    StoredRecord,
    Unbonding,
    Upgrade,
)
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.tally import Tally
from aitbc_node.types import Address, Hash, PublicKey
from aitbc_node.validators import ValidatorSet

R = TypeVar("R", bound=Record)

_UNTOUCHED = Record()
"""Stands in a draft for what it has not written; what it has removed is None."""


class Reader(Protocol):
    """Look objects up by kind and name; absent ones are None."""

    def lookup(self, key: ObjectKey) -> Record | None:
        """Return one object as it stands."""

    def account(self, address: Address) -> Account | None:
        """Return an account, or None when nothing ever happened to it."""
        found = self.lookup((objects.ACCOUNT, address))
        assert found is None or isinstance(found, Account), "not an account under its key"
        return found

    def asset(self, ticker: str) -> Asset | None:
        """Return an asset."""
        return _as(Asset, self.lookup((objects.ASSET, ticker.encode())))

    def pool(self, name: str) -> Pool:
        """Return a pool; one that was never filled is empty."""
        return _as(Pool, self.lookup((objects.POOL, name.encode()))) or objects.EMPTY_POOL

    def record(self, name: bytes) -> StoredRecord | None:
        """Return a record by its name in the state; see `records.record_key`."""
        return _as(StoredRecord, self.lookup((objects.RECORD, name)))

    def membership(self, operator: Address) -> Membership | None:
        """Return how an operator takes part in validating."""
        return _as(Membership, self.lookup((objects.VALIDATOR, operator)))

    def stake(self, operator: Address, delegator: Address) -> Stake | None:
        """Return a delegator's part of an operator's bond."""
        return _as(Stake, self.lookup((objects.STAKE, operator + delegator)))

    def unbonding(self, operator: Address) -> Unbonding:
        """Return what is on its way back from an operator's bond."""
        return _as(Unbonding, self.lookup((objects.UNBONDING, operator))) or Unbonding()

    def key_use(self, key: PublicKey) -> KeyUse | None:
        """Return whose a consensus key is; None for one that was never registered."""
        return _as(KeyUse, self.lookup((objects.KEY_USE, key)))

    @property
    def roster(self) -> Roster:
        """Return who may be chosen as a validator."""
        return _as(Roster, self.lookup((objects.ROSTER, b""))) or Roster()

    def proposal(self, name: bytes) -> Proposal | None:
        """Return an open proposal."""
        return _as(Proposal, self.lookup((objects.PROPOSAL, name)))

    @property
    def decided(self) -> Decided:
        """Return what takes effect at the end of the epoch."""
        return _as(Decided, self.lookup((objects.DECIDED, b""))) or Decided()

    @property
    def absence(self) -> Absence:
        """Return who did not sign how much of the present window."""
        return _as(Absence, self.lookup((objects.ABSENCE, b""))) or Absence()

    @property
    def upgrade(self) -> Upgrade | None:
        """Return which other rules are planned."""
        return _as(Upgrade, self.lookup((objects.UPGRADE, b"")))

    @property
    def epoch_log(self) -> EpochLog:
        """Return who took part in the present epoch so far."""
        return _as(EpochLog, self.lookup((objects.EPOCH, b""))) or EpochLog()

    @property
    def chain(self) -> Chain:
        """Return which chain this is."""
        return _only(Chain, self.lookup((objects.CHAIN, b"")))

    @property
    def fees(self) -> Fees:
        """Return the price of gas, and where the newest fees went."""
        return _only(Fees, self.lookup((objects.FEES, b"")))

    @property
    def params(self) -> Params:
        """Return the parameters in force for the next block."""
        return _only(Params, self.lookup((objects.PARAMS, b"")))

    @property
    def validators(self) -> ValidatorSet:
        """Return who validates the next height."""
        return _only(ValidatorSet, self.lookup((objects.VALIDATORS, b"")))


class State(Reader):
    """Hold the committed objects and the tree over them; changed by `commit` only."""

    def __init__(self, contents: Mapping[ObjectKey, Record]) -> None:
        self._objects = dict(contents)
        encoded = {objects.path_of(key): encode(value) for key, value in contents.items()}
        self._tree = trie.update(None, encoded)
        self.tally = Tally()
        self.listing = Listing()
        for key, record in contents.items():
            self.tally.replace(key[1], None, record)
            self.listing.replace(key, None, record)
        self.tally.settle()
        self.tally.begin()

    @property
    def root(self) -> Hash:
        """Return the hash that a header carries for this state."""
        return trie.root_hash(self._tree)

    @property
    def tree(self) -> trie.Node | None:
        """Return the tree over all objects."""
        return self._tree

    @property
    def contents(self) -> Mapping[ObjectKey, Record]:
        """Return all objects by kind and name; they change with the next `adopt`."""
        return self._objects

    @cached_property
    def params(self) -> Params:  # asked for all the time, so kept until `adopt`
        """Return the parameters in force for the next block."""
        return super().params

    @cached_property
    def chain(self) -> Chain:  # likewise
        """Return which chain this is."""
        return super().chain

    @cached_property
    def fees(self) -> Fees:  # likewise
        """Return the price of gas, and where the newest fees went."""
        return super().fees

    @cached_property
    def validators(self) -> ValidatorSet:  # likewise
        """Return who validates the next height."""
        return super().validators

    def lookup(self, key: ObjectKey) -> Record | None:
        """Return one committed object."""
        return self._objects.get(key)

    # As `Reader` does, with a third of the calls: each transaction asks for a few accounts.
    def account(self, address: Address) -> Account | None:
        """Return an account, or None when nothing ever happened to it."""
        found = self._objects.get((objects.ACCOUNT, address))
        assert found is None or isinstance(found, Account), "not an account under its key"
        return found

    def asset(self, ticker: str) -> Asset | None:  # likewise
        """Return an asset."""
        found = self._objects.get((objects.ASSET, ticker.encode()))
        assert found is None or isinstance(found, Asset), "not an asset under its key"
        return found

    def accounts(self) -> Iterator[tuple[Address, Account]]:
        """Walk all accounts, in ascending order of address."""
        for name, record in self._of_kind(objects.ACCOUNT):
            yield Address(name), _only(Account, record)

    def assets(self) -> Iterator[tuple[str, Asset]]:
        """Walk all assets, in ascending order of ticker."""
        for name, record in self._of_kind(objects.ASSET):
            yield name.decode(), _only(Asset, record)

    def items(self) -> Iterator[tuple[ObjectKey, Record]]:
        """Walk all objects, for audits and snapshots, by kind and name."""
        for key in sorted(self._objects):
            yield key, self._objects[key]

    def prove(self, key: ObjectKey) -> tuple[bytes, ...]:
        """Return the proof that an object is in this state, or is not."""
        return trie.prove(self._tree, objects.path_of(key))

    def adopt(self, writes: Mapping[ObjectKey, Record | None], tree: trie.Node | None) -> None:
        """Swap in the changes of an executed block; use `apply.commit`, which checks more.

        None stands for an object that is gone.
        """
        self.listing.foretold.clear()
        for key, value in writes.items():
            before = self._objects.get(key)
            self.tally.replace(key[1], before, value)
            if key[0] != objects.ACCOUNT:  # nearly all are, and have no place in the listing
                self.listing.replace(key, before, value)
            if value is None:
                self._objects.pop(key, None)
            else:
                self._objects[key] = value
        self.tally.settle()
        self._tree = tree
        for found in ("chain", "fees", "params", "validators"):
            vars(self).pop(found, None)

    def _of_kind(self, kind: str) -> Iterator[tuple[bytes, Record]]:
        for name in sorted(name for of_kind, name in self._objects if of_kind == kind):
            yield name, self._objects[kind, name]


class Draft(Reader):
    """Lay changes over a state without touching it."""

    def __init__(self, base: State) -> None:
        self.base = base
        self._committed = base.contents
        self._writes: dict[ObjectKey, Record | None] = {}
        self._undo: list[tuple[ObjectKey, Record | None]] = []

    def lookup(self, key: ObjectKey) -> Record | None:
        """Return one object as the draft sees it."""
        found = self._writes.get(key, _UNTOUCHED)
        return self._committed.get(key) if found is _UNTOUCHED else found

    def account(self, address: Address) -> Account | None:
        """Return an account, or None when nothing ever happened to it."""
        key = (objects.ACCOUNT, address)
        found = self._writes.get(key, _UNTOUCHED)
        if found is _UNTOUCHED:
            found = self._committed.get(key)
        assert found is None or isinstance(found, Account), "not an account under its key"
        return found

    def asset(self, ticker: str) -> Asset | None:
        """Return an asset."""
        key = (objects.ASSET, ticker.encode())
        found = self._writes.get(key, _UNTOUCHED)
        if found is _UNTOUCHED:
            found = self._committed.get(key)
        assert found is None or isinstance(found, Asset), "not an asset under its key"
        return found

    def put(self, key: ObjectKey, value: Record) -> None:
        """Set one object."""
        self._write(key, value)

    def remove(self, key: ObjectKey) -> None:
        """Take one object away, if it is there."""
        self._write(key, None)

    def _write(self, key: ObjectKey, value: Record | None) -> None:
        self._undo.append((key, self._writes.get(key, _UNTOUCHED)))
        self._writes[key] = value

    def put_account(self, address: Address, value: Account) -> None:
        """Set an account."""
        key = (objects.ACCOUNT, address)
        self._undo.append((key, self._writes.get(key, _UNTOUCHED)))
        self._writes[key] = value

    def put_asset(self, ticker: str, value: Asset) -> None:
        """Set an asset."""
        self.put((objects.ASSET, ticker.encode()), value)

    def keep(self) -> None:
        """Stand by every change so far."""
        self._undo.clear()

    def roll_back(self) -> None:
        """Take back every change since `keep`, or since the draft is there."""
        while self._undo:
            key, value = self._undo.pop()
            if value is _UNTOUCHED:
                del self._writes[key]
            else:
                self._writes[key] = value

    def writes(self) -> dict[ObjectKey, Record | None]:
        """Return what differs from the base; a change there and back is none.

        None stands for an object that is gone.
        """
        before = self._committed
        return {key: value for key, value in self._writes.items() if before.get(key) != value}

    def tree(self, writes: Mapping[ObjectKey, Record | None]) -> trie.Node | None:
        """Return the base's tree with these changes."""
        encoded = {
            objects.path_of(key): None if value is None else encode(value)
            for key, value in writes.items()
        }
        return trie.update(self.base.tree, encoded)


def verify_proof(root: Hash, key: ObjectKey, proof: tuple[bytes, ...]) -> bytes | None:
    """Return the canonical bytes of a proved object, or None when its absence is proved.

    Raises: trie.ProofError when the proof shows neither.
    """
    return trie.verify(root, objects.path_of(key), proof)


def _as(kind: type[R], record: Record | None) -> R | None:
    assert record is None or isinstance(record, kind), "an object of another kind under this key"
    return record


def _only(kind: type[R], record: Record | None) -> R:
    found = _as(kind, record)
    assert found is not None, f"a state without {kind.__name__}"
    return found
