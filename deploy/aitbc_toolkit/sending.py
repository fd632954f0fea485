"""How are transactions sent on and on, at a rate that no answer can slow down?

Open loop: each is handed in when it is due. The very same bytes go to the next node until a final
block holds them or they are expired. The accounts are made for one run, funded by the payer and
paying to another such account: what they keep at the end is spent. Do not add sums here.
"""

import heapq
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from aitbc_node.blocks import tx_id
from aitbc_node.crypto import SigningKey
from aitbc_node.ledger.fees import fee_of
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import TRANSFER_GAS, Output, Transfer
from aitbc_node.types import Amount
from aitbc_toolkit import payments, wallet
from aitbc_toolkit.asking import MeshClient, Silence
from aitbc_toolkit.books import SETTLE_S, Books, Schedule, Tally
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.rpc_client import RefusedError, SilentError
from aitbc_toolkit.wallet import ChainNow, Wallet

LIFETIME_S = 60
"""How long a transaction may wait for its block; a minute without one is a mesh that stands."""
RATE_PER_ACCOUNT = 4
"""An account may have 64 waiting: at this rate enough for a mesh that stands for 16 s."""

_UNITS = 1_000
_WORKERS = 32
_POLL_S = 0.1
_FUNDING_S = 60.0
_AGAIN_S = (0.25, 0.5, 1.0, 2.0)
_ACCEPTED_AGAIN_S = 3.0
_PAGE = 20


@dataclass(slots=True, order=True)
class Parcel:
    """Hold one transaction until it has ended; the earliest is handed in first."""

    at_s: float
    number: int
    tx_id: str = field(compare=False)
    raw: bytes = field(compare=False)
    tries: int = field(default=0, compare=False)


