"""What a block does to the state: the one place where the rule sets come together.

`execute` judges a whole block on a draft and leaves the state alone; `build` picks for a proposer
what is valid now; `commit` swaps a result in. A transaction that cannot sign, pay or take its turn
makes a block invalid; one whose body fails pays and is counted. Do not add rules of one body here.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from aitbc_node import crypto
from aitbc_node.blocks import ids_root
from aitbc_node.canonical import Record, encode
from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import Verifier
from aitbc_node.events import TxReceipt
from aitbc_node.ledger import (
    absence,
    accounts,
    assets,
    balances,
    boundary,
    evidence,
    families,
    fees,
    objects,
    rewards,
    transfers,
    trie,
)
from aitbc_node.ledger.family import Act, Event
from aitbc_node.ledger.objects import (
    NATIVE,
    NEW_ACCOUNT,
    TREASURY,
    ObjectKey,
)
from aitbc_node.ledger.state import Draft, State
from aitbc_node.ledger.transactions import Parsed, Transaction
from aitbc_node.types import Address, Hash, Height, PublicKey
from aitbc_node.validators import ValidatorSet

RECEIPT_TAG = b"aitbc/receipt\0"


class BlockContext(msgspec.Struct, frozen=True):
    """Say which block is executed.

    `proposer` is a consensus key of the state's validators; `voters` could sign the block before,
    `signers` are those in `last_commit` that did. `evidence` is what the block shows by itself.
    """

    height: Height
    time_ms: int
    proposer: PublicKey
    signers: frozenset[PublicKey] = frozenset()
    voters: tuple[PublicKey, ...] = ()
    evidence: tuple[bytes, ...] = ()
    verify: Verifier = crypto.verify


class Execution(msgspec.Struct, frozen=True):
    """Hold the result of a block; `writes`, `tree` and `base` are for `commit` alone.

    `events` is what happened by rule, in no transaction.
    """

    height: Height
    state_root: Hash
    receipts: tuple[TxReceipt, ...]
    receipts_root: Hash
    events: tuple[Event, ...]
    next_validators: ValidatorSet
    writes: dict[ObjectKey, Record | None]
    tree: trie.Node | None
    base: trie.Node | None


class InvalidBlock(msgspec.Struct, frozen=True):
    """Say which transaction, or which evidence, no valid block may hold at its place, and why."""

    index: int
    refusal: Refusal
    kind: str = "transaction"


class Built(msgspec.Struct, frozen=True):
    """Hold what a proposer may propose, and what it tried in vain."""

    txs: tuple[Parsed, ...]
    evidence: tuple[bytes, ...]
    refused: tuple[tuple[Parsed, Refusal], ...]
    execution: Execution


def execute(state: State, context: BlockContext, txs: Sequence[Parsed]) -> Execution | InvalidBlock:
    """Judge a block of transactions whose signatures were verified elsewhere."""
    run = _Run(state, context)
    for index, raw in enumerate(context.evidence):
        refusal = run.punish(raw)
        if refusal is not None:
            return InvalidBlock(index, refusal, "evidence")
    for index, parsed in enumerate(txs):
        refusal = run.include(parsed)
        if refusal is not None:
            return InvalidBlock(index, refusal)
    return run.finish()


def build(state: State, context: BlockContext, candidates: Iterable[Parsed]) -> Built:
    """Take candidates in their order as far as they are valid and fit into the block.

    Of the context's evidence, likewise.
    """
    run = _Run(state, context)
    shown = tuple(raw for raw in context.evidence if run.punish(raw) is None)
    taken = []
    refused = []
    for parsed in candidates:
        refusal = run.include(parsed)
        if refusal is None:
            taken.append(parsed)
        elif refusal.code is Code.E_BLOCK_FULL:
            break
        else:
            refused.append((parsed, refusal))
    return Built(tuple(taken), shown, tuple(refused), run.finish())


def commit(state: State, execution: Execution) -> None:
    """Make the result of an executed block the committed state."""
    assert state.tree is execution.base, "executed on another state"
    price = state.fees.price
    state.adopt(execution.writes, execution.tree)
    # Few kinds of transactions make up a block, and they cost what others of their kind do.
    bought = Counter([receipt.gas_used for receipt in execution.receipts])
    owed = sum(count * fees.fee_of(gas, price) for gas, count in bought.items())
    told = [*events_but_transfers(execution.receipts), *execution.events]
    count, height = len(execution.receipts), execution.height
    state.tally.close_block(state.fees, told, owed=owed, txs=count, height=height)


def events_but_transfers(receipts: Iterable[TxReceipt]) -> list[Event]:
    """List what happened in transactions, without what nearly all of them do."""
    return [
        event for receipt in receipts for event in receipt.events if event[0] != transfers.EVENT
    ]


def receipt_hash(receipt: TxReceipt) -> Hash:
    """Hash one receipt as a canonical array of its fields in order."""
    fields = (receipt.id, receipt.code, receipt.gas_used, receipt.fee, receipt.events)
    return Hash(hashlib.sha256(RECEIPT_TAG + encode(fields)).digest())


class _Run:
    """Execute one block, transaction by transaction."""

    def __init__(self, state: State, context: BlockContext) -> None:
        self._draft = Draft(state)
        self._context = context
        self._params = state.params
        self._terms = accounts.terms_of(state, context.height)
        self._receipts: list[TxReceipt] = []
        self._events: list[Event] = []
        self._bytes = 0
        self._gas = 0
        self._fees = 0
        self._tips = 0

    def punish(self, raw: bytes) -> Refusal | None:
        """Apply evidence that the block shows for its proposer, or say why it must not be there."""
        body = evidence.read(raw)
        if isinstance(body, Refusal):
            return body
        act = Act(self._operator(), 0, 0, self._context.height, self._context.verify)
        done = evidence.apply(self._draft, act, body)
        if isinstance(done, Refusal):
            return done
        self._events.extend(done)
        return None

    def include(self, parsed: Parsed) -> Refusal | None:
        """Apply one transaction, or say why it cannot be in this block."""
        tx, gas, terms = parsed.tx, parsed.gas, self._terms
        fee = fees.fee_of(gas, terms.price)
        cost = fee + tx.tip
        account = self._draft.account(tx.sender) or NEW_ACCOUNT
        refusal = (
            self._check_room(gas, len(parsed.raw))
            or accounts.check_sender(terms, account, parsed)
            or accounts.check_nonce(account, tx)
            or accounts.check_fee(terms, account, parsed, cost=cost)
        )
        if refusal is not None:
            return refusal
        self._draft.put_account(tx.sender, accounts.charged(account, tx, cost))
        self._bytes += len(parsed.raw)
        self._gas += gas
        self._fees += fee
        self._tips += tx.tip
        code, events = self._apply_bodies(tx)
        self._receipts.append(TxReceipt(parsed.id, code, gas, cost, events))
        return None

    def finish(self) -> Execution:
        """Do what belongs to the end of a block and compute the roots."""
        self._share_fees()
        self._draft.put((objects.VALIDATORS, b""), self._draft.validators.rotated())
        rewards.note_block(
            self._draft,
            voters=self._context.voters,
            signers=self._context.signers,
            proposer=self._context.proposer,
        )
        away = absence.note_block(
            self._draft,
            voters=self._context.voters,
            signers=self._context.signers,
            height=self._context.height,
        )
        self._events.extend(away)
        boundary.end_block(self._draft, self._context.height)
        writes = self._draft.writes()
        tree = self._draft.tree(writes)
        return Execution(
            height=self._context.height,
            state_root=trie.root_hash(tree),
            receipts=tuple(self._receipts),
            receipts_root=ids_root(list(map(receipt_hash, self._receipts))),
            events=tuple(self._events),
            next_validators=self._draft.validators,
            writes=writes,
            tree=tree,
            base=self._draft.base.tree,
        )

    def _check_room(self, gas: int, size: int) -> Refusal | None:
        params = self._params
        if self._gas + gas > params.max_block_gas:
            full = Refusal(Code.E_BLOCK_FULL, "", "as much gas as a block may use")
            return fees.check_gas(gas, params) or full
        if len(self._receipts) >= params.max_block_txs:
            return Refusal(Code.E_BLOCK_FULL, "", "as many transactions as a block may hold")
        if self._bytes + size > params.max_block_bytes:
            return Refusal(Code.E_BLOCK_FULL, "", "as many bytes as a block may hold")
        return None

    def _apply_bodies(self, tx: Transaction) -> tuple[Code, tuple[Event, ...]]:
        """Apply all bodies or none."""
        draft = self._draft
        draft.keep()
        events: tuple[Event, ...] = ()
        for place, body in enumerate(tx.bodies):
            act = Act(tx.sender, tx.nonce, place, self._context.height, self._context.verify)
            done = families.apply(draft, act, body)
            if isinstance(done, Refusal):
                draft.roll_back()
                # Receipts are hashed: the sentence stays out, so that it may be reworded.
                return done.code, (("failed", str(place), done.field),)
            events += tuple(done)
        return Code.OK, events

    def _share_fees(self) -> None:
        """Divide what the block collected; the tips go to the proposer's operator alone."""
        draft = self._draft
        done = fees.after_block(draft.fees, self._params, gas=self._gas, collected=self._fees)
        draft.put((objects.FEES, b""), done)
        earned = done.to_proposer + self._tips
        if earned:
            balances.move(draft, self._operator(), NATIVE, earned)
        if done.to_treasury:
            balances.fill(draft, TREASURY, NATIVE, done.to_treasury)
        if done.burned:
            native = draft.asset(NATIVE)
            assert native is not None, "a state without the native asset"
            draft.put_asset(NATIVE, assets.resupplied(native, -done.burned))

    def _operator(self) -> Address:
        validators = self._draft.validators
        index = validators.index_of(self._context.proposer)
        assert index is not None, "the proposer is no validator of this height"
        return validators.members[index].operator
