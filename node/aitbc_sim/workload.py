"""What do clients do to a simulated chain, and what were they promised?

A few accounts pay each other, mint a mock asset, and now and then ask for what must be refused. A
client sends the same bytes again until they are final or can never be. Do not judge blocks here.
"""

import random

import msgspec

from aitbc_node.codes import Code
from aitbc_node.crypto import sha256
from aitbc_node.events import Committed, Reply
from aitbc_node.ledger.assets import AssetSupply
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.objects import NATIVE, NEW_ACCOUNT
from aitbc_node.ledger.state import State
from aitbc_node.ledger.transactions import Transaction, sign
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Address, Amount, Gas, Height, TxId
from aitbc_sim.founding import CITIZENS, MOCK, WEALTH, account_of, citizen
from aitbc_sim.history import History
from aitbc_sim.operators import Operators
from aitbc_sim.options import Options
from aitbc_sim.testing import CHAIN_ID, FakeSigner

LIFE_BLOCKS = 25
RESEND_MS = 1_500
WAITING_MAX = 40


class Waiting(msgspec.Struct):
    """Remember one transaction that a client has handed in."""

    raw: bytes
    valid_until: Height
    sender: Address
    sent_ms: int
    accepted: bool = False


class Workload:
    """Be all clients of a run."""

    def __init__(self, dice: random.Random, history: History, options: Options) -> None:
        self._dice = dice
        self._history = history
        self._churn = options.churn
        self._signers = list(map(citizen, range(CITIZENS)))
        self._addresses = list(map(account_of, self._signers))
        self._next_nonce: dict[Address, int] = {}
        self.operators = Operators(dice, options)
        self.waiting: dict[TxId, Waiting] = {}
        self._height = Height(0)

    def next_raws(self, state: State, now_ms: int) -> tuple[bytes, ...]:
        """Return what some client hands in now: something new, or what has had no answer."""
        for waiting in self.waiting.values():
            if now_ms - waiting.sent_ms >= RESEND_MS:
                waiting.sent_ms = now_ms
                return (waiting.raw,)
        if len(self.waiting) >= WAITING_MAX:
            return ()
        return (self._new(state, now_ms),)

    def overdue_raws(self, now_ms: int) -> tuple[bytes, ...]:
        """Return what is to be sent again, without anything new."""
        due = [w for w in self.waiting.values() if now_ms - w.sent_ms >= RESEND_MS]
        for waiting in due:
            waiting.sent_ms = now_ms
        return tuple(waiting.raw for waiting in due)

    def _new(self, state: State, now_ms: int) -> bytes:
        act = None
        if self._churn and self._dice.random() < self._churn:
            act = self.operators.next_act(state, self._height)
        signer, bodies = act or self._payment()
        sender = account_of(signer)
        account = state.account(sender) or NEW_ACCOUNT
        nonce = max(account.nonce, self._next_nonce.get(sender, 0))
        wild = self._dice.random() < 0.1  # noqa: PLR2004 - one in ten is to be refused or to fail
        tx = Transaction(
            chain_id=CHAIN_ID,
            sender=sender,
            nonce=nonce + 200 * wild,
            valid_until=Height(self._height + LIFE_BLOCKS),
            gas_limit=Gas(500_000),
            max_gas_price=10**9,
            tip=Amount(self._dice.randrange(5)),
            policy=None,
            bundle=len(bodies) > 1,
            bodies=bodies,
        )
        raw = sign(tx, [signer])
        if not wild:
            self._next_nonce[sender] = nonce + 1
            id_ = TxId(bytes(sha256(raw)))
            self.waiting[id_] = Waiting(raw, tx.valid_until, sender, now_ms)
        return raw

    def _payment(self) -> tuple[FakeSigner, tuple[Body, ...]]:
        who = self._dice.randrange(CITIZENS)
        return self._signers[who], (self._body(who),)

    def _body(self, who: int) -> Body:
        to = self._dice.choice(self._addresses)
        match self._dice.randrange(8):
            case 0:
                return AssetSupply(MOCK, to, self._dice.randrange(1, 10**6))
            case 1:
                return Transfer((Output(to, NATIVE, Amount(2 * WEALTH)),))
            case 2 if who:
                return Transfer((Output(to, MOCK, Amount(self._dice.randrange(1, 1_000))),))
            case _:
                outs = [
                    Output(self._dice.choice(self._addresses), NATIVE, Amount(1 + i))
                    for i in range(self._dice.randrange(1, 4))
                ]
                return Transfer(tuple(outs))

    def on_reply(self, reply: Reply) -> None:
        """Note what a node has answered."""
        for outcome in reply.outcomes:
            waiting = self.waiting.get(outcome.id)
            if outcome.code != Code.OK:
                self._history.met("transaction refused")
            elif waiting is not None:
                waiting.accepted = True

    def on_committed(self, committed: Committed) -> None:
        """Cross off what is final now, and give up what can never be."""
        self._height = max(self._height, committed.final.block.header.height)
        for receipt in committed.receipts:
            if self.waiting.pop(receipt.id, None) is not None:
                self._history.met("transactions final")
        for id_, waiting in list(self.waiting.items()):
            if waiting.valid_until < self._height:
                # Those behind it in the account's line are stuck as well: begin anew.
                del self.waiting[id_]
                self._next_nonce[waiting.sender] = 0
                self._history.met("transactions expired")
