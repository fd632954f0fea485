"""Does the chain know of our accounts what we know of them? Nonces and money, to the unit."""

from collections import Counter

from aitbc_load.books import REJECTED
from aitbc_load.chainwatch import Account, Check, balance, nonces
from aitbc_load.signing import UNITS
from aitbc_load.swarm.running import Ready, Run


class Wallets:
    """Ask a quorum about every account at once; `compare` when the blocks were read after that."""

    def __init__(self, run: Run, ready: Ready) -> None:
        self._run = run
        self._ready = ready
        self._names = [each.address(ready.terms.hrp) for each in ready.accounts]
        self._payee = ready.payee.address(ready.terms.hrp)
        self._each = len(ready.store) // len(self._names)
        self._undecided = Counter(number // self._each for number in run.books.open_numbers())
        self._after = run.reader.accounts([*self._names, self._payee])

    def compare(self, in_blocks: set[str]) -> list[Check]:
        """Compare each account's nonce, and the payee's money, with what blocks hold."""
        rows: dict[str, Account] = {}
        paid = 0
        for place, name in enumerate(self._names):
            held = self._held(place, in_blocks)
            paid += sum(self._run.books.ended.get(tx) != REJECTED for tx in held)
            told = self._after[place]
            rows[name] = Account(
                before=self._ready.before[name].nonce,
                ours=len(held),
                after=told.nonce if told else None,
                undecided=self._undecided[place],
            )
        told = self._after[-1]
        money = Account(
            before=self._ready.before[self._payee].units,
            ours=paid * UNITS,
            after=told.units if told else None,
            undecided=self._undecided.total() * UNITS,
        )
        return [nonces(rows), balance(money)]

    def _held(self, place: int, in_blocks: set[str]) -> list[bytes]:
        """List the transactions of one account that blocks hold."""
        first = place * self._each
        store = self._ready.store
        names = map(store.id, range(first, first + self._ready.rings.used()[place]))
        return [name for name in names if name.hex() in in_blocks]
