"""What do those hand in who break the rules, and what may become of it?

A blow says both, before any node is asked: a node that takes what none may take, or a chain that
holds more of a blow than it may, has failed, however well it served everybody else. Pure. Do not
add how a blow is carried out.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, cycle

from aitbc_load.identities import Identity
from aitbc_load.orders import Terms
from aitbc_load.signing import UNITS, signed
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Address, Amount, Gas, Height

FAR_BLOCKS = 1_000_000_000
GAP_MAX = 62
"""So far ahead of its account a transaction may wait, behind a gap that nobody ever fills."""
JUNK_AT_ONCE = 20
JUNK_BYTES = 512


@dataclass(frozen=True, slots=True)
class Blow:
    """Be one act. Shape: each of `hands` goes to a node of its own, at the same time."""

    what: str
    hands: tuple[tuple[bytes, ...], ...]
    may_be_taken: bool
    """A node may say that it holds them; the chain decides later."""
    in_blocks_max: int
    """How many transactions of all hands blocks may hold."""


@dataclass(frozen=True, slots=True)
class Attacker:
    """Be one account of an attacker, and `victim`, whose money it is after."""

    who: Identity
    nonce: int
    terms: Terms
    victim: Identity

    def transfer(self, nonce: int, memo: str = "", **changed: object) -> bytes:
        """Sign a transfer to itself: what it owns changes by what it pays for."""
        return signed(self.who, self.terms, self._body(memo), nonce=nonce, **changed)

    def theft(self, memo: str) -> bytes:
        """Sign, with its own key, that the victim pays."""
        body, victim = self._body(memo), self.victim
        sender, policy = victim.account, victim.policy
        return signed(self.who, self.terms, body, nonce=0, sender=sender, policy=policy)

    def _body(self, memo: str) -> Transfer:
        return Transfer((Output(Address(self.who.account), NATIVE, Amount(UNITS)),), memo)


def spam(attacker: Attacker) -> Iterator[Blow]:
    """Hand in good transfers that nobody needs, as many as are taken: each of them has to pay."""
    for nonce in count(attacker.nonce):
        yield Blow("spam", ((attacker.transfer(nonce),),), may_be_taken=True, in_blocks_max=1)


def spend_twice(attacker: Attacker) -> Iterator[Blow]:
    """Hand in two transactions of one nonce at two nodes: one of them at most may be in a block."""
    for nonce in count(attacker.nonce):
        hands = tuple((attacker.transfer(nonce, memo),) for memo in ("this", "that"))
        yield Blow("double spend", hands, may_be_taken=True, in_blocks_max=1)


def leave_gaps(attacker: Attacker) -> Iterator[Blow]:
    """Hand in what follows a transaction that never comes: none of it may be in a block."""
    for number in count():
        nonce = attacker.nonce + 1 + number % GAP_MAX
        raw = attacker.transfer(nonce, str(number))
        yield Blow("nonce gap", ((raw,),), may_be_taken=True, in_blocks_max=0)


def malform(attacker: Attacker) -> Iterator[Blow]:
    """Hand in transactions that are nearly right: no node may take any."""
    for number, what in zip(count(), cycle(MALFORMED)):
        raw = MALFORMED[what](attacker, str(number))
        yield Blow(what, ((raw,),), may_be_taken=False, in_blocks_max=0)


def flood(attacker: Attacker) -> Iterator[Blow]:
    """Hand in bytes that are no transactions at all, many at once."""
    for number in count():
        seed = f"{attacker.who.account.hex()} {number}"
        junk = tuple(_junk(f"{seed} {place}") for place in range(JUNK_AT_ONCE))
        yield Blow("junk", (junk,), may_be_taken=False, in_blocks_max=0)


def replay(raw: bytes) -> Blow:
    """Hand in what was final before: it may be in a block once, as it was."""
    return Blow("replay", ((raw,),), may_be_taken=True, in_blocks_max=1)


def _junk(seed: str) -> bytes:
    return hashlib.shake_256(seed.encode()).digest(JUNK_BYTES)


def _flipped(raw: bytes) -> bytes:
    """Change one bit of the signature, which ends every transaction of one signer."""
    return raw[:-7] + bytes([raw[-7] ^ 4]) + raw[-6:]


MALFORMED: Mapping[str, Callable[[Attacker, str], bytes]] = {
    "cut short": lambda a, memo: a.transfer(a.nonce, memo)[:-1],
    "longer than it says": lambda a, memo: a.transfer(a.nonce, memo) + b"\0",
    "a wrong signature": lambda a, memo: _flipped(a.transfer(a.nonce, memo)),
    "of another chain": lambda a, memo: a.transfer(a.nonce, memo, chain_id="aitbc-elsewhere-1"),
    "good for ever": lambda a, memo: a.transfer(
        a.nonce, memo, valid_until=Height(a.terms.height + FAR_BLOCKS)
    ),
    "without gas": lambda a, memo: a.transfer(a.nonce, memo, gas_limit=Gas(0)),
    "of a far nonce": lambda a, memo: a.transfer(a.nonce + FAR_BLOCKS, memo),
    "somebody else's money": lambda a, memo: a.theft(memo),
}
"""What is wrong with each, and how it is made."""

ATTACKS: Mapping[str, Callable[[Attacker], Iterator[Blow]]] = {
    "spammer": spam,
    "double-spender": spend_twice,
    "nonce-gapper": leave_gaps,
    "malformed": malform,
    "flooder": flood,
}
"""Each role that strikes with accounts of its own."""

REPLAYER = "replayer"
"""Who strikes with what honest accounts have signed."""

ADVERSARIAL = frozenset({*ATTACKS, REPLAYER})
ORDERED = frozenset({"spammer", "double-spender"})
"""Whose next blow is good only when the one before was taken."""
PENNILESS = frozenset({"flooder"})
"""Who hands in nothing that could ever be paid for."""
