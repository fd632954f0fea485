"""Who hears of final blocks, fates and notes: index, event streams, counters and the log.

Index and readers hear of a block as soon as the machine calls it final, streams and the log in the
order of effects. Do not carry out anything here that the machine relies on.
"""

import logging
from collections.abc import Mapping

from aitbc_node.blocks import FinalBlock
from aitbc_node.codes import Code
from aitbc_node.events import AppendCertificate, Committed, Effect, Expired, Note
from aitbc_node.metrics import Counters
from aitbc_node.rpc.streams import Hub
from aitbc_node.storage.index import TxIndex
from aitbc_node.types import Height

_SERIOUS = frozenset(
    (
        "block.invalid",
        "block.pending_invalid",
        "chain.diverged",
        "consensus.equivocation",
        "disk.failed",
        "peer.fault",
        "proposal.invalid_now",
    )
)
_TOPICS = {"peer": "peer", "round": "consensus", "consensus": "consensus", "vote": "consensus"}

log = logging.getLogger(__name__)


class Announcer:
    """Tell everybody who only listens."""

    def __init__(self, index: TxIndex, hub: Hub, counters: Counters) -> None:
        self._index = index
        self._hub = hub
        self._counters = counters
        # Final blocks whose certificate is not in the log yet.
        self._unstored: dict[Height, FinalBlock] = {}

    def foretell(self, committed: Committed) -> None:
        """Let readers find a block that effects will soon be carried out for."""
        self._unstored[committed.final.block.header.height] = committed.final
        self._index.put_block(committed)

    def foretell_expired(self, expired: Expired) -> None:
        """Let readers find what is gone."""
        self._index.put_expired(expired.ids)

    def unstored(self, height: Height) -> FinalBlock | None:
        """Return a final block that the log does not have yet."""
        return self._unstored.get(height)

    def stored(self, effect: Effect) -> None:
        """Forget what the log has now."""
        if isinstance(effect, AppendCertificate):
            self._unstored.pop(effect.certificate.height, None)

    def committed(self, committed: Committed) -> None:
        """Announce a final block: one log line, one event."""
        header, round_ = committed.final.block.header, committed.final.certificate.round
        failed = sum(receipt.code != Code.OK for receipt in committed.receipts)
        self._counters.blocks_final += 1
        self._counters.txs_final += header.tx_count
        self._counters.txs_failed += failed
        self._counters.rounds_wasted += round_
        self._hub.committed(committed)
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

    def expired(self, expired: Expired) -> None:
        """Announce transactions that can never be final."""
        self._counters.txs_expired += len(expired.ids)
        self._hub.expired(expired)

    def note(self, note: Note) -> None:
        """Count a note, log it, and publish it where somebody may listen for it."""
        self._counters.notes[note.name] += 1
        fields = {name: _plain(value) for name, value in note.fields}
        level = logging.WARNING if note.name in _SERIOUS else _level(note.name, fields)
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
