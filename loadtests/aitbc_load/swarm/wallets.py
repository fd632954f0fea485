"""Does the chain know of our accounts what we know of them? Nonces and money, to the unit.

Honest accounts and attackers' alike: who breaks the rules pays for whatever was taken.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import gevent

from aitbc_load.books import REJECTED
from aitbc_load.chainwatch import Account, Check, Purse, balance, nonces, purses
from aitbc_load.signing import UNITS
from aitbc_load.swarm.running import Ready, Run
from aitbc_node.rpc.schema import TxView

_SETTLE_S = 20.0
_PAUSE_S = 0.1
_ASKED_MAX = 400
"""So many fees are asked for, of accounts that are spread over all of them."""


@dataclass(frozen=True, slots=True)
class _Held:
    """Hold one account and what blocks hold of it. Shape: ids in hexadecimal."""

    name: str
    ids: list[str]
    undecided: int
    units: int
    """What each good one of them takes beside its fee."""


class Wallets:
    """Ask a quorum about every account at once; `compare` when the blocks were read after that."""

    def __init__(self, run: Run, ready: Ready) -> None:
        self._run = run
        self._ready = ready
        self._names = [each.address(ready.terms.hrp) for each in ready.accounts]
        self._payee = ready.payee.address(ready.terms.hrp)
        self._others = {payer.address: payer.ids for payer in ready.crowds.payers} | {
            quiver.address: quiver.ids
            for squad in ready.squads
            for quiver in squad.quivers
            if quiver.address
        }
        self._is_partial = False
        self._undecided = _undecided(run, ready)
        self._counted = _settled(run)
        """Every node that answered had counted the blocks up to this one before it was asked."""
        asked = [*self._names, *self._others, self._payee]
        self._after = dict(zip(asked, run.reader.accounts(asked), strict=True))

    def compare(self, heights: Mapping[str, int], *, is_partial: bool) -> list[Check]:
        """Compare nonces and money with what blocks hold, each transaction at its height.

        `is_partial` where no quorum told some heights: what lies there is not held against nodes.
        """
        self._is_partial = is_partial
        held = [self._honest(place, heights) for place in range(len(self._names))]
        held += [self._other(name, heights) for name in self._others]
        rows = {each.name: self._account(each) for each in held}
        ended = self._run.books.ended
        paid = sum(
            ended.get(each) != REJECTED for row in held[: len(self._names)] for each in row.ids
        )
        told = self._after[self._payee]
        money = Account(
            before=self._ready.before[self._payee].units,
            ours=paid * UNITS,
            after=told.units if told else None,
            undecided=self._undecided.total() * UNITS,
            is_partial=is_partial,
        )
        return [nonces(rows), balance(money), purses(self._purses(held) | self._bots())]

    def _account(self, held: _Held) -> Account:
        told = self._after[held.name]
        return Account(
            before=self._ready.before[held.name].nonce,
            ours=len(held.ids),
            after=told.nonce if told else None,
            undecided=held.undecided,
            is_partial=self._is_partial,
        )

    def _honest(self, place: int, heights: Mapping[str, int]) -> _Held:
        """List the transactions of one honest account that blocks hold."""
        names = map(self._ready.store.id, self._ready.rings.numbers_of(place))
        ids = [name for name in names if name in heights]
        return _Held(self._names[place], ids, self._undecided[place], UNITS)

    def _other(self, name: str, heights: Mapping[str, int]) -> _Held:
        """List the same of who pays itself: attackers, who never rest, and bots."""
        ids = [each for each in dict.fromkeys(self._others[name]) if each in heights]
        late = sum(heights[each] > self._counted for each in ids)
        return _Held(name, ids, late, 0)

    def _purses(self, held: list[_Held]) -> dict[str, Purse]:
        """Add up what some accounts have spent, by their receipts; those in motion are left out."""
        bots = {payer.address for payer in self._ready.crowds.payers}
        still = [row for row in held if not row.undecided and row.name not in bots]
        per_account = max(1, sum(len(row.ids) for row in still) // max(1, len(still)))
        step = max(1, len(still) * per_account // _ASKED_MAX)
        chosen = still[::step]
        asked = [each for row in chosen for each in row.ids]
        run = self._run
        nodes = run.order.nodes
        told = run.reader.many(
            lambda each: run.reader.fate(nodes[int(each[:2], 16) % len(nodes)], each), asked
        )
        fates = dict(zip(asked, told, strict=True))
        return {row.name: self._purse(row, [fates[each] for each in row.ids]) for row in chosen}

    def _bots(self) -> dict[str, Purse]:
        """Let the bots that have settled everything say themselves what they have spent."""
        found = {}
        for payer in self._ready.crowds.payers:
            before, after = self._ready.before[payer.address].units, self._after[payer.address]
            if payer.wallet.is_settled and payer.is_exact:
                spent = before - payer.wallet.owned
                found[payer.address] = Purse(before, spent, after.units if after else None)
        return found

    def _purse(self, row: _Held, fates: list[TxView | None]) -> Purse:
        after = self._after[row.name]
        costs = [_cost(fate, row.units) for fate in fates]
        known = [cost for cost in costs if cost is not None]
        return Purse(
            before=self._ready.before[row.name].units,
            spent=sum(known) if len(known) == len(costs) else None,
            after=after.units if after else None,
            is_partial=self._is_partial,
        )


def _undecided(run: Run, ready: Ready) -> Counter[int]:
    """Count the transactions of each honest account that have not ended."""
    found: Counter[int] = Counter()
    if run.books.open:
        for number in range(ready.rings.dealt * ready.rings.batch):
            found[ready.rings.owner_of(number)[0]] += run.books.is_open(ready.store.id(number))
    return found


def _settled(run: Run) -> int:
    """Wait until the nodes that answer have all that was heard of; return how far they are."""
    until = time.monotonic() + _SETTLE_S
    while True:
        heights = [*filter(None, map(run.reader.height_of, run.order.nodes))]
        counted = min(heights, default=0)
        if counted >= run.spent.last_height or time.monotonic() > until:
            return counted
        gevent.sleep(_PAUSE_S)


def _cost(fate: TxView | None, units: int) -> int | None:
    """Return what a transaction has taken of its sender; None where no node tells it."""
    if fate is None or fate.fee is None:
        return None
    return int(fate.fee) + units * (fate.status == "committed")
