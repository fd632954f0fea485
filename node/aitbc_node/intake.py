"""How does a transaction get from a stranger's bytes to a verified one, once per node?

Clients, peers, the journal and blocks all hand raw transactions in here. Each is read, checked
against the state, has its signatures judged once (`Verify` / `Verified`), and is then pooled,
relayed and answered for, or given to the block that asked. What is being verified is bounded. Do
not add rules of the ledger, nor the assembly of blocks.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from aitbc_node import limits
from aitbc_node.answering import Request, outcome_of
from aitbc_node.blocks import tx_id as id_of
from aitbc_node.buckets import Buckets
from aitbc_node.chain import Chain
from aitbc_node.codes import Code, Refusal
from aitbc_node.errors import PeerFault
from aitbc_node.events import Expired, Reply, TxOutcome, Verified
from aitbc_node.gossip.relay import TxRelay
from aitbc_node.ledger.admission import check_admission, spending
from aitbc_node.ledger.transactions import Parsed, parse
from aitbc_node.mempool import WAITING, Entry, Mempool, PoolLimits
from aitbc_node.outbox import Outbox
from aitbc_node.tipping import Tips, price_of
from aitbc_node.types import Address, Height, PeerId, TxId
from aitbc_node.verifying import Item, Verifying

OWN_MAX = 1_000
"""Ids of clients' transactions remembered before those that no longer wait are dropped; more where
more wait, for to look through them each time would take longer than to verify."""

_PEER_FAULTS = frozenset({Code.E_MALFORMED, Code.E_SIZE, Code.E_CHAIN})
"""Refusals that an honest peer would have found itself, whatever its state of the chain."""


class Judged(msgspec.Struct, frozen=True):
    """Tell which transactions turned out good or bad, and who passed bad ones on."""

    good: tuple[Parsed, ...]
    bad: tuple[TxId, ...]
    culprits: tuple[PeerId, ...]


class Intake:
    """Take raw transactions in."""

    def __init__(
        self,
        outbox: Outbox,
        chain: Chain,
        pool: Mempool[Parsed],
        relay: TxRelay,
        *,
        bounds: PoolLimits,
    ) -> None:
        self._per_account_max = bounds.per_account_max
        burst = limits.ACCOUNT_BURST_S * bounds.account_rate
        self._paces = Buckets[bytes](rate=bounds.account_rate, burst=burst)
        self._out = outbox
        self._chain = chain
        self._pool = pool
        self._relay = relay
        relay.txs_max = bounds.txs_max
        self.tips = Tips(chain, pool, self.nonce_of)
        self._verifying = Verifying()
        self._own: dict[TxId, None] = {}
        self._own_max = OWN_MAX
        self._swept_height = Height(-1)

    def find(self, tx_id: TxId) -> Parsed | None:
        """Return a verified transaction that waits here."""
        entry = self._pool.get(tx_id)
        return None if entry is None else entry.content

    def found(self, ids: Iterable[TxId]) -> dict[TxId, Parsed]:
        """Return those that wait here, verified, in the order in which they are asked for."""
        pool = self._pool
        return {tx_id: entry.content for tx_id in ids if (entry := pool.get(tx_id)) is not None}

    def is_being_verified(self, tx_id: TxId) -> bool:
        """Tell whether the outcome of a verification will come."""
        return tx_id in self._verifying

    def nonce_of(self, sender: Address) -> int:
        """Return the nonce that the next block expects of an account."""
        account = self._chain.state.account(sender)
        return 0 if account is None else account.nonce

    def own_waiting(self) -> Iterator[tuple[TxId, bytes]]:
        """Go through the waiting transactions that clients gave to this very node."""
        self._forget_final()
        for tx_id in self._own:
            entry = self._pool.get(tx_id)
            if entry is not None:
                yield tx_id, entry.content.raw

    def pending_raws(self) -> Iterator[bytes]:
        """Go through all that the journal must keep: what waits, and what is being verified."""
        for entry in self._pool.waiting():
            yield entry.content.raw
        for item in self._verifying.items():
            if item.entry is not None:
                yield item.parsed.raw

    def submit(self, number: int, raws: Sequence[bytes]) -> None:
        """Take transactions of a client; every one gets an outcome in one `Reply`."""
        request = Request(number, len(raws))
        items = []
        for slot, raw in enumerate(raws):
            name = id_of(raw)
            if name in self._pool:  # clients hand in again what waits for long: 1 us, where it is 7
                request.settle(slot, outcome_of(name, WAITING))
                continue
            item = self._admit(raw, name, by_client=True)
            if isinstance(item, Item):
                item.request, item.slot = request, slot
                items.append(item)
            else:
                request.settle(slot, item)
        self._out.extend(self._verifying.depart(items) if items else request.answer())

    def refuse(self, number: int, raws: Sequence[bytes], refusal: Refusal) -> None:
        """Answer a client that nothing is taken now."""
        self._out.add(Reply(number, tuple(outcome_of(id_of(raw), refusal) for raw in raws)))

    def gossip(self, peer: PeerId, raws: Sequence[bytes]) -> None:
        """Take transactions of a peer. Raises: PeerFault for what no honest peer passes on."""
        ids = [id_of(raw) for raw in raws]
        self._relay.peer_has(peer, ids)
        items = []
        fault = ""
        for tx_id, raw in zip(ids, raws, strict=True):
            known = self._verifying.get(tx_id)
            if known is not None:
                known.entry = known.entry or self._entry(known.parsed)
                continue
            if tx_id in self._pool:
                continue
            item = self._admit(raw, tx_id)
            if isinstance(item, Item):
                item.source = peer
                items.append(item)
            elif item.code in _PEER_FAULTS:
                fault = f"a transaction refused as {item.code}: {item.message}"
                break
        self._out.extend(self._verifying.depart(items))
        if fault:
            raise PeerFault(fault)

    def readmit(self, raws: Iterable[bytes]) -> None:
        """Take back what the journal kept and no block holds; report what none ever can."""
        items = []
        dead = []
        for raw in raws:
            item = self._admit(raw)
            if isinstance(item, Item):
                self._own[item.parsed.id] = None
                items.append(item)
            elif self._is_dead(raw):
                dead.append(item.id)
        if dead:
            self._out.add(Expired(tuple(dead)))
        self._out.extend(self._verifying.depart(items))

    def advance(self, txs: Sequence[Parsed] | None) -> None:
        """Drop what a final block holds, and tell what none can hold any more.

        None stands for blocks that nobody saw here: then every account may have used its nonces.
        """
        next_height, nonce_of = self._chain.next_height, self.nonce_of
        if txs is None:
            dead = self._pool.skip(next_height=next_height, nonce_of=nonce_of)
        else:
            self.tips.block_is_final(txs)
            included = [(parsed.id, parsed.tx.sender) for parsed in txs]
            dead = self._pool.advance(included=included, next_height=next_height, nonce_of=nonce_of)
        self._relay.advance(self._pool.__contains__)
        if dead:
            self._out.add(Expired(dead))
        if len(self._own) > max(OWN_MAX, 2 * len(self._pool)):  # at least half goes
            self._forget_final()

    def verify_bodies(self, bodies: Iterable[Parsed]) -> None:
        """Verify transactions that came only inside a block; the answer is in `Judged`."""
        items = [Item(parsed, None, None) for parsed in bodies]
        for item in items:
            self._verifying.add(item)
        self._out.extend(self._verifying.depart(items, urgent=True))

    def on_verified(self, event: Verified) -> Judged:
        """Finish a batch: pool, journal, relay and answer."""
        good: list[Parsed] = []
        bad: list[Item] = []
        landed = self._verifying.land(event.batch, event.good)
        for item, is_good in landed:
            refusal = None
            if not is_good:
                bad.append(item)
                refusal = Refusal(Code.E_SIGNATURE, "sigs", "a signature is false")
            else:
                good.append(item.parsed)
                if item.entry is not None:
                    refusal = self._take(item, item.entry)
            if item.request is not None:
                self._finish(item, item.request, refusal)
        request = landed[0][0].request  # a batch serves one request at most
        if request is not None:
            self._out.extend(request.answer())
        culprits = dict.fromkeys(item.source for item in bad if item.source is not None)
        return Judged(tuple(good), tuple(item.parsed.id for item in bad), tuple(culprits))

    def _admit(
        self, raw: bytes, name: TxId | None = None, *, by_client: bool = False
    ) -> Item | TxOutcome:
        """Check all that costs no signature, and count what passed as being verified."""
        parsed = parse(raw, name)
        if isinstance(parsed, Refusal):
            return outcome_of(id_of(raw), parsed)
        tx = parsed.tx
        entry = self._entry(parsed)
        promised = 0
        refusal = self._refusal_of(parsed, entry)
        if refusal is not None and refusal.code is Code.E_POOL_FULL and self._sweep():
            refusal = self._refusal_of(parsed, entry)
        if refusal is None:
            promised = self._pool.promised(tx.sender, before_nonce=tx.nonce)
            refusal = self._check_admission(parsed, promised)
        if refusal is None and by_client:
            refusal = self._too_fast(tx.sender)
        if refusal is not None:
            return outcome_of(parsed.id, refusal)
        item = Item(parsed, self._chain.height, entry, promised)
        self._verifying.add(item)
        return item

    def _too_fast(self, sender: Address) -> Refusal | None:
        """Refuse an account whose clients hand in more than its share.

        Only what it has signed itself is counted, or anybody could use its share up.
        """
        is_late = self._paces.wait_s(sender, now_ms=self._out.now_ms)
        return Refusal(Code.E_RATE, "sender", "more than this account's share") if is_late else None

    def _is_dead(self, raw: bytes) -> bool:
        """Tell whether no block can hold a transaction any more."""
        parsed = parse(raw)
        if isinstance(parsed, Refusal):
            return True
        tx = parsed.tx
        return tx.valid_until < self._chain.next_height or tx.nonce < self.nonce_of(tx.sender)

    def _sweep(self) -> bool:
        """Make room in a full pool, once per height; tell whether there is some now.

        Without this a few accounts that spend all they have after filling their queues could keep
        the pool full until those transactions expire.
        """
        if self._swept_height == self._chain.height:
            return False
        self._swept_height = self._chain.height
        hopeless = []
        for entry in self._pool.waiting():
            promised = self._pool.promised(entry.sender, before_nonce=entry.nonce)
            refusal = self._check_admission(entry.content, promised)
            if refusal is not None and refusal.code in {Code.E_FEE, Code.E_INSUFFICIENT}:
                hopeless.append(entry.id)
        self._pool.park(hopeless)
        return bool(hopeless)

    def _refusal_of(self, parsed: Parsed, entry: Entry[Parsed]) -> Refusal | None:
        """Say why there is no room for it; nothing that waits is summed up for that."""
        if parsed.id in self._verifying:
            return Refusal(Code.E_DUPLICATE, "", "just being verified")
        if self._verifying.is_full:
            return Refusal(Code.E_POOL_FULL, "", "too many transactions are being verified")
        sender = parsed.tx.sender
        on_the_way = self._verifying.count_of(sender)
        if on_the_way and on_the_way + self._pool.count_of(sender) >= self._per_account_max:
            message = f"{on_the_way} transactions of this account are being verified"
            return Refusal(Code.E_QUEUE_FULL, "sender", message)
        next_nonce = self.nonce_of(sender)
        if parsed.tx.nonce >= next_nonce:
            return self._pool.refusal_of(entry, next_nonce=next_nonce)
        return None

    def _check_admission(self, parsed: Parsed, promised: int) -> Refusal | None:
        """Ask the ledger, counting what waits before this one as spent already."""
        state, height = self._chain.state, self._chain.next_height
        return check_admission(state, parsed, height=height, promised=promised)

    def _entry(self, parsed: Parsed) -> Entry[Parsed]:
        """Describe a transaction to the pool; it is ranked by tip per gas."""
        tx = parsed.tx
        price, spent = price_of(parsed), spending(self._chain.state, parsed)
        size = len(parsed.raw)
        return Entry(parsed.id, tx.sender, tx.nonce, tx.valid_until, price, size, spent, parsed)

    def _take(self, item: Item, entry: Entry[Parsed]) -> Refusal | None:
        """Pool and relay a verified transaction; much may have changed since it was admitted."""
        parsed, tx = item.parsed, item.parsed.tx
        promised = self._pool.promised(tx.sender, before_nonce=tx.nonce)
        if item.height != self._chain.height or item.promised != promised:
            refusal = self._check_admission(parsed, promised)
            if refusal is not None:
                return refusal
        next_nonce = self.nonce_of(tx.sender)
        refusal = self._pool.add(entry, next_nonce=next_nonce)
        if refusal is not None and refusal.code is Code.E_POOL_FULL and self._sweep():
            refusal = self._pool.add(entry, next_nonce=next_nonce)
        if refusal is None:
            self._relay.add(parsed.id, parsed.raw, source=item.source)
        return refusal

    def _finish(self, item: Item, request: Request, refusal: Refusal | None) -> None:
        parsed = item.parsed
        accepted = parsed.raw if refusal is None else None
        request.settle(item.slot, outcome_of(parsed.id, refusal), accepted=accepted)
        if refusal is None:
            self._paces.pay(parsed.tx.sender, tokens=1, now_ms=self._out.now_ms)
            self._own[parsed.id] = None
            if len(self._own) > self._own_max:
                self._forget_final()

    def _forget_final(self) -> None:
        self._own = {tx_id: None for tx_id in self._own if tx_id in self._pool}
        self._own_max = max(OWN_MAX, 2 * len(self._own))
