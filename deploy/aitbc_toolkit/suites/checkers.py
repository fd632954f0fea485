"""Do the invariants hold in what was seen of a live mesh? Each checker judges one history.

Pure: a history goes in, violations come out, an empty list is a pass. A checker that throws is
*unknown*, never a pass; the caller sees to that. Do not add reading here: `history.py` does it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from aitbc_node.rpc import schema

_SHORT = 12


@dataclass(frozen=True, slots=True)
class BlockFact:
    """Hold what one node says of one final block."""

    id: str
    state_root: str
    tx_ids: tuple[str, ...]
    time_ms: int | None = None
    guilty: tuple[str, ...] = ()
    """Keys that the block proves to have signed twice."""


@dataclass(slots=True)
class History:
    """Hold what every node said: blocks and audits, fates by transaction, heights in time.

    Shape: `offences` are pairs of conflicting votes that a node has seen, before and after;
    `accepted` maps each transaction that a node took to whether any node knows it at the end.
    """

    blocks: dict[str, dict[int, BlockFact]] = field(default_factory=dict)
    audits: dict[str, schema.AuditAnswer] = field(default_factory=dict)
    fates: dict[str, dict[str, schema.TxView]] = field(default_factory=dict)
    heights: dict[str, list[int]] = field(default_factory=dict)
    offences: dict[str, tuple[int, int]] = field(default_factory=dict)
    accepted: dict[str, bool] = field(default_factory=dict)


Checker = Callable[[History], list[str]]


def agreement(history: History) -> list[str]:
    """Find heights at which two nodes hold different blocks final."""
    return list(_differences(history, "block", lambda fact: fact.id))


def state_root_equal(history: History) -> list[str]:
    """Find heights at which two nodes hold different states."""
    return list(_differences(history, "state root", lambda fact: fact.state_root))


def height_monotone(history: History) -> list[str]:
    """Find nodes whose final height went back between two looks."""
    return [
        f"{name} went back from height {before} to {after}"
        for name, seen in history.heights.items()
        for before, after in pairwise(seen)
        if after < before
    ]


def time_monotone(history: History) -> list[str]:
    """Find blocks that are not later than the one below them."""
    return [
        f"{name}: block {height} is of {fact.time_ms}, the one below of {below.time_ms}"
        for name, blocks in history.blocks.items()
        for height, fact in blocks.items()
        if (below := blocks.get(height - 1)) is not None
        and fact.time_ms is not None
        and below.time_ms is not None
        and fact.time_ms <= below.time_ms
    ]


def supply_conserved(history: History) -> list[str]:
    """Find money out of nowhere: a node's own audit, and supplies that differ above one block.

    Where nodes hold different blocks, `agreement` says so, and each side has a supply of its own.
    """
    found = [
        f"{name} at height {audit.height}: {line}"
        for name, audit in history.audits.items()
        for line in audit.violations
    ]
    by_height: dict[int, dict[str, Mapping[str, str]]] = defaultdict(dict)
    for name, audit in history.audits.items():
        by_height[audit.height][name] = audit.supply
    for height, supplies in by_height.items():
        found += _supplies_differ(history, height, supplies)
    return found


def no_double_sign(history: History) -> list[str]:
    """Find nodes that saw a validator sign two things for one step."""
    return [
        f"{name} saw {after - before} pairs of conflicting votes or proposals"
        for name, (before, after) in history.offences.items()
        if after > before
    ]


def accepted_tx_final(history: History) -> list[str]:
    """Find transactions that a node took and that nobody knows any more: those are lost."""
    return [
        f"transaction {tx[:_SHORT]} was accepted, and no node knows it"
        for tx, is_known in history.accepted.items()
        if not is_known
    ]


def tx_once(history: History) -> list[str]:
    """Find transactions in two blocks, in another block than told, or with different fates."""
    return [*_twice(history), *_misplaced(history), *_told_differently(history)]


CHECKERS: Mapping[str, Checker] = {
    "agreement": agreement,
    "state_root_equal": state_root_equal,
    "height_monotone": height_monotone,
    "time_monotone": time_monotone,
    "supply_conserved": supply_conserved,
    "no_double_sign": no_double_sign,
    "accepted_tx_final": accepted_tx_final,
    "tx_once": tx_once,
}


def has_changed(history: History) -> bool:
    """Tell whether the state changed at all while it was watched: else equal roots say nothing."""
    roots = {fact.state_root for blocks in history.blocks.values() for fact in blocks.values()}
    return len(roots) > 1


def _supplies_differ(
    history: History, height: int, supplies: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    facts = {name: history.blocks.get(name, {}).get(height) for name in supplies}
    firsts: dict[str, str] = {}
    for name in sorted(supplies, key=lambda each: facts[each] is None):
        fact = facts[name]
        side = next(iter(firsts), "") if fact is None else fact.id
        first = firsts.setdefault(side, name)
        if supplies[name] != supplies[first]:
            one, other = dict(supplies[first]), dict(supplies[name])
            yield f"height {height}: supply of {first} is {one}, of {name} {other}"


def _differences(history: History, what: str, key: Callable[[BlockFact], str]) -> Iterator[str]:
    by_height: dict[int, dict[str, str]] = defaultdict(dict)
    for name, blocks in history.blocks.items():
        for height, fact in blocks.items():
            by_height[height][name] = key(fact)
    for height, told in sorted(by_height.items()):
        if len(set(told.values())) > 1:
            rows = ", ".join(f"{name} {value[:_SHORT]}" for name, value in told.items())
            yield f"{what} of height {height} differs: {rows}"


def _twice(history: History) -> Iterator[str]:
    for name, blocks in history.blocks.items():
        counts = Counter(tx for fact in blocks.values() for tx in fact.tx_ids)
        for tx, count in counts.items():
            if count > 1:
                yield f"transaction {tx[:_SHORT]} is {count} times in the blocks of {name}"


def _misplaced(history: History) -> Iterator[str]:
    for tx, told in history.fates.items():
        for name, fate in told.items():
            fact = history.blocks.get(name, {}).get(fate.height or 0)
            if fact is not None and (
                fate.index is None or fact.tx_ids[fate.index : fate.index + 1] != (tx,)
            ):
                where = f"block {fate.height}, index {fate.index}"
                yield f"{name} says that transaction {tx[:_SHORT]} is in {where}; it is not"


def _told_differently(history: History) -> Iterator[str]:
    for tx, told in history.fates.items():
        ends = {name: fate for name, fate in told.items() if fate.status != "pending"}
        if len({_fate(fate) for fate in ends.values()}) > 1:
            rows = ", ".join(f"{name} {fate.status} {fate.code}" for name, fate in ends.items())
            yield f"transaction {tx[:_SHORT]} ended differently: {rows}"


def _fate(fate: schema.TxView) -> tuple[object, ...]:
    events = tuple(tuple(event) for event in fate.events)
    return fate.status, fate.height, fate.index, fate.code, fate.fee, events
