"""How much may accounts say, on one topic or to one account, and how much may a peer pass on?

A message counts once for each 4 KiB that it begins, so that bytes are bounded as well as messages.
Do not add what becomes of a message.
"""

from aitbc_node import limits
from aitbc_node.buckets import Buckets
from aitbc_node.codes import Code, Refusal
from aitbc_node.letters import Sealed
from aitbc_node.types import PeerId

ALL = b"all"


def _buckets(rate: int) -> Buckets[bytes]:
    return Buckets(rate=rate, burst=rate * limits.LETTERS_BURST_S)


class Paces:
    """Count what accounts say, and what is said on topics and to accounts, a second."""

    def __init__(self, times: int) -> None:
        self._accounts = _buckets(times * limits.LETTER_ACCOUNT_RATE)
        self._goals = _buckets(times * limits.LETTER_GOAL_RATE)
        self._all = _buckets(times * limits.LETTERS_RATE)

    def refusal(self, sealed: Sealed, now_ms: int) -> Refusal | None:
        """Say of what there is too much."""
        letter = sealed.letter
        if self._accounts.wait_s(letter.sender, now_ms=now_ms):
            return Refusal(Code.E_RATE, "sender", "more than this account's share")
        if self._goals.wait_s(letter.goal, now_ms=now_ms):
            field = "topic" if letter.to is None else "to"
            return Refusal(Code.E_RATE, field, "more than anybody may send there")
        if self._all.wait_s(ALL, now_ms=now_ms):
            return Refusal(Code.E_RATE, "", "more messages than this node takes")
        return None

    def pay_for_checks(self, sealed: Sealed, now_ms: int) -> None:
        """Count one that its sender signed, whether or not it is taken."""
        self._accounts.pay(sealed.letter.sender, tokens=sealed.weight, now_ms=now_ms)

    def pay(self, sealed: Sealed, now_ms: int) -> None:
        """Count one that is taken, beside `pay_for_checks`."""
        self._goals.pay(sealed.letter.goal, tokens=sealed.weight, now_ms=now_ms)
        self._all.pay(ALL, tokens=sealed.weight, now_ms=now_ms)


class PeerPaces:
    """Count the bytes that each peer passes on, known ones as well."""

    def __init__(self) -> None:
        self._bytes = _buckets(limits.LETTERS_PEER_BYTES_RATE)

    def take(self, peer: PeerId, size: int, now_ms: int) -> bool:
        """Count some; False when it was too much lately, and these are not to be read."""
        if self._bytes.wait_s(peer, now_ms=now_ms):
            return False
        self._bytes.pay(peer, tokens=size, now_ms=now_ms)
        return True
