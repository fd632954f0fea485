"""Which nodes does this one know of, and when may each be dialled next?

Bootstrap peers are named by the operator and never forgotten. Of all others only signed records are
kept: so many in all, so many of one network, so many on the word of one peer. Identities that cost
nothing can fill the book, but not for long: whom this node never reached itself makes room for who
is linked. Do not add who of them is chosen.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from aitbc_node import limits
from aitbc_node.gossip.entries import (
    PER_SUBNET_MAX,
    PER_TELLER_MAX,
    Crowds,
    Entry,
    is_home,
    to_disbelieve,
    to_forget,
)
from aitbc_node.gossip.places import Places
from aitbc_node.gossip.records import PeerRecord, is_timely
from aitbc_node.gossip.subnets import Subnets
from aitbc_node.types import PeerId

KNOWN_MAX = 1_000
FORGOTTEN_ATTEMPTS = 40
"""After so many dials in vain a peer that nobody vouches for is forgotten in any case."""
HOPEFUL_ATTEMPTS = 20
"""Who was linked is dialled about as often as a bootstrap peer for so many dials in vain."""
SELDOM_CAP_MS = 30_000
"""Who never was linked, or not for long, is dialled this seldom at last."""
REST_MS = 60_000
"""Who was let go to make room is not dialled again so soon."""
DIAL_LOST_MS = 10_000
"""A dial that the driver never answered counts as failed after this time."""
YIELD_MS = 250
"""Of two nodes that know each other the one with the greater id dials this much later."""

assert PER_TELLER_MAX + PER_SUBNET_MAX < KNOWN_MAX

Draw = Callable[[PeerId, int], bytes]


class Book:
    """Hold the entries of one node."""

    def __init__(
        self,
        own_id: PeerId,
        bootstrap: Iterable[tuple[PeerId, str]],
        *,
        draw: Draw,
        votes: bool = False,
        subnets: Subnets | None = None,
    ) -> None:
        self._own_id = own_id
        self._draw = draw
        self._votes = votes
        self._subnets = subnets or Subnets()
        self._crowds = Crowds(self._subnets)
        self._entries: dict[PeerId, Entry] = {}
        self._linked: dict[PeerId, bool] = {}
        """Who is linked now, and whether this node dialled."""
        self._sources: dict[PeerId, str] = {}
        """Where the links of those come from who came themselves."""
        for peer, address in sorted(bootstrap, key=lambda row: draw(row[0], 0)):
            if peer != own_id:
                entry = Entry(peer, named=address, dial_at_ms=self._yield_ms(peer))
                self._entries[peer] = entry
        self.named = tuple(self._entries.values())
        self.near = self.named
        """Whom this node wants a link with before all others, in the order of the first dials: the
        operator's peers and, where this node votes, those of other validators."""
        self.dialling: dict[PeerId, Entry] = {}
        self.struck: set[PeerId] = set()
        """Whose keys have ended; nobody can bring them back."""
        self._bootstrap = {entry.peer: entry.named for entry in self.named}
        self._places = Places(self._may_stand)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, peer: PeerId) -> Entry | None:
        """Return what is known of a peer."""
        return self._entries.get(peer)

    def is_named(self, peer: PeerId) -> bool:
        """Tell whether the operator named a peer, which strangers cannot imitate."""
        entry = self._entries.get(peer)
        return entry is not None and bool(entry.named)

    def source(self, peer: PeerId) -> Literal["bootstrap", "ledger", "peers", "itself"]:
        """Say who told of a peer: the operator, the ledger, a record, or nobody but itself."""
        entry = self._entries.get(peer)
        if entry is None:
            return "itself"
        if entry.named:
            return "bootstrap"
        return "ledger" if entry.vouched else "peers"

    def is_kept(self, peer: PeerId) -> bool:
        """Tell whether a link to a peer is kept, whoever else wants its place."""
        entry = self._entries.get(peer)
        return entry is not None and self._is_near(entry)

    # What is learned.

    def is_news(self, record: PeerRecord) -> bool:
        """Tell whether a record says more than what is here; its signature is worth a look then."""
        peer = record.peer
        if not self._may_stand(peer):
            return False
        entry = self._entries.get(peer)
        known = None if entry is None else entry.record
        return known is None or record.made_ms > known.made_ms

    def learn(
        self, record: PeerRecord, *, teller: PeerId | None, now_ms: int, vouched: bool = False
    ) -> bool:
        """Take a record that was judged good; False when there is no room for it.

        Who has told too much already, or too much of one network, is not believed any further.
        """
        peer = record.peer
        assert peer != self._own_id, "this node knows itself"
        entry = self._entries.get(peer)
        if entry is None:
            entry = self._admit(record, teller=None if vouched else teller, vouched=vouched)
            if entry is None:
                return False
            entry.dial_at_ms = now_ms + self._yield_ms(peer)
        elif entry.record is None or record.made_ms > entry.record.made_ms:
            moved = entry.record is None or entry.record.addresses != record.addresses
            before, entry.record = entry.record, record
            if moved and not vouched and not self._finds_room(entry, teller):
                entry.record = before
                return False
            if moved:
                self._crowds.recount(entry)
                entry.attempts, entry.dial_at_ms = 0, min(entry.dial_at_ms, now_ms)
        if vouched:
            self._crowds.believe(entry)
            entry.vouched = True
        return True

    def vouch(self, records: Iterable[PeerRecord], now_ms: int) -> None:
        """Take whom the ledger names now; who is not named any more is one of many again."""
        named = {record.peer: record for record in records if self._may_stand(record.peer)}
        for entry in self._entries.values():
            entry.vouched = entry.vouched and entry.peer in named
        for record in named.values():
            self.learn(record, teller=None, now_ms=now_ms, vouched=True)
        self._find_near()

    def strike(self, peer: PeerId) -> None:
        """Forget for good a node whose key has ended, even one that the operator named."""
        self.struck.add(peer)
        self._drop(peer)

    def hand_on(self, heirs: Mapping[PeerId, PeerId]) -> list[PeerId]:
        """Let the operator's word for nodes that ended be good for who is in their places now.

        Return who was in one until now, and is nobody in particular any more.
        """
        lost = self._places.change(heirs)
        named = {peer: at for peer, at in self._bootstrap.items() if peer not in self.struck}
        for peer, address in self._bootstrap.items():
            heir = self._places.heir_of(peer)
            if heir is not None:
                named.setdefault(heir, address)
        for peer in [entry.peer for entry in self.named if entry.peer not in named]:
            self._drop(peer)
        for peer, address in named.items():
            entry = self._entries.get(peer)
            if entry is None or entry.named != address:
                self._name(peer, address)
        return [peer for peer in lost if peer not in named]

    def heirs_of(self, peers: Iterable[PeerId]) -> set[PeerId]:
        """Name who is in the place of some of these now, because their keys have ended."""
        found = (self._places.heir_of(peer) for peer in peers)
        return {heir for heir in found if heir is not None}

    def far(self) -> Iterator[Entry]:
        """Go through those that are not near."""
        if len(self._entries) > len(self.near):
            yield from (entry for entry in self._entries.values() if not self._is_near(entry))

    # What becomes of dials and links.

    def dial(self, entry: Entry, now_ms: int) -> None:
        """Remember that a dial is under way."""
        entry.dialled_ms = now_ms
        self.dialling[entry.peer] = entry

    def lost_dials(self, now_ms: int) -> list[PeerId]:
        """Name those whose dial was never answered."""
        return [
            entry.peer
            for entry in self.dialling.values()
            if entry.dialled_ms is not None and now_ms - entry.dialled_ms >= DIAL_LOST_MS
        ]

    def met(self, peer: PeerId, now_ms: int, rtt_ms: int | None = None) -> None:
        """Remember that a link to a peer stands; who only came is not where it says for that."""
        entry = self._entries.get(peer)
        if entry is None:
            return
        if self._linked.get(peer):
            self._crowds.believe(entry)
            entry.is_reached = True
        entry.met_ms = now_ms
        if rtt_ms is not None:
            entry.rtt_ms = rtt_ms

    def up(self, peer: PeerId, now_ms: int, *, outbound: bool = True, source: str = "") -> None:
        """Take a new link for the answer to a dial, whoever dialled."""
        self._linked[peer] = outbound
        self._sources[peer] = "" if outbound else source
        self.met(peer, now_ms)
        entry = self._entries.get(peer)
        if entry is not None:
            self._dial_is_over(entry)
            entry.attempts = 0

    def down(self, peer: PeerId) -> None:
        """Remember that no link to a peer stands."""
        self._linked.pop(peer, None)
        self._sources.pop(peer, None)

    def distrust(self, peer: PeerId) -> None:
        """Pass nobody on who did wrong, as if it had never been met."""
        entry = self._entries.get(peer)
        if entry is not None:
            entry.met_ms = None
            entry.is_reached = False

    def plan_dial(self, peer: PeerId, now_ms: int) -> None:
        """Wait twice as long after each failure, up to the cap, plus up to half as jitter.

        The jitter is drawn from the two ids and the attempt, so that a run can be repeated, yet two
        nodes that lost each other do not dial in step for ever.
        """
        entry = self._entries.get(peer)
        if entry is None:
            return
        self._dial_is_over(entry)
        is_hopeful = entry.met_ms is not None and entry.attempts < HOPEFUL_ATTEMPTS
        is_wanted = bool(entry.named) or entry.vouched or is_hopeful
        cap_ms = limits.REDIAL_CAP_MS if is_wanted else SELDOM_CAP_MS
        base = min(limits.REDIAL_BASE_MS << min(entry.attempts, 8), cap_ms)
        jitter = self._draw(peer, entry.attempts)[0] * base // 512
        entry.attempts += 1
        entry.dial_at_ms = now_ms + base + jitter + self._yield_ms(peer)
        entry.dial_at_ms = max(entry.dial_at_ms, entry.rests_until_ms)
        if entry.attempts >= FORGOTTEN_ATTEMPTS and not entry.is_remembered(now_ms):
            self._forget(entry)

    def rest(self, peer: PeerId, now_ms: int) -> None:
        """Leave a peer alone for a while: one of the two needed the place of their link."""
        entry = self._entries.get(peer)
        if entry is not None:
            entry.rests_until_ms = now_ms + REST_MS
            entry.dial_at_ms = max(entry.dial_at_ms, entry.rests_until_ms)

    def dial_all_now(self, now_ms: int) -> None:
        """Let nobody wait for the end of a delay: the operator knows that the network is back."""
        for entry in self._entries.values():
            entry.attempts = entry.rests_until_ms = 0
            entry.dial_at_ms = min(entry.dial_at_ms, now_ms)

    # What is passed on and kept.

    def sample(self, count: int, *, without: PeerId, now_ms: int, wall_ms: int) -> list[PeerRecord]:
        """Draw records of nodes that are linked or were reached lately; never of hearsay."""
        fresh = [
            entry.record
            for entry in self._entries.values()
            if entry.record is not None
            and entry.is_fresh(now_ms)
            and (entry.is_reached or entry.peer in self._linked)
            and entry.peer != without
            and is_timely(entry.record, wall_ms)
        ]
        if len(fresh) <= count:
            return fresh
        start = int.from_bytes(self._draw(without, now_ms)[:4], "big") % len(fresh)
        return [fresh[(start + step) % len(fresh)] for step in range(count)]

    def worth_keeping(self, count: int) -> Sequence[PeerRecord]:
        """Return records for the own file, those that were linked last first."""
        entries = [entry for entry in self._entries.values() if entry.record is not None]
        entries.sort(key=lambda entry: -1 if entry.met_ms is None else entry.met_ms, reverse=True)
        return [entry.record for entry in entries[:count] if entry.record is not None]

    # Room.

    def _admit(self, record: PeerRecord, *, teller: PeerId | None, vouched: bool) -> Entry | None:
        source = self._sources.get(teller, "") if teller else ""
        voice = self._crowds.voice_of(teller, source) if teller else ""
        entry = Entry(record.peer, record=record, teller=teller, voice=voice, vouched=vouched)
        if not self._crowds.is_heard(entry) or not self._finds_room(entry, teller):
            return None
        if len(self._entries) >= KNOWN_MAX and not self._make_room(entry):
            return None
        self._entries[entry.peer] = entry
        self._crowds.add(entry)
        return entry

    def _finds_room(self, entry: Entry, teller: PeerId | None) -> bool:
        """Let others keep nobody out of where it really comes from, by mere words."""
        source = self._sources.get(entry.peer, "") if entry.peer == teller else ""
        for crowd in self._crowds.full(entry):
            is_there = bool(source) and is_home(crowd, source, self._subnets)
            lie = to_disbelieve(self, self._linked, crowd) if is_there else None
            if lie is None:
                return False
            self._forget(lie)
        return True

    def _make_room(self, newcomer: Entry) -> bool:
        spare = to_forget(self, self._linked, newcomer)
        if spare is not None:
            self._forget(spare)
        return spare is not None

    def _drop(self, peer: PeerId) -> None:
        """Forget somebody even if the operator named it."""
        entry = self._entries.get(peer)
        if entry is not None:
            self._forget(entry)
            self.named = tuple(each for each in self.named if each is not entry)
            self.near = tuple(each for each in self.near if each is not entry)

    def _forget(self, entry: Entry) -> None:
        self._crowds.remove(entry)
        self._dial_is_over(entry)
        del self._entries[entry.peer]

    def _dial_is_over(self, entry: Entry) -> None:
        entry.dialled_ms = None
        self.dialling.pop(entry.peer, None)

    def _may_stand(self, peer: PeerId) -> bool:
        return peer != self._own_id and peer not in self.struck

    def _is_near(self, entry: Entry) -> bool:
        return bool(entry.named) or (entry.vouched and self._votes)

    def _find_near(self) -> None:
        if self._votes:
            self.near = tuple(entry for entry in self._entries.values() if self._is_near(entry))

    def _name(self, peer: PeerId, address: str) -> None:
        """Take the operator's word for a peer that he could not know."""
        entry = self._entries.setdefault(peer, Entry(peer))
        entry.named = address
        self._crowds.believe(entry)
        self._crowds.recount(entry)
        self.named = (*(each for each in self.named if each is not entry), entry)
        self.near = (*(each for each in self.near if each is not entry), entry)

    def _yield_ms(self, peer: PeerId) -> int:
        return 0 if self._own_id < peer else YIELD_MS