class Sender:
    """Send by a schedule in `run`; `stop` ends the schedule, `abandon` also what is under way."""

    def __init__(
        self,
        environment: Environment,
        mesh: MeshClient,
        schedule: Schedule,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environment = environment
        self._mesh = mesh
        self._schedule = schedule
        self._clock = clock
        nodes = len(mesh.nodes)
        count = nodes * -(-schedule.rate // (nodes * RATE_PER_ACCOUNT))
        self._wallets = [Wallet(SigningKey(os.urandom(32))) for _ in range(count)]
        self._payee = Wallet(SigningKey(os.urandom(32)))
        self._books = Books()
        self._again: list[Parcel] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._abandoned = threading.Event()
        self._began = 0.0
        self._tip = 0
        self._chain: ChainNow | None = None

    def fund(self, payer: Wallet) -> None:
        """Give every account what its share of the schedule can cost at most.

        Raises: AitbcError when the payer cannot, or when the mesh does not make that final.
        """
        interval_ms = self._environment.chain.block_interval_ms
        self._chain = wallet.look_any(self._mesh, interval_ms=interval_ms)
        share = -(-self._schedule.count // len(self._wallets))
        per_gas = self._chain.max_gas_price + self._chain.tip_price
        cost = _UNITS + fee_of(TRANSFER_GAS, per_gas) + 1  # fee and tip are rounded up each
        outs = [Output(each.account, NATIVE, Amount(share * cost)) for each in self._wallets]
        body = Transfer(tuple(outs))
        raw, funding = payments.hand_in(self._environment, self._mesh, payer, [body])
        told = self._mesh.wait(funding, deadline_s=_FUNDING_S, raw=raw)
        if told.status != "committed" or told.height is None:
            raise payments.without_effect(told)
        self._tip = told.height

    @property
    def is_stopped(self) -> bool:
        """Tell whether it was told to begin no more."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Begin no more transactions; those that were begun are brought to their end."""
        self._stopped.set()

    def abandon(self) -> None:
        """Leave everything as it is."""
        self._stopped.set()
        self._abandoned.set()

    def run(self) -> Tally:
        """Send everything that is due, then wait until all of it has ended, or for too long."""
        assert self._chain is not None, "the accounts are funded first"
        self._began = self._clock()
        follower = threading.Thread(target=self._follow, name="blocks", daemon=True)
        with ThreadPoolExecutor(_WORKERS) as pool:
            follower.start()
            try:
                self._send(pool)
                self._settle(pool)
            finally:
                self.abandon()
                follower.join()
        with self._lock:
            return self._books.tally(paid=self._paid(), took_s=self._now())

    def _send(self, pool: ThreadPoolExecutor) -> None:
        for number in range(self._schedule.count):
            due_s = self._schedule.due_s(number)
            while not self._stopped.is_set() and (left := due_s - self._now()) > 0:
                self._hand_in_again(pool)
                self._stopped.wait(min(left, _POLL_S))
            if self._stopped.is_set():
                return
            pool.submit(self._hand_in, self._next(number, due_s))

    def _settle(self, pool: ThreadPoolExecutor) -> None:
        until = self._now() + SETTLE_S
        while not self._abandoned.is_set() and self._now() < until:
            with self._lock:
                if not self._books.open:
                    return
            self._hand_in_again(pool)
            self._abandoned.wait(_POLL_S)

    def _next(self, number: int, due_s: float) -> Parcel:
        """Sign what is due; its account's nonces follow each other."""
        assert self._chain is not None
        payer, nonce = self._wallets[number % len(self._wallets)], number // len(self._wallets)
        ahead = -(-LIFETIME_S * 1000 // self._environment.chain.block_interval_ms)
        valid_until = self._tip + min(self._chain.ttl_blocks, ahead)
        chain = replace(self._chain, valid_until=valid_until)
        outs = [Output(self._payee.account, NATIVE, Amount(_UNITS))]
        raw = payer.transfer(chain, nonce=nonce, new=True, outs=outs)
        name = tx_id(raw).hex()
        with self._lock:
            self._books.begin(name, valid_until=valid_until, due_s=due_s, at_s=self._now())
        return Parcel(due_s, number, name, raw)

    def _hand_in_again(self, pool: ThreadPoolExecutor) -> None:
        """Take up what no block holds although its time has come."""
        while True:
            with self._lock:
                if not self._again or self._again[0].at_s > self._now():
                    return
                parcel = heapq.heappop(self._again)
                if not self._books.is_open(parcel.tx_id):
                    continue
            pool.submit(self._hand_in, parcel)

    def _hand_in(self, parcel: Parcel) -> None:
        """Give the bytes to one node, another one each time; then they wait for their block."""
        if self._abandoned.is_set():
            return
        account = parcel.number % len(self._wallets)
        node = self._mesh.nodes[(account + parcel.tries) % len(self._mesh.nodes)]
        try:
            node.submit(parcel.raw)
        except (RefusedError, SilentError) as failure:
            reason = failure.code if isinstance(failure, RefusedError) else failure.reason
            pause_s = _AGAIN_S[min(parcel.tries, len(_AGAIN_S) - 1)]
            with self._lock:
                self._books.refused(reason)
        else:
            pause_s = _ACCEPTED_AGAIN_S
            with self._lock:
                self._books.accepted(parcel.tx_id)
        parcel.tries += 1
        parcel.at_s = self._now() + pause_s
        with self._lock:
            heapq.heappush(self._again, parcel)

    def _follow(self) -> None:
        """Read every final block after the funding, one by one, until all is over."""
        while not self._abandoned.is_set():
            try:
                page = self._mesh.ask_any(lambda node: node.blocks(self._tip + 1, _PAGE))
            except AitbcError:
                page = []  # nobody answers now: what is open stays open
            for block in page:
                if block.height == self._tip + 1:
                    with self._lock:
                        self._books.block(block.height, block.tx_ids, at_s=self._now())
                    self._tip = block.height
            if len(page) < _PAGE:
                self._abandoned.wait(_POLL_S)

    def _paid(self) -> int | None:
        """Ask the ledger how many payments have arrived; the node that knows most counts."""
        address = self._payee.address(self._environment.chain.hrp)
        told = self._mesh.ask_all(lambda node: node.account(address))
        known = [each for each in told.values() if not isinstance(each, Silence)]
        if not known:
            return None
        owned = [int(each.balances[NATIVE].balance) for each in known if NATIVE in each.balances]
        return max(owned, default=0) // _UNITS

    def _now(self) -> float:
        return self._clock() - self._began
