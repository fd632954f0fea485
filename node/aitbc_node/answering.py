"""When is a client's request answered, and with what?

Every transaction of a request gets an outcome; the reply goes out once all are known, and what was
accepted is in the journal before it. Do not add who decides.
"""

from collections.abc import Iterator

from aitbc_node.codes import Code, Refusal
from aitbc_node.events import AppendTransactions, Effect, Reply, TxOutcome
from aitbc_node.types import TxId


class Request:
    """Gather the outcomes of one `Submitted`."""

    def __init__(self, number: int, count: int) -> None:
        self._number = number
        self._outcomes: list[TxOutcome | None] = [None] * count
        self._missing = count
        self._accepted: list[bytes] = []

    def settle(self, slot: int, outcome: TxOutcome, *, accepted: bytes | None = None) -> None:
        """Fill in one outcome; `accepted` are the raw bytes that the journal has to keep."""
        assert self._outcomes[slot] is None, "an outcome is final"
        self._outcomes[slot] = outcome
        self._missing -= 1
        if accepted is not None:
            self._accepted.append(accepted)

    def answer(self) -> Iterator[Effect]:
        """Yield the reply if every outcome is known; ask once after each batch of them."""
        if self._missing:
            return
        if self._accepted:
            yield AppendTransactions(tuple(self._accepted))
        outcomes = tuple(outcome for outcome in self._outcomes if outcome is not None)
        yield Reply(self._number, outcomes)


def outcome_of(tx_id: TxId, refusal: Refusal | None) -> TxOutcome:
    """Say what became of one transaction."""
    if refusal is None:
        return TxOutcome(tx_id, Code.OK)
    return TxOutcome(tx_id, refusal.code, refusal.field, refusal.message)
