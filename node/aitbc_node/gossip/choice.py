"""Whom should this node dial next, and which of its links make room for others?

The operator's peers come first, and for a validator those of the other validators. The rest is a
mix: every other place goes to a peer drawn at random, which keeps the mesh in one piece, and the
others to the nearest ones, which keeps paths short in time; a host that has no link yet is
preferred to one that has. Pure functions over book and links. Do not add dialling itself.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from aitbc_node import limits
from aitbc_node.gossip.book import Book, Draw
from aitbc_node.gossip.entries import Entry
from aitbc_node.gossip.subnets import host_of
from aitbc_node.types import PeerId

INBOUND_COMFORT = limits.PEERS_MAX - limits.OUTBOUND_MAX - limits.ROOM_MIN
"""With more links than this from others, those go that need them least: newcomers find room."""
DEGREE_ENOUGH = 2 * limits.DEGREE_MIN
"""A peer with so many links is not hurt by losing one."""
AGE_MS_MIN = 30_000
"""A link that is younger has not shown what it is worth."""


class Held(msgspec.Struct, frozen=True):
    """Show one link to who chooses; `degree` is how many links the peer says it has.

    Who `is_kept` does not make room: the operator named it, or it is of a validator.
    """

    peer: PeerId
    address: str
    outbound: bool
    rtt_ms: int | None
    age_ms: int
    degree: int
    is_kept: bool


def dials(
    book: Book,
    outbound: Sequence[str],
    *,
    may_dial: Callable[[Entry], bool],
    draw: Draw,
) -> list[Entry]:
    """Name who is to be dialled now; `outbound` are where the links lead that were dialled."""
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
        chosen += _mixed(far, outbound, count=count, draw=draw)
    return chosen


def _mixed(
    candidates: list[Entry], outbound: Sequence[str], *, count: int, draw: Draw
) -> Iterator[Entry]:
    hosts = Counter(map(host_of, outbound))
    for place in range(len(outbound), len(outbound) + count):
        if not candidates:
            return
        wants_near = place % 2 == 1

        def rank(entry: Entry, *, wants_near: bool = wants_near) -> tuple[int, int, int, bytes]:
            rtt_ms = entry.rtt_ms if wants_near and entry.rtt_ms is not None else limits.INT_MAX
            crowd = hosts[host_of(entry.address)]
            return crowd, min(entry.attempts, 8), rtt_ms, draw(entry.peer, entry.attempts)

        best = min(candidates, key=rank)
        candidates.remove(best)
        hosts[host_of(best.address)] += 1
        yield best


def to_replace(links: Sequence[Held], *, candidates: int) -> PeerId | None:
    """Name the outbound link that is worth least, if another peer could take its place.

    Slow ones go first. Nobody who would be left with few links is let go, and nobody at all while
    this node itself has few.
    """
    outbound = [link for link in links if link.outbound]
    if not candidates or len(outbound) < limits.OUTBOUND_TARGET:
        return None
    spare = [link for link in outbound if _is_spare(link)]
    if not spare:
        return None
    hosts = Counter(host_of(link.address) for link in outbound)
    return max(spare, key=lambda link: (hosts[host_of(link.address)], link.rtt_ms or 0)).peer


def to_let_go(links: Iterable[Held]) -> PeerId | None:
    """Name the inbound link that makes room for a newcomer; None while there is enough."""
    inbound = [link for link in links if not link.outbound and not link.is_kept]
    if len(inbound) <= INBOUND_COMFORT:
        return None
    spare = [link for link in inbound if _is_spare(link)]
    return max(spare, key=lambda link: link.degree).peer if spare else None


def _is_spare(link: Held) -> bool:
    return not link.is_kept and link.degree > DEGREE_ENOUGH and link.age_ms >= AGE_MS_MIN
