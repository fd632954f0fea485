"""Whom should this node dial next, and which of its links make room for others?

The operator's peers come first, and for a validator those of the other validators. The rest is a
mix, in turn: one drawn at random, which keeps the mesh in one piece, the nearest one, which keeps
ways short in time, and one that few peers are linked with, so that nobody hangs on few links. A
host that has no link yet is preferred to one that has. Pure functions over book and links. Do not
add dialling itself.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from aitbc_node import limits
from aitbc_node.gossip.book import Book, Draw
from aitbc_node.gossip.entries import Entry
from aitbc_node.gossip.subnets import host_of
from aitbc_node.types import PeerId

INBOUND_COMFORT = 16
"""With more links than this from others, those go that need them least: newcomers find room, and
who is let go links with another that has few."""
DEGREE_RICH = 16
"""A link with who has more than this adds little to the mesh."""
assert INBOUND_COMFORT + limits.OUTBOUND_MAX <= limits.PEERS_MAX // 2
DEGREE_ENOUGH = 2 * limits.DEGREE_MIN
"""A peer with so many links is not hurt by losing one."""
AGE_MS_MIN = 30_000
"""A link that is younger has not shown what it is worth."""
POOR_MAX = 8
"""So many are spared because they say that they have few links: to say so costs a liar nothing."""
STRANGE_DIAL_MS = 250
"""Who was never met is dialled so often in the long run, and a few at once after a pause."""
ANCHORS = 2
"""So many of the own links, the oldest, are never given up for others: liars come later."""
assert POOR_MAX < INBOUND_COMFORT


class Held(msgspec.Struct, frozen=True):
    """Show one link to who chooses; `degree` is how many links the peer says it has.

    Who `is_kept` does not make room: the operator named it, or it is of a validator. `crowd` is the
    network that the link really comes from, which is not for the peer to say.
    """

    peer: PeerId
    address: str
    crowd: str
    outbound: bool
    rtt_ms: int | None
    age_ms: int
    degree: int
    is_kept: bool


class StrangeDials:
    """Bound how often nodes are dialled that were never met: anybody can tell of anything."""

    def __init__(self) -> None:
        self._next_ms = 0

    def may(self, entry: Entry, now_ms: int) -> bool:
        """Count a dial; False when it is one too many just now. Others are free."""
        if entry.named or entry.vouched or entry.met_ms is not None:
            return True
        if self._next_ms > now_ms + (limits.OUTBOUND_TARGET - 1) * STRANGE_DIAL_MS:
            return False
        self._next_ms = max(self._next_ms, now_ms) + STRANGE_DIAL_MS
        return True


def dials(
    book: Book,
    outbound: Sequence[str],
    *,
    may_dial: Callable[[Entry], bool],
    fame: Callable[[PeerId], int],
    draw: Draw,
) -> list[Entry]:
    """Name who is to be dialled now; `outbound` are where the links lead that were dialled.

    `fame` tells how many of the peers say that they are linked with a node.
    """
    room = limits.OUTBOUND_MAX - len(outbound) - len(book.dialling)
    if room <= 0:
        return []
    chosen = []
    for entry in book.near:
        if may_dial(entry):
            chosen.append(entry)
            if len(chosen) == room:
                return chosen
    # A near peer that did not answer keeps its dial, but takes nobody else's place.
    hopeful = sum(entry.attempts == 0 for entry in chosen)
    hopeful += sum(
        entry.attempts == 0 or entry not in book.near for entry in book.dialling.values()
    )
    count = min(room - len(chosen), limits.OUTBOUND_TARGET - len(outbound) - hopeful)
    if count > 0:
        far = [entry for entry in book.far() if may_dial(entry)]
        if far:
            chosen += _mixed(far, outbound, count=count, fame=fame, draw=draw)
    return chosen


def _mixed(
    candidates: list[Entry],
    outbound: Sequence[str],
    *,
    count: int,
    fame: Callable[[PeerId], int],
    draw: Draw,
) -> Iterator[Entry]:
    hosts = Counter(map(host_of, outbound))

    def fame_of(entry: Entry) -> int:
        return fame(entry.peer)

    for place in range(len(outbound), len(outbound) + count):
        if not candidates:
            return
        worth = (_any, _nearness, fame_of)[place % 3]

        def rank(
            entry: Entry, *, worth: Callable[[Entry], int] = worth
        ) -> tuple[int, int, int, bytes]:
            crowd = hosts[host_of(entry.address)]
            return crowd, min(entry.attempts, 8), worth(entry), draw(entry.peer, entry.attempts)

        best = min(candidates, key=rank)
        candidates.remove(best)
        hosts[host_of(best.address)] += 1
        yield best


def _any(_entry: Entry) -> int:
    return 0


def _nearness(entry: Entry) -> int:
    return limits.INT_MAX if entry.rtt_ms is None else entry.rtt_ms


def to_replace(
    links: Sequence[Held], *, candidates: int, degree_min: int = DEGREE_ENOUGH
) -> PeerId | None:
    """Name the outbound link that is worth least, if another peer could take its place.

    Slow ones go first. Nobody is let go who has no more than so many links, and nobody at all while
    this node itself has few; the oldest links stay.
    """
    outbound = sorted((link for link in links if link.outbound), key=_youth)
    if not candidates or len(outbound) < limits.OUTBOUND_TARGET:
        return None
    spare = [link for link in outbound[ANCHORS:] if _is_spare(link) and link.degree > degree_min]
    if not spare:
        return None
    hosts = Counter(host_of(link.address) for link in outbound)
    return max(spare, key=lambda link: (hosts[host_of(link.address)], link.rtt_ms or 0)).peer


def to_let_go(links: Iterable[Held]) -> PeerId | None:
    """Name the inbound link that makes room for a newcomer; None while there is enough.

    The youngest of the largest crowd goes; a few of those that say they have few links are spared
    as long as there are others of a crowd as large.
    """
    inbound = _strangers(links)
    if len(inbound) <= INBOUND_COMFORT:
        return None
    poor = frozenset(link.peer for link in [link for link in inbound if _is_poor(link)][:POOR_MAX])
    old = [link for link in inbound if link.age_ms >= AGE_MS_MIN]
    if all(link.peer in poor for link in old):
        return None
    return _most_crowded(old, inbound, poor)


def to_evict(links: Iterable[Held]) -> PeerId | None:
    """Name the inbound link that goes at once, because those who are kept lack a place."""
    inbound = _strangers(links)
    return _most_crowded(inbound, inbound, frozenset())


def _strangers(links: Iterable[Held]) -> list[Held]:
    """Return the inbound links that may be let go at all, the oldest first."""
    return sorted((link for link in links if not link.outbound and not link.is_kept), key=_youth)


def _most_crowded(
    candidates: Sequence[Held], inbound: Sequence[Held], spared: frozenset[PeerId]
) -> PeerId | None:
    crowds = Counter(link.crowd for link in inbound)

    def rank(link: Held) -> tuple[int, bool, int]:
        return crowds[link.crowd], link.peer not in spared, _youth(link)

    return max(candidates, key=rank).peer if candidates else None


def _youth(link: Held) -> int:
    return -link.age_ms


def _is_poor(link: Held) -> bool:
    return link.degree <= DEGREE_ENOUGH


def _is_spare(link: Held) -> bool:
    return not link.is_kept and not _is_poor(link) and link.age_ms >= AGE_MS_MIN
