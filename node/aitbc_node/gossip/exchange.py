"""How do nodes tell each other of nodes?

Each end of a new link gives its own record and a few of those it was linked with lately; later one
asks the other now and then, soon while it has few links. What nobody asked for is not read, and too
much of it a fault; what a peer says of others counts only as far as those have signed it. Do not
add who is dialled.
"""

from collections.abc import Iterable, Sequence

from aitbc_node import limits
from aitbc_node.canonical import NotCanonicalError, decode, encode
from aitbc_node.crypto import Verifier
from aitbc_node.errors import PeerFault
from aitbc_node.events import Effect, Note, SavePeers
from aitbc_node.gossip.book import Book, Draw
from aitbc_node.gossip.messages import PeersKnown, PeersWanted, send
from aitbc_node.gossip.records import OwnRecord, PeerRecord, check, is_timely
from aitbc_node.gossip.subnets import kind_of
from aitbc_node.types import PeerId

ASK_MS = 30_000
ASK_SOON_MS = 2_000
ANSWER_MS = 1_000
"""A peer that asks more often than this gets no answer."""
SAVE_MS = 60_000
SAVE_SOON_MS = 5_000
"""While there are few in the file: a restart must not find less than was known."""


class Exchange:
    """Give and take records; without `own` this node does neither."""

    def __init__(
        self, book: Book, own: OwnRecord | None, *, chain_id: str, verify: Verifier, draw: Draw
    ) -> None:
        self._book = book
        self._own = own
        self._kinds = {"", *map(kind_of, own.addresses)} if own else {""}
        """Of which kinds addresses may be: loopback ones mean this host itself, except in a mesh
        of one host."""
        self._chain_id = chain_id
        self._verify = verify
        self._draw = draw
        self._owed: dict[PeerId, int] = {}
        """How many messages with records each linked peer may still send."""
        self._unasked: dict[PeerId, int] = {}
        """How many it sent beyond that: of two links that cross, both may be introduced on one."""
        self._answered_ms: dict[PeerId, int] = {}
        self._ask_at_ms = 0
        self._asked = 0
        self._save_at_ms = SAVE_SOON_MS
        self._saved: tuple[bytes, ...] = ()

    def restore(self, raws: Iterable[bytes], now_ms: int) -> None:
        """Take what the own file has; what is not right in it is left out."""
        for raw in raws:
            try:
                record = decode(raw, PeerRecord)
                check(record, self._chain_id, self._verify)
            except (NotCanonicalError, PeerFault):
                continue
            if self._book.is_news(record) and self._leads_somewhere(record):
                self._book.learn(record, teller=None, now_ms=now_ms)

    def own_record(self, wall_ms: int) -> bytes:
        """Return what this node says about itself; empty where it says nothing."""
        own = None if self._own is None else self._own.at(wall_ms)
        return b"" if own is None else encode(own)

    def up(self, peer: PeerId, *, now_ms: int, wall_ms: int) -> list[Effect]:
        """Begin with a new link: introduce this node, and some that it knows."""
        if self._own is None:
            return []
        self._owed[peer] = 1
        self._unasked.pop(peer, None)
        return self._records_for(peer, now_ms, wall_ms)

    def forget(self, peer: PeerId) -> None:
        """Drop what was agreed with a peer whose link is gone."""
        self._owed.pop(peer, None)
        self._unasked.pop(peer, None)
        self._answered_ms.pop(peer, None)

    def asked(self, peer: PeerId, *, now_ms: int, wall_ms: int) -> list[Effect]:
        """Answer a peer that looks for others, unless it had an answer just now."""
        last_ms = self._answered_ms.get(peer)
        if self._own is None or (last_ms is not None and now_ms - last_ms < ANSWER_MS):
            return []
        self._answered_ms[peer] = now_ms
        return self._records_for(peer, now_ms, wall_ms)

    def told(
        self, peer: PeerId, records: Sequence[PeerRecord], *, now_ms: int, wall_ms: int
    ) -> list[Effect]:
        """Take records that a peer passes on.

        Raises: PeerFault when nobody asked for so many, or one is such as no honest node passes on.
        """
        if self._own is None:
            return []
        if not self._owed.get(peer):
            self._unasked[peer] = self._unasked.get(peer, 0) + 1
            if self._unasked[peer] > limits.PEERS_OWED_MAX:
                raise PeerFault("peer records that nobody asked for, again and again")
            return []
        self._owed[peer] -= 1
        learned = sum(self._learn(peer, record, now_ms, wall_ms) for record in records)
        return [Note("peers.learned", (("count", learned),))] if learned else []

    def tick(self, linked: Sequence[PeerId], *, is_short: bool, now_ms: int) -> list[Effect]:
        """Ask a peer now and then, soon while links are short; keep what is known in the file."""
        if self._own is None:
            return []
        effects: list[Effect] = []
        self._ask_at_ms = min(self._ask_at_ms, now_ms + (ASK_SOON_MS if is_short else ASK_MS))
        if linked and now_ms >= self._ask_at_ms:
            self._ask_at_ms = now_ms + (ASK_SOON_MS if is_short else ASK_MS)
            self._asked += 1
            number = int.from_bytes(self._draw(linked[0], self._asked)[:4], "big")
            effects += self._ask(linked[number % len(linked)])
        if now_ms >= self._save_at_ms:
            effects += self._save()
            has_few = len(self._saved) < limits.OUTBOUND_MAX
            self._save_at_ms = now_ms + (SAVE_SOON_MS if has_few else SAVE_MS)
        return effects

    def ask_all(self, linked: Iterable[PeerId]) -> list[Effect]:
        """Ask everybody at once: the operator wants to know now."""
        if self._own is None:
            return []
        return [effect for peer in linked for effect in self._ask(peer)]

    def _ask(self, peer: PeerId) -> list[Effect]:
        self._owed[peer] = min(self._owed.get(peer, 0) + 1, limits.PEERS_OWED_MAX)
        return list(send((peer,), PeersWanted()))

    def _records_for(self, peer: PeerId, now_ms: int, wall_ms: int) -> list[Effect]:
        assert self._own is not None, "who takes part has something to say of itself"
        own = self._own.at(wall_ms)
        count = limits.PEER_RECORDS_MAX - 1
        known = self._book.sample(count, without=peer, now_ms=now_ms, wall_ms=wall_ms)
        return list(send((peer,), PeersKnown(tuple([own, *known] if own else known))))

    def _learn(self, teller: PeerId, record: PeerRecord, now_ms: int, wall_ms: int) -> bool:
        if not self._book.is_news(record):
            return False
        check(record, self._chain_id, self._verify)
        if not is_timely(record, wall_ms) or not self._leads_somewhere(record):
            return False
        learned = self._book.learn(record, teller=teller, now_ms=now_ms)
        if learned and record.peer == teller:
            self._book.met(teller, now_ms)
        return learned

    def _leads_somewhere(self, record: PeerRecord) -> bool:
        return all(kind_of(address) in self._kinds for address in record.addresses)

    def _save(self) -> list[Effect]:
        records = self._book.worth_keeping(limits.PEERS_KEPT_MAX)
        raws = tuple(sorted(encode(record) for record in records))
        if raws == self._saved:
            return []
        self._saved = raws
        return [SavePeers(raws)]
