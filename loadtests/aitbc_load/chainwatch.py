"""What do the blocks themselves say about a run, when a quorum of nodes is asked for them?

Pure. A height counts where nodes of more than two thirds of the power hold the same block there.
What the swarm was told over the events is compared with that; a difference is a violation, and
what could not be looked at is never a pass. Do not add how nodes are asked.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aitbc_load.books import EXPIRED, FINAL

HELD: Final = "held"
BROKEN: Final = "broken"
UNKNOWN: Final = "unknown"

AGREEMENT: Final = "agreement"
_NAMED_MAX = 3
_MS = 1000
_STEADY_MIN = 3
"""A rate needs so many blocks: two between which transactions came, and one before."""


@dataclass(frozen=True, slots=True)
class Block:
    """Hold what one node says of one height. Shape: ids in hexadecimal."""

    id: str
    time_ms: int
    tx_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """Hold the verdict on one promise of the mesh, and why."""

    name: str
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class Account:
    """Compare one account before, what blocks hold of ours, and after, as a quorum knows it.

    The blocks are read last, so what the account counts they hold; `undecided` of theirs may be
    newer than what was told of the account. Where heights were not read (`is_partial`), blocks may
    hold more of ours than is known here.
    """

    before: int
    ours: int
    after: int | None
    undecided: int = 0
    is_partial: bool = False

    @property
    def surplus(self) -> int:
        """Return how much more the account counts than blocks hold; below 0, how much less."""
        assert self.after is not None, "asked where a quorum told it"
        more = self.after - self.before - self.ours
        return more if more > 0 else min(0, more + self.undecided)

    @property
    def is_wrong(self) -> bool:
        """Tell whether it counts what cannot be, whatever lies in the heights not read."""
        return self.surplus < 0 if self.is_partial else self.surplus != 0


@dataclass(frozen=True, slots=True)
class Purse:
    """Compare one account's money before, what its receipts say that it spent, and after."""

    before: int
    spent: int | None
    after: int | None
    is_partial: bool = False
    """Heights were not read: it may have spent more than is known here."""

    @property
    def is_short(self) -> bool:
        """Tell whether something that was not read may be what it lacks."""
        assert self.spent is not None, "asked where all receipts are known"
        assert self.after is not None, "asked where a quorum told it"
        return self.is_partial and self.after < self.before - self.spent


Seen = Mapping[int, Mapping[str, Block]]
"""Each height, as each node that answered tells it."""


def agreed(seen: Seen, powers: Mapping[str, int]) -> dict[int, Block]:
    """Keep the heights at which a quorum holds the same block."""
    found = {}
    total = sum(powers.values())
    for height, told in seen.items():
        weights: Counter[str] = Counter()
        for node, block in told.items():
            weights[block.id] += powers[node]
        for block in told.values():
            if 3 * weights[block.id] > 2 * total:
                found[height] = block
                break
    return found


def rate(blocks: Mapping[int, Block], ended: Mapping[str, str]) -> float | None:
    """Return how many of ours a second became final, by the blocks' own times.

    From the first block that holds one of ours on, because those of the first came before it, and
    without what a few stragglers and a last, partly filled block would add to the time. None where
    that is no length of time.
    """
    counts = []
    for height in sorted(blocks):
        ours = sum(ended.get(each) == FINAL for each in blocks[height].tx_ids)
        if ours:
            counts.append((blocks[height].time_ms, ours))
    counts = _steady(counts)
    span_ms = counts[-1][0] - counts[0][0] if counts else 0
    if span_ms <= 0:
        return None
    return _MS * sum(ours for _, ours in counts[1:]) / span_ms


