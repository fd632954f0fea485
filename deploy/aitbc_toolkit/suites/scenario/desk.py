"""How does somebody in a scenario use the ledger? With money, a nonce, and patience.

What was handed in is handed in again, as the same bytes, until it is final: a node may have died
with it. Do not add what anybody is up to: `spending.py`, `bonding.py`, `electing.py`.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from aitbc_node.blocks import tx_id
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Address, Amount
from aitbc_toolkit.suites.scenario.builds import Deployer
from aitbc_toolkit.suites.scenario.clock import Clock
from aitbc_toolkit.suites.scenario.ledger import Fate, Ledger
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict
from aitbc_toolkit.suites.waiting import Look
from aitbc_toolkit.wallet import Wallet

COIN = 1_000_000
WITHIN_S = 90.0
OUTPUTS = 100
"""How many are paid at once."""
AGAIN_S = 2.0
"""How soon the same bytes are handed in again, to the next node."""


@dataclass(slots=True)
class Person:
    """Be somebody with a key: what he was given, what he has paid for, what he signs next."""

    name: str
    wallet: Wallet
    nonce: int = 0
    given: int = 0
    fees: int = 0

    @property
    def account(self) -> Address:
        """Return whose it is."""
        return self.wallet.account


@dataclass(frozen=True, slots=True)
class Signed:
    """Be what somebody has signed."""

    by: Person
    raw: bytes

    @property
    def id(self) -> str:
        """Name it as nodes do."""
        return tx_id(self.raw).hex()


@dataclass(frozen=True, slots=True)
class Order:
    """Say what is to be done: by which act, at or about which nodes, on which sides."""

    act: str
    whom: tuple[str, ...]
    sides: tuple[tuple[str, ...], ...]
    parameters: Mapping[str, int]


@dataclass(slots=True)
class Dispute:
    """Hold two payments of which only one can be made, with who is to get each."""

    spender: Person
    nonce: int
    payments: tuple[Signed, Signed]
    payees: tuple[Address, Address]
    at: tuple[str, str]


@dataclass(slots=True)
class Desk:
    """Be where people use the ledger of a mesh."""

    ledger: Ledger
    deployer: Deployer
    clock: Clock
    nodes: Sequence[str]
    dice: random.Random
    people: dict[str, Person] = field(default_factory=dict)
    disputes: list[Dispute] = field(default_factory=list)
    done: list[Signed] = field(default_factory=list)
    """What is final, oldest first."""
    began: int = 0
    """At which height these people came to their money, or below it."""
    planned: tuple[int, int] = (0, 0)
    """Which rules hold from which height on, as it was decided."""
    votes: Mapping[Address, int] = field(default_factory=dict)
    """Who voted then, and what that counted."""
    records: dict[str, float] = field(default_factory=dict)
    """What acts have measured, by the name of the figure."""

    def fund(self, wanted: Mapping[str, int], wallets: Mapping[str, Wallet] = {}) -> None:
        """Give each of these people so much, out of the purse. Raises: ScenarioError.

        Who has a wallet already is named there.
        """
        if not wanted:
            return
        self.began = self.began or self.ledger.height()
        self.votes = self.votes or dict(self.ledger.votes())
        purse = Person("purse", self.ledger.purse())
        purse.nonce = self.ledger.holding(purse.account).nonce
        made = [
            Person(name, wallets.get(name) or self.ledger.someone(name), given=has)
            for name, has in wanted.items()
        ]
        self.people |= {each.name: each for each in made}
        outs = [Output(each.account, NATIVE, Amount(each.given)) for each in made]
        parts = [outs[first : first + OUTPUTS] for first in range(0, len(outs), OUTPUTS)]
        self.carried_out([self.signed(purse, Transfer(tuple(part))) for part in parts])
        self.done.clear()  # what was only made ready is nobody's deed

    def named(self, role: str) -> list[Person]:
        """List the people of a role, who are numbered."""
        return [each for name, each in self.people.items() if name.startswith(f"{role} ")]

    def signed(
        self, by: Person, *bodies: Body, nonce: int | None = None, tip_price: int = 0
    ) -> Signed:
        """Let somebody sign his next transaction, or one with another nonce."""
        chain = replace(self.ledger.chain(), tip_price=tip_price)
        used = by.nonce if nonce is None else nonce
        by.nonce = max(by.nonce, used + 1)
        return Signed(by, by.wallet.act(chain, nonce=used, new=True, bodies=bodies))

    def final(self, wanted: Sequence[Signed]) -> list[Fate]:
        """Hand in until all are in final blocks; return what each did there."""
        turns = itertools.cycle(self.dice.sample(self.nodes, len(self.nodes)))
        fates: dict[str, Fate] = {}
        due_at = self.clock.now()
        told: list[str] = []

        def look() -> Look[None]:
            nonlocal due_at, told
            for each in wanted:
                if each.id not in fates and (fate := self.ledger.fate(each.id)):
                    fates[each.id] = fate
            left = [each for each in wanted if each.id not in fates]
            if left and self.clock.now() >= due_at:
                told = sorted(set(self.ledger.hand_in([(next(turns), each.raw) for each in left])))
                due_at = self.clock.now() + AGAIN_S
            said = f"{len(left)} of {len(wanted)} are in no block, nodes say: {' '.join(told)}"
            return Look(not left, None, said)

        self.clock.until(f"{len(wanted)} transactions final", look, within_s=WITHIN_S)
        for each in wanted:
            each.by.fees += fates[each.id].fee
        self.done += wanted
        return [fates[each.id] for each in wanted]

    def carried_out(self, wanted: Sequence[Signed]) -> list[Fate]:
        """Hand in what must have its effect. Raises: ScenarioError (liveness) where it has none."""
        fates = self.final(wanted)
        for each, fate in zip(wanted, fates, strict=True):
            if not fate.took_effect:
                why = f"what {each.by.name} signed took no effect: {fate.code}"
                raise ScenarioError(Verdict.LIVENESS, why)
        return fates

    def until_height(self, height: int) -> None:
        """Wait for a block."""

        def look() -> Look[None]:
            now = self.ledger.height()
            return Look(now >= height, None, f"height {now}")

        self.clock.until(f"height {height}", look, within_s=WITHIN_S)

    def votes_as_before(self) -> None:
        """Wait until power is as it was: what comes next must find the mesh that it expects."""

        def look() -> Look[None]:
            powers = sorted(self.ledger.votes().values())
            return Look(self.ledger.votes() == self.votes, None, f"powers {powers}")

        self.clock.until("powers as they were", look, within_s=WITHIN_S)

    def require(self, name: str, told: str, *, met: bool) -> None:
        """Keep a judgement. Raises: ScenarioError (safety) where it is not met."""
        self.clock.found(name, told, met=met)
        if not met:
            raise ScenarioError(Verdict.SAFETY, told)
