"""Which messages of accounts does this node take, pass on and hand out, each of them once?

A client or a peer brings one; it is read, judged by the ledger's word on its sender, and by what
that sender and that topic may say; its signatures are verified; then it is handed to who listens
here, and passed on. Nothing of it is on a block or on disk, and all of it is bounded: what is too
much is refused to a client, and dropped when it comes from a peer. Do not add listeners here.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from aitbc_node import limits
from aitbc_node.answering import outcome_of
from aitbc_node.chain import Chain
from aitbc_node.codes import Code, Refusal
from aitbc_node.crypto import sha256
from aitbc_node.errors import PeerFault
from aitbc_node.events import Reply, Verified, Verify
from aitbc_node.ledger.accounts import policy_for
from aitbc_node.ledger.policy import check_signers
from aitbc_node.letters import Sealed, read_letter
from aitbc_node.mesh import Mesh
from aitbc_node.outbox import Outbox
from aitbc_node.paces import Paces, PeerPaces
from aitbc_node.posting import Published
from aitbc_node.types import Address, Hash, Height, PeerId, TxId

_PEER_FAULTS = frozenset({Code.E_MALFORMED, Code.E_SIZE, Code.E_CHAIN})
"""Refusals that an honest peer would have found itself, whatever its state of the chain."""


class _Waiting(msgspec.Struct):
    """Follow one message through its verification, with the clients that wait for it."""

    sealed: Sealed
    source: PeerId | None
    requests: list[int]


class Broker:
    """Take messages of accounts from clients and peers."""

    def __init__(self, outbox: Outbox, chain: Chain, mesh: Mesh) -> None:
        self._out = outbox
        self._chain = chain
        self._mesh = mesh
        # What one node took of its clients all others take of it, though their clocks differ. Who
        # hands in at more than two nodes at full rate loses some.
        self._client_paces, self._peer_paces = Paces(1), Paces(2)
        self._passed_on = PeerPaces()
        self._seen: dict[Hash, Address] = {}
        self._ends: dict[Height, list[Hash]] = {}
        self._counts: dict[Address, int] = {}
        self._swept = Height(0)
        self._under_way: dict[Hash, _Waiting] = {}
        self._under_way_of: Counter[Address] = Counter()
        self._checks = 0
        self._batches: dict[int, list[_Waiting]] = {}
        self._number = 0
        self.taken = 0
        self.repeated = 0
        self.refused = 0
        """Messages of peers that are not passed on, for whatever reason."""

    def publish(self, event: Published, trouble: Refusal | None = None) -> None:
        """Take a message of a client, and answer once it is verified; twice is as good as once.

        With `trouble` this node can judge none now, and says so.
        """
        if trouble is not None:
            self._answer(event.request, sha256(event.raw), trouble)
            return
        self._sweep()
        sealed = read_letter(event.raw)
        if isinstance(sealed, Refusal):
            self._answer(event.request, sha256(event.raw), sealed)
        elif sealed.id in self._seen:
            self._answer(event.request, sealed.id, None)
        elif sealed.id in self._under_way:
            self._under_way[sealed.id].requests.append(event.request)
        elif refusal := self._refusal(sealed, None):
            self._answer(event.request, sealed.id, refusal)
        else:
            self._verify([self._begin(sealed, None, [event.request])])

    def hear(self, peer: PeerId, raws: Sequence[bytes]) -> None:
        """Take messages that a peer passes on. Raises: PeerFault for what no honest peer does."""
        self._sweep()
        found: list[_Waiting] = []
        fault = ""
        for raw in raws:
            if not self._passed_on.take(peer, size=len(raw), now_ms=self._out.now_ms):
                self.refused += 1
                continue
            name = sha256(raw)
            if name in self._seen or name in self._under_way:
                self.repeated += 1  # known by its bytes, so it costs next to nothing
                continue
            sealed = read_letter(raw)
            refusal: Refusal | None
            if isinstance(sealed, Refusal):
                refusal = sealed
            elif (refusal := self._refusal(sealed, peer)) is None:
                found.append(self._begin(sealed, peer, []))
                continue
            self.refused += 1
            if refusal.code in _PEER_FAULTS:
                fault = f"a message refused as {refusal.code}: {refusal.message}"
                break
        if found:
            self._verify(found)
        if fault:
            raise PeerFault(fault)

    def owns(self, event: Verified) -> bool:
        """Tell whether verdicts are on messages: their batches are below zero."""
        return event.batch < 0

    def on_verified(self, event: Verified) -> tuple[PeerId, ...]:
        """Hand out and pass on what is good; return who passed on what is not."""
        verdicts = iter(event.good)
        culprits: dict[PeerId, None] = {}
        for item in self._batches.pop(event.batch):
            self._end(item.sealed)
            # A list, not a generator: every verdict must be consumed, also after a bad one.
            if all([next(verdicts) for _ in item.sealed.sigs]):  # noqa: C419 - see above
                self._finish(item, self._take(item))
            else:
                if item.source is not None:
                    culprits[item.source] = None
                self._finish(item, Refusal(Code.E_SIGNATURE, "sigs", "a signature is false"))
        return tuple(culprits)

    def greet(self, peer: PeerId) -> None:
        """Begin to tell a new peer of messages to accounts that it may have missed."""
        self._mesh.courier.greet(peer)
        self._tell((peer,))  # the others have a pace of their own

    def claimed(self, peer: PeerId, height: Height) -> None:
        """Hear how high a peer is: who has caught up is told anew what it could not judge."""
        self._mesh.courier.claimed(peer, height, own=self._chain.height)

    def tick(self) -> None:
        """Go on telling those who came, or have caught up."""
        self._tell(self._mesh.courier.creditors)

    def _tell(self, peers: tuple[PeerId, ...]) -> None:
        self._sweep()
        self._out.extend(self._mesh.courier.tell(peers, self._out.now_ms))

    def _refusal(self, sealed: Sealed, source: PeerId | None) -> Refusal | None:
        """Judge all that costs no signature; a peer may be some blocks ahead of this node."""
        letter, height = sealed.letter, self._chain.height
        ahead = limits.LETTER_BLOCKS_MAX * (1 if source is None else 2)
        if letter.chain_id != self._chain.chain_id:
            message = f"made for chain '{letter.chain_id}', this is '{self._chain.chain_id}'"
            return Refusal(Code.E_CHAIN, "chain_id", message)
        if letter.valid_until < height:
            message = f"was valid until height {letter.valid_until}, this is {height}"
            return Refusal(Code.E_EXPIRED, "valid_until", message)
        if letter.valid_until > height + ahead:
            message = f"{letter.valid_until} is more than {ahead} blocks ahead"
            return Refusal(Code.E_TOO_FAR, "valid_until", message)
        account = self._chain.state.account(letter.sender)
        if account is None:
            return Refusal(Code.E_UNKNOWN, "sender", "the ledger knows no such account")
        policy = policy_for(account, letter)
        if isinstance(policy, Refusal):
            return policy
        if refusal := check_signers(policy, sealed.signers):
            return refusal
        if self._checks >= limits.LETTER_CHECKS_MAX:
            return Refusal(Code.E_RATE, "", "too many messages are being verified")
        if self._under_way_of[letter.sender] >= limits.LETTERS_CHECKED_PER_ACCOUNT_MAX:
            return Refusal(Code.E_RATE, "sender", "too many of this account are being verified")
        return self._too_much(sealed, self._paces(source))

    def _paces(self, source: PeerId | None) -> Paces:
        return self._client_paces if source is None else self._peer_paces

    def _too_much(self, sealed: Sealed, paces: Paces) -> Refusal | None:
        if len(self._seen) >= limits.LETTERS_SEEN_MAX:
            return Refusal(Code.E_RATE, "", "too many messages have not ended yet")
        most = limits.LETTERS_PER_ACCOUNT_MAX
        if len(self._seen) >= limits.LETTERS_SEEN_MAX // 2:
            most = limits.LETTERS_PER_ACCOUNT_CROWDED_MAX
        if self._counts.get(sealed.letter.sender, 0) >= most:
            message = f"{most} of this account have not ended yet"
            return Refusal(Code.E_RATE, "sender", message)
        return paces.refusal(sealed, self._out.now_ms)

    def _begin(self, sealed: Sealed, source: PeerId | None, requests: list[int]) -> _Waiting:
        """Count one as under way."""
        item = self._under_way[sealed.id] = _Waiting(sealed, source, requests)
        self._under_way_of[sealed.letter.sender] += 1
        self._checks += len(sealed.sigs)
        return item

    def _end(self, sealed: Sealed) -> None:
        """Count one as judged."""
        del self._under_way[sealed.id]
        self._checks -= len(sealed.sigs)
        sender = sealed.letter.sender
        self._under_way_of[sender] -= 1
        if not self._under_way_of[sender]:
            del self._under_way_of[sender]

    def _verify(self, batch: list[_Waiting]) -> None:
        self._number -= 1
        self._batches[self._number] = batch
        checks = tuple(check for item in batch for check in item.sealed.checks)
        self._out.add(Verify(self._number, checks))

    def _take(self, item: _Waiting) -> Refusal | None:
        """Hand out and pass on one that is good, unless too many of its kind came beside it.

        Its sender pays in both cases, or the rates would not bound how many signatures are checked.
        """
        sealed = item.sealed
        letter = sealed.letter
        paces = self._paces(item.source)
        refusal = self._too_much(sealed, paces)
        paces.pay_for_checks(sealed, self._out.now_ms)
        if refusal is not None:
            return refusal
        paces.pay(sealed, self._out.now_ms)
        self._seen[sealed.id] = letter.sender
        self._ends.setdefault(letter.valid_until, []).append(sealed.id)
        self._counts[letter.sender] = self._counts.get(letter.sender, 0) + 1
        self.taken += 1
        self._out.add(sealed.delivered)
        self._mesh.courier.add(sealed.id, sealed.raw, source=item.source)
        if letter.to is not None:
            self._mesh.courier.mailbox.keep(sealed.id, sealed.raw, valid_until=letter.valid_until)
        return None

    def _finish(self, item: _Waiting, refusal: Refusal | None) -> None:
        self.refused += refusal is not None and item.source is not None
        for request in item.requests:
            self._answer(request, item.sealed.id, refusal)

    def _answer(self, request: int, name: Hash, refusal: Refusal | None) -> None:
        self._out.add(Reply(request, (outcome_of(TxId(name), refusal),)))

    def _sweep(self) -> None:
        """Forget what has ended, once per height and only where there is something."""
        height = self._chain.height
        if height == self._swept or not self._seen:
            return
        self._swept = height
        for last in [last for last in self._ends if last < height]:
            for name in self._ends.pop(last):
                sender = self._seen.pop(name)
                left = self._counts.pop(sender) - 1
                if left:
                    self._counts[sender] = left
        self._mesh.courier.mailbox.advance(height)