def _steady(counts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Leave out the last hundredth, and then the last block: it holds what came in a part of it."""
    spare = sum(ours for _, ours in counts) // 100
    while len(counts) > _STEADY_MIN and counts[-1][1] <= spare:
        spare -= counts[-1][1]
        counts = counts[:-1]
    return counts[:-1] if len(counts) > _STEADY_MIN else counts


def checks(
    seen: Seen,
    powers: Mapping[str, int],
    heights: Sequence[int],
    ended: Mapping[str, str],
    contradictions: Sequence[str],
) -> Iterator[Check]:
    """Judge agreement, that nothing was lost, and that nothing took effect twice."""
    yield _agreement(seen)
    blocks = agreed(seen, powers)
    unseen = [height for height in heights if height not in blocks]
    places: Counter[str] = Counter(each for block in blocks.values() for each in block.tx_ids)
    # What no quorum told may hold what is missed, so nothing is called lost before all was read.
    finals = [] if unseen else [name for name, how in ended.items() if how == FINAL]
    lost = [name for name in finals if name not in places]
    yield _judged("nothing_lost", lost, unseen, "final by the events, and in no block")
    twice = [name for name, count in places.items() if count > 1]
    yield _judged("no_double_spend", twice, unseen, "in more than one block")
    # What is refused with a fee is in a block, too; what was never taken is not.
    raised = [name for name in places if ended.get(name) == EXPIRED]
    yield _judged("expired_stays_out", raised, unseen, "expired, and in a block")
    yield _judged("one_fate", list(contradictions), [], "with two ends")


def witnessed(found: Sequence[Check], breaches: Mapping[str, str]) -> list[Check]:
    """Break the promises that somebody saw broken meanwhile, whatever the nodes say now."""
    checked = {each.name: each for each in found}
    for name, how in breaches.items():
        if name not in checked or checked[name].outcome != BROKEN:
            checked[name] = Check(name, BROKEN, how)
    return list(checked.values())


def balance(account: Account) -> Check:
    """Judge that money came only from our transfers: what the payee has more is what was final."""
    name = "money_conserved"
    if account.after is None:
        return Check(name, UNKNOWN, "no quorum told the payee's balance")
    more = account.after - account.before
    if not account.surplus:
        return Check(name, HELD, f"the payee has {more:,} more")
    if not account.is_wrong:
        return Check(name, UNKNOWN, "what the payee has more may lie in heights that were not read")
    return Check(name, BROKEN, f"the payee has {more:,} more, {account.ours:,} were paid to it")


def nonces(accounts: Mapping[str, Account]) -> Check:
    """Judge that each account used as many nonces as it has transactions in blocks."""
    name = "nonces_in_step"
    silent = [each for each, told in accounts.items() if told.after is None]
    wrong = [
        f"{each} used {told.after - told.before} for {told.ours}"
        for each, told in accounts.items()
        if told.after is not None and told.is_wrong
    ]
    if wrong:
        return Check(name, BROKEN, _few(wrong))
    if silent:
        return Check(name, UNKNOWN, f"no quorum told {len(silent)} accounts")
    if ahead := sum(bool(told.surplus) for told in accounts.values()):
        return Check(name, UNKNOWN, f"{ahead} accounts used more than the heights read hold")
    return Check(name, HELD, f"{len(accounts):,} accounts")


def purses(wallets: Mapping[str, Purse]) -> Check:
    """Judge that accounts have what is left of their money when all receipts are paid."""
    name = "wallets_agree"
    wrong = [
        f"{each} has {told.after:,}, by its receipts {told.before - told.spent:,}"
        for each, told in wallets.items()
        if told.after is not None and told.spent is not None
        if told.after != told.before - told.spent and not told.is_short
    ]
    if wrong:
        return Check(name, BROKEN, _few(wrong))
    silent = sum(
        told.after is None or told.spent is None or told.is_short for told in wallets.values()
    )
    if silent:
        return Check(name, UNKNOWN, f"nobody told all of {silent} wallets")
    return Check(name, HELD, f"{len(wallets):,} wallets")


def _agreement(seen: Seen) -> Check:
    name = AGREEMENT
    forks = [h for h, told in seen.items() if len({block.id for block in told.values()}) > 1]
    if forks:
        return Check(name, BROKEN, f"nodes hold different blocks at height {min(forks)}")
    if not seen:
        return Check(name, UNKNOWN, "no node told a block")
    return Check(name, HELD, f"{len(seen):,} heights")


def _judged(name: str, wrong: Sequence[str], unseen: Sequence[int], what: str) -> Check:
    if wrong:
        return Check(name, BROKEN, f"{len(wrong)} {what}: {_few(wrong)}")
    if unseen:
        return Check(name, UNKNOWN, f"no quorum told {len(unseen)} heights, from {min(unseen)} on")
    return Check(name, HELD, "")


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return ", ".join(each[:60] for each in names[:_NAMED_MAX]) + more
