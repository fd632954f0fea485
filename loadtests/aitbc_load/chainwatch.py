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

_NAMED_MAX = 3
_MS = 1000


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
    newer than what was told of the account.
    """

    before: int
    ours: int
    after: int | None
    undecided: int = 0

    @property
    def surplus(self) -> int:
        """Return how much more the account counts than blocks hold; below 0, how much less."""
        assert self.after is not None, "asked where a quorum told it"
        more = self.after - self.before - self.ours
        return more if more > 0 else min(0, more + self.undecided)


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


def rate(blocks: Mapping[int, Block], ended: Mapping[bytes, str]) -> float | None:
    """Return how many of ours a second became final, by the blocks' own times.

    From the first block that holds one of ours to the last; those of the first came before it.
    None where that is no length of time.
    """
    counts = []
    for height in sorted(blocks):
        ours = sum(ended.get(bytes.fromhex(each)) == FINAL for each in blocks[height].tx_ids)
        if ours:
            counts.append((blocks[height].time_ms, ours))
    span_ms = counts[-1][0] - counts[0][0] if counts else 0
    if span_ms <= 0:
        return None
    return _MS * sum(ours for _, ours in counts[1:]) / span_ms


def checks(
    seen: Seen,
    powers: Mapping[str, int],
    heights: Sequence[int],
    ended: Mapping[bytes, str],
    contradictions: Sequence[str],
) -> Iterator[Check]:
    """Judge agreement, that nothing was lost, and that nothing took effect twice."""
    yield _agreement(seen)
    blocks = agreed(seen, powers)
    unseen = [height for height in heights if height not in blocks]
    places: Counter[str] = Counter(each for block in blocks.values() for each in block.tx_ids)
    # What no quorum told may hold what is missed, so nothing is called lost before all was read.
    finals = [] if unseen else [name.hex() for name, how in ended.items() if how == FINAL]
    lost = [name for name in finals if name not in places]
    yield _judged("nothing_lost", lost, unseen, "final by the events, and in no block")
    twice = [name for name, count in places.items() if count > 1]
    yield _judged("no_double_spend", twice, unseen, "in more than one block")
    # What is refused with a fee is in a block, too; what was never taken is not.
    raised = [name for name in places if ended.get(bytes.fromhex(name)) == EXPIRED]
    yield _judged("expired_stays_out", raised, unseen, "expired, and in a block")
    yield _judged("one_fate", list(contradictions), [], "with two ends")


def balance(account: Account) -> Check:
    """Judge that money came only from our transfers: what the payee has more is what was final."""
    name = "money_conserved"
    if account.after is None:
        return Check(name, UNKNOWN, "no quorum told the payee's balance")
    more = account.after - account.before
    if not account.surplus:
        return Check(name, HELD, f"the payee has {more:,} more")
    return Check(name, BROKEN, f"the payee has {more:,} more, {account.ours:,} were paid to it")


def nonces(accounts: Mapping[str, Account]) -> Check:
    """Judge that each account used as many nonces as it has transactions in blocks."""
    name = "nonces_in_step"
    silent = [each for each, told in accounts.items() if told.after is None]
    wrong = [
        f"{each} used {told.after - told.before} for {told.ours}"
        for each, told in accounts.items()
        if told.after is not None and told.surplus
    ]
    if wrong:
        return Check(name, BROKEN, _few(wrong))
    if silent:
        return Check(name, UNKNOWN, f"no quorum told {len(silent)} accounts")
    return Check(name, HELD, f"{len(accounts):,} accounts")


def _agreement(seen: Seen) -> Check:
    name = "agreement"
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
