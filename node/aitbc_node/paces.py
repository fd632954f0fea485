"""How much may accounts say, on one topic or to one account, and how much may a peer pass on?

A message counts once for each 4 KiB that it begins, so that bytes are bounded as well as messages.
What many share, a topic, a mailbox and the node, a few who are loud do not use up for others. Do
not add what becomes of a message.
"""

from aitbc_node import limits
from aitbc_node.buckets import Buckets
from aitbc_node.codes import Code, Refusal
from aitbc_node.letters import Sealed
from aitbc_node.sharing import Shares
from aitbc_node.types import PeerId

ALL = b"all"


def _buckets(rate: int) -> Buckets[bytes]:
    return Buckets(rate=rate, burst=rate * limits.LETTERS_BURST_S)


def _shares(rate: int) -> Shares:
    return Shares(rate=rate, burst=rate * limits.LETTERS_BURST_S)


class Paces:
    """Count what accounts say, and what is said on topics and to accounts, a second."""

    def __init__(self, times: int) -> None:
        self._accounts = _buckets(times * limits.LETTER_ACCOUNT_RATE)
        self._goals = _shares(times * limits.LETTER_GOAL_RATE)
        self._all = _shares(times * limits.LETTERS_RATE)

    def refusal(self, sealed: Sealed, now_ms: int) -> Refusal | None:
        """Say of what there is too much."""
        letter = sealed.letter
        if self._accounts.wait_s(letter.sender, now_ms=now_ms):
            return Refusal(Code.E_RATE, "sender", "more than this account's share")
        if not self._goals.has_room(letter.goal, letter.sender, now_ms=now_ms):
            field = "topic" if letter.to is None else "to"
            return Refusal(Code.E_RATE, field, "more than this account's part of what goes there")
        if not self._all.has_room(ALL, letter.sender, now_ms=now_ms):
            return Refusal(Code.E_RATE, "", "more than this account's part of what a node takes")
        return None

    def pay_for_checks(self, sealed: Sealed, now_ms: int) -> None:
        """Count one that its sender signed, whether or not it is taken."""
        self._accounts.pay(sealed.letter.sender, tokens=sealed.weight, now_ms=now_ms)

    def pay(self, sealed: Sealed, now_ms: int) -> None:
        """Count one that is taken, beside `pay_for_checks`."""
        letter, weight = sealed.letter, sealed.weight
        self._goals.pay(letter.goal, letter.sender, tokens=weight, now_ms=now_ms)
        self._all.pay(ALL, letter.sender, tokens=weight, now_ms=now_ms)


class PeerPaces:
    """Count the bytes that each peer passes on, known ones as well."""

    def __init__(self) -> None:
        self._bytes = _buckets(limits.LETTERS_PEER_BYTES_RATE)

    def take(self, peer: PeerId, *, size: int, now_ms: int) -> bool:
        """Count some; False when it was too much lately, and these are not to be read."""
        if self._bytes.wait_s(peer, now_ms=now_ms):
            return False
        self._bytes.pay(peer, tokens=size, now_ms=now_ms)
        return True
