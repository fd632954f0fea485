"""How does a bot hand in its transactions, and what does it believe to own behind them?

It believes what it has seen become of its own transactions, nothing else. Do not add what is paid
for, or why: `roles.py`, `habits.py`, `trading.py`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gevent
import msgspec

from aitbc_load.identities import Identity
from aitbc_load.orders import Place, Terms
from aitbc_load.signing import signed
from aitbc_load.swarm.answers import LATER, codes_of
from aitbc_load.swarm.bots import BotError, CodedError
from aitbc_load.swarm.reading import Reader
from aitbc_load.swarm.wire import Wires, post
from aitbc_load.wallet import Wallet
from aitbc_node.blocks import tx_id
from aitbc_node.codes import Code
from aitbc_node.ledger.families import Body
from aitbc_node.rpc import schema

_FINAL_S = 30.0
_TRIES = 8
_AGAIN_S = 0.5
_KNOWN = frozenset({Code.OK, Code.E_DUPLICATE, Code.E_NONCE})
"""What a node may say of what another one has, or a block by now."""


class RefusedError(CodedError):
    """A node did not take what it must."""


class RejectedError(CodedError):
    """A transaction is in a block, and had no effect."""


class ExpiredError(BotError):
    """A transaction that was taken came too late for every block; it has cost nothing."""


class LateError(BotError):
    """A transaction that was taken was not final for half a minute."""


@dataclass(slots=True)
class Payer:
    """Be an account that hands in one after the other; `ids` are those that were handed in."""

    role: str
    who: Identity
    wallet: Wallet
    nodes: Sequence[Place]
    place: int
    terms: Terms
    wires: Wires
    reader: Reader
    is_exact: bool = True
    """Nobody else changes what it owns; a staker is paid rewards."""
    poll_s: float = 0.2
    """How long it waits before it asks again what became of a transaction."""
    ids: list[str] = field(default_factory=list)

    @property
    def node(self) -> Place:
        """Return the node that it keeps to while that has time."""
        return self.nodes[self.place % len(self.nodes)]

    @property
    def address(self) -> str:
        """Write its address."""
        return self.who.address(self.terms.hrp)

    def pay(self, body: Body, *, units: int, most: int, again: int = 0, **changed: Any) -> None:
        """Hand in one transaction and wait until it is final; `units` leave beside its fee.

        It is handed in `again` so often before anybody asks what became of it, and once more when
        it is final; `changed` are fields of it. Raises: BotError.
        """
        name, piece = self.promise(body, most=most, **changed)
        if (code := self.hand_in(piece)) != Code.OK:
            self.wallet.take_back(name)
            raise RefusedError(code)
        for _ in range(again):
            self._repeat(piece)
        self.settle(name, units=units)
        if again:
            self._repeat(piece)

    def promise(self, body: Body, *, most: int, **changed: Any) -> tuple[str, bytes]:
        """Sign the next transaction and keep back what it may take; return its name, and it."""
        wallet = self.wallet
        raw = signed(self.who, self.terms, body, nonce=wallet.nonce, **changed)
        name = tx_id(raw).hex()
        wallet.promise(name, most)
        self.ids.append(name)
        return name, msgspec.msgpack.encode(raw)

    def hand_in(self, piece: bytes) -> str:
        """Ask one node after the other while they have no time now; who took it is asked on."""
        code: str = Code.E_UNAVAILABLE
        for _ in range(_TRIES):
            code = self._ask(piece)
            if code not in LATER:
                return code
            self.place += 1
            gevent.sleep(_AGAIN_S)
        return code

    def settle(self, name: str, *, units: int) -> None:
        """Wait until a transaction has ended, and pay what it has taken. Raises: BotError."""
        told = self._end(name)
        if told.fee is None:
            self.wallet.take_back(name)
            raise ExpiredError(name)
        is_good = told.status == "committed"
        self.wallet.settle(name, int(told.fee) + units * is_good)
        if not is_good:
            raise RejectedError(told.code)

    def _repeat(self, piece: bytes) -> None:
        """Hand in once more, at the next node, what a node has taken. Raises: RefusedError."""
        self.place += 1
        code = self._ask(piece)
        if code not in LATER | _KNOWN:
            raise RefusedError(code)

    def _ask(self, piece: bytes) -> str:
        answer = self.wires.ask(self.node, post(self.node, [piece]))
        (code,) = codes_of(answer, 1)
        return code

    def _end(self, name: str) -> schema.TxView:
        until = time.monotonic() + _FINAL_S
        while time.monotonic() < until:
            told = self.reader.fate(self.node, name)
            if told is not None and (told.fee is not None or told.status == "expired"):
                return told
            gevent.sleep(self.poll_s)
        raise LateError(name)
