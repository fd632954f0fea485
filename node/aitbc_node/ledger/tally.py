"""Which promises of the ledger has every block kept since this node began to look?

Running sums beside the state: a block is compared when it is committed, at a cost that follows what
it changed, so that `/audit` never walks over the accounts. `audit.py` recomputes the same from
scratch, and tests compare the two. Only what was compared is called kept. Do not add repairs here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from aitbc_node.canonical import Record
from aitbc_node.ledger.at_stake import AtStake
from aitbc_node.ledger.objects import (
    NATIVE,
    Account,
    Asset,
    Balances,
    Fees,
    Membership,
    Offence,
    Unbonding,
    holdings_of,
)
from aitbc_node.types import Height
from aitbc_node.validators import ValidatorSet

Told: TypeAlias = tuple[str, ...]
"""One event of a block, be it of a receipt or by rule."""

PROMISES: Mapping[str, str] = {
    "I1": "per asset, all holdings together are the supply",
    "I2": "supply changes by minting, destroying and burning only",
    "I3": "a vault's collateral covers what it minted",
    "I4": "a lock pays out what was put into it",
    "I5": "nonces never go down, and grow by one a transaction in all",
    "I6": "every voter has power and its operator's key (bonds are not compared)",
    "I7": "a replay from genesis gives every state root",
    "I8": "no two final blocks at one height",
    "I9": "the fees of a block are shared to the last unit",
    "I10": "a job has one end, and so has its lock",
    "I11": "every change traces to an allowed signer or a rule",
    "I12": "an offence is punished once, and coins at stake leave by it or when they are due",
}

COMPARED = frozenset(("I1", "I2", "I5", "I6", "I9", "I12"))
UNCOMPARED: Mapping[str, str] = {
    "I3": "this chain has no vaults",
    "I4": "this chain has no locks",
    "I7": "one node's word proves nothing: aitbc-node replay",
    "I8": "takes the blocks of several nodes: aitbc test smoke",
    "I10": "this chain has no jobs",
    "I11": "judged in tests only",
}
assert set(PROMISES) == COMPARED | set(UNCOMPARED), "every promise is compared, or says why not"


class Verdict(msgspec.Struct, frozen=True):
    """Judge one invariant; `held` is None when nobody compared, and `detail` says why."""

    name: str
    title: str
    held: bool | None
    detail: str


class Tally:
    """Add up what a state holds, change by change; remember the first breach of each promise."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        """Per asset, the sum of everything that anybody holds."""
        self.assets: dict[str, Asset] = {}
        """Every asset by ticker, in no order."""
        self.blocks = 0
        """How many blocks were compared, up to the newest one."""
        self.bonded = 0
        """Native units behind validators."""
        self.leaving = 0
        """Native units on their way back from there."""
        self.accrued = 0
        """Native units earned there that nobody has taken yet."""
        self._members = ValidatorSet(())
        self._keys: dict[bytes, bytes] = {}
        self._wrong: dict[str, tuple[str, str]] = {}
        self._breaches: dict[str, str] = {}
        self._touched: set[str] = set()
        self._came: dict[str, int] = {}
        self._used = 0
        self._offences = 0
        self._at_stake = AtStake()

    def replace(self, name: bytes, before: Record | None, after: Record | None) -> None:
        """Take note that one object is another one now, or gone; `settle` has to follow."""
        if isinstance(after, Account) and isinstance(before, Account):
            # Nearly all of a full block: what follows finds the same, in three times as long.
            self._exchange(before.balances, after.balances)
            self._count(name, before.nonce, after.nonce)
            return
        for sign, record in ((-1, before), (1, after)):
            self._hold(holdings_of(record), sign)
            match record:
                case Membership(bonded=bonded, rewards=rewards, commission=commission):
                    self.bonded += sign * bonded
                    self.accrued += sign * (rewards + commission)
                case Unbonding(rows=rows):
                    self.leaving += sign * sum(row.amount for row in rows)
        self._at_stake.replace(name, before, after)
        match after:
            case Account(nonce=nonce):
                self._count(name, before.nonce if isinstance(before, Account) else 0, nonce)
            case Asset():
                self._resupply(name.decode(), after)
            case ValidatorSet():
                self._members = after
            case Membership(key=key):
                self._keys[name] = key
            case Offence():
                self._punish(before, after)

    def settle(self) -> None:
        """Compare what was touched, now that all the changes of one step are noted."""
        for ticker in sorted(self._touched):
            fault = self._fault_of(ticker)
            if fault is None:
                self._wrong.pop(ticker, None)
            else:
                self._wrong[ticker] = fault
        self._touched.clear()

    def begin(self) -> None:
        """Forget how the state came here: the comparing of blocks begins behind it."""
        self._came.clear()
        self._used = 0
        self._offences = 0
        self._at_stake.begin()

    def close_block(
        self, fees: Fees, told: Sequence[Told], *, owed: int, txs: int, height: Height
    ) -> None:
        """Compare what a block of `txs` transactions changed with the events that it tells.

        Its changes are settled; `owed` is what its gas costs at the price that the block paid.
        """
        self.blocks += 1
        faults = list(self._faults_of_block(fees, told, owed=owed, txs=txs))
        faults.extend(("I12", fault) for fault in self._at_stake.faults(told, height))
        for name, fault in (*self._wrong.values(), *faults):
            self._breaches.setdefault(name, f"{fault}; block {self.blocks} of those compared")
        self.begin()

    def verdicts(self) -> list[Verdict]:
        """Judge every invariant by what was compared."""
        faults = dict(self._wrong.values()) | self._breaches
        if fault := self._fault_of_voters():
            faults["I6"] = fault
        rows = []
        for name, title in PROMISES.items():
            if name in COMPARED:
                rows.append(Verdict(name, title, name not in faults, faults.get(name, "")))
            else:
                rows.append(Verdict(name, title, None, UNCOMPARED[name]))
        return rows

    def violations(self) -> list[str]:
        """List what is violated, each with its figures."""
        return [f"{row.name}: {row.detail}" for row in self.verdicts() if row.held is False]

    def _hold(self, balances: Balances, sign: int) -> None:
        for ticker, amount in balances:
            self.held[ticker] = self.held.get(ticker, 0) + sign * amount
            self._touched.add(ticker)

    def _exchange(self, before: Balances, after: Balances) -> None:
        if len(before) == len(after) == 1 and before[0][0] == after[0][0]:  # nearly all
            ((ticker, had),), ((_, has),) = before, after
            self.held[ticker] += has - had
            self._touched.add(ticker)
            return
        self._hold(before, -1)
        self._hold(after, 1)

    def _count(self, name: bytes, before: int, after: int) -> None:
        if after < before:
            self._breaches.setdefault("I5", f"account {name.hex()} went from {before} to {after}")
        self._used += after - before

    def _punish(self, before: Record | None, after: Offence) -> None:
        self._offences += 1
        if before is not None:
            self._breaches.setdefault("I12", "an offence was punished again")
        if after.slashed > after.liable:
            figures = f"{after.slashed} of {after.liable} that stood behind the validator"
            self._breaches.setdefault("I12", f"an offence cost {figures}")

    def _resupply(self, ticker: str, after: Asset) -> None:
        before = self.assets.get(ticker)
        came = after.supply - (0 if before is None else before.supply)
        self._came[ticker] = self._came.get(ticker, 0) + came
        self._touched.add(ticker)
        self.assets[ticker] = after

    def _fault_of(self, ticker: str) -> tuple[str, str] | None:
        asset, held = self.assets.get(ticker), self.held.get(ticker, 0)
        if asset is None:
            return ("I1", f"{ticker} is held but no asset") if held else None
        if held != asset.supply:
            return "I1", f"{ticker}: held {held}, supply {asset.supply}"
        if asset.supply != asset.minted - asset.burned:
            figures = f"supply {asset.supply}, minted {asset.minted}, burned {asset.burned}"
            return "I2", f"{ticker}: {figures}"
        return None

    def _fault_of_voters(self) -> str:
        members = self._members.members
        if not members or any(member.power <= 0 for member in members):
            return "a validator without power, or none at all"
        for member in members:
            if self._keys.get(member.operator) != member.key:
                return f"{member.key.hex()} votes, and is not its operator's key"
        return ""

    def _faults_of_block(
        self, fees: Fees, told: Sequence[Told], *, owed: int, txs: int
    ) -> Iterator[tuple[str, str]]:
        supply = _told_supply(told)
        supply[NATIVE] = supply.get(NATIVE, 0) - fees.burned
        for ticker in sorted(supply.keys() | self._came.keys()):
            came, said = self._came.get(ticker, 0), supply.get(ticker, 0)
            if came != said:
                yield "I2", f"{ticker}: supply changed by {came}, its events say {said}"
        if self._used != txs:
            yield "I5", f"{txs} transactions used {self._used} nonces"
        punished = sum(event[0] == "slashed" for event in told)
        if self._offences != punished:
            yield "I12", f"{punished} punishments of {self._offences} offences"
        shared = fees.to_proposer + fees.to_treasury + fees.burned
        if not owed == fees.collected == shared:
            yield "I9", f"receipts say {owed}, collected {fees.collected}, shared {shared}"


def _told_supply(told: Iterable[Told]) -> dict[str, int]:
    """Add up the supply that a block's events announce, per asset."""
    supply: dict[str, int] = {}
    for event in told:
        if event[0] == "asset.supply":
            supply[event[1]] = supply.get(event[1], 0) + int(event[3])
        elif event[0] == "slashed":
            supply[NATIVE] = supply.get(NATIVE, 0) - int(event[-1])
    return supply
