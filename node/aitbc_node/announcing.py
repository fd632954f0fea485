"""Who hears of final blocks, fates, messages and notes: index, event streams, counters and the log.

Nobody hears of a final block before its certificate is written behind the own vote for it: what was
told as final must still be final after a loss of power. Do not carry out anything here that the
machine relies on.
"""

import logging
from collections.abc import Mapping

from aitbc_node.codes import Code
from aitbc_node.events import Committed, Expired, Note
from aitbc_node.metrics import SERIOUS, Counters
from aitbc_node.posting import Delivered
from aitbc_node.rpc.post import Post
from aitbc_node.rpc.streams import Hub
from aitbc_node.storage.fates import Fate
from aitbc_node.storage.index import TxIndex
from aitbc_node.types import TxId

_TOPICS = {
    "attack": "consensus",
    "consensus": "consensus",
    "peer": "peer",
    "round": "consensus",
    "validator": "consensus",
    "vote": "consensus",
}

log = logging.getLogger(__name__)


class Announcer:
    """Tell everybody who only listens."""

    def __init__(self, index: TxIndex, hub: Hub, counters: Counters, *, post: Post) -> None:
        self._index = index
        self._hub = hub
        self._post = post
        self._counters = counters
        # Transactions that the machine calls final, while the disk is not that far.
        self._foretold: set[TxId] = set()

    def foretell(self, committed: Committed) -> None:
        """Keep the transactions of a block known, although they have left the mempool."""
        self._foretold.update([receipt.id for receipt in committed.receipts])

    def fate(self, tx_id: TxId) -> Fate | None:
        """Return what may be told of a transaction; None when nothing is known."""
        fate = self._index.get(tx_id)
        if fate is None and tx_id in self._foretold:
            return ("pending", None, None, "", None, ())
        return fate

    def committed(self, committed: Committed) -> None:
        """Announce a final block: fates, one log line, one event."""
        self._index.put_block(committed)
        self._foretold.difference_update([receipt.id for receipt in committed.receipts])
        header, round_ = committed.final.block.header, committed.final.certificate.round
        codes = [receipt.code for receipt in committed.receipts]
        self._counters.blocks_final += 1
        self._counters.txs_final += header.tx_count
        self._counters.txs_failed += len(codes) - codes.count(Code.OK)
        self._counters.rounds_wasted += round_
        self._hub.committed(committed)
        self._post.ended(header.height)
        log.info(
            "block.final",
            extra={
                "height": header.height,
                "round": round_,
                "txs": header.tx_count,
                "id": committed.id.hex()[:16],
                "state_root": header.state_root.hex()[:16],
            },
        )

    def take(self, told: Delivered | Expired | Note) -> None:
        """Announce what nobody waits for."""
        match told:
            case Delivered():
                self._post.delivered(told)
            case Expired():
                self.expired(told)
            case Note():
                self.note(told)

    def expired(self, expired: Expired) -> None:
        """Announce transactions that can never be final."""
        self._index.put_expired(expired.ids)
        self._counters.txs_expired += len(expired.ids)
        self._hub.expired(expired)

    def note(self, note: Note) -> None:
        """Count a note, log it, and publish it where somebody may listen for it."""
        self._counters.notes[note.name] += 1
        fields = {name: _plain(value) for name, value in note.fields}
        level = logging.WARNING if note.name in SERIOUS else _level(note.name, fields)
        # Prefixed, because a record's own attributes must not be overwritten.
        log.log(level, note.name, extra={f"{_safe(name)}": value for name, value in fields.items()})
        topic = _TOPICS.get(note.name.partition(".")[0])
        if topic is not None:
            self._hub.publish(topic, fields, name=note.name)


def _level(name: str, fields: Mapping[str, object]) -> int:
    """Keep what happens at every height off the log: one line per block is enough."""
    if name.startswith(("round.", "vote.")) and not fields.get("round"):
        return logging.DEBUG
    return logging.INFO


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, int | float | str | bool) or value is None:
        return value
    return str(value)


_RESERVED = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


def _safe(name: str) -> str:
    return f"{name}_" if name in _RESERVED else name
