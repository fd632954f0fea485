"""How do events reach any number of listeners without a slow one costing memory?

One ring of the newest events is shared; a listener is a place in it and nothing more. Who falls
behind the ring is told how many events were lost, and goes on. Do not add sockets here.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import msgspec

from aitbc_node import limits
from aitbc_node.codes import Code
from aitbc_node.events import Committed, Expired, TxReceipt
from aitbc_node.types import Height

BATCH_MAX = 256
PIECE_BYTES = 64 * limits.KIB
"""A listener is handed so many events at once, or so many bytes, so that its buffer stays small."""

ID_BYTES = 32
ROWS_MAX = 400
"""Fates in one event, which is then less than one piece."""

_DATA = b"\ndata: "
_encode = msgspec.json.Encoder().encode

Data = Mapping[str, object] | msgspec.Struct


class Item:
    """Hold one event; it is encoded when the first listener wants it, and once.

    Where `data` is made by a call, only then: most nodes have nobody who listens to transactions.
    """

    __slots__ = ("_brief", "_data", "_encoded", "name", "sequence", "size", "topic", "until")

    def __init__(
        self,
        sequence: int,
        topic: str,
        name: str,
        data: Data | Callable[[], Data],
        *,
        size: int = 0,
        until: int = limits.INT_MAX,
    ) -> None:
        self.sequence = sequence
        self.topic = topic
        self.name = name
        self.size = size
        self.until = until
        self._data = data
        self._encoded: bytes | None = None
        self._brief: bytes | None = None

    def encoded(self, boot: str) -> bytes:
        """Return the event as the text of a server-sent event."""
        if self._encoded is None:
            data = self._data() if callable(self._data) else self._data
            self._encoded = self._text(boot, data)
            self._data = {}
        return self._encoded

    def brief(self, boot: str) -> bytes:
        """Return the same in its short form, where it has one: fates have."""
        if self.topic != "tx":
            return self.encoded(boot)
        if self._brief is None:
            fates = self._data
            if isinstance(fates, _Fates):
                told = fates.brief()
            else:  # nobody keeps what was told in the long form already
                text = self.encoded(boot)
                told = _shorten(text[text.index(_DATA) + len(_DATA) :])
            self._brief = self._text(boot, told)
        return self._brief

    def _text(self, boot: str, data: Data) -> bytes:
        head = f"id: {boot}-{self.sequence}\nevent: {self.name}".encode()
        return head + _DATA + _encode(data) + b"\n\n"

    def end(self) -> None:
        """Be told to nobody any more, and cost nothing."""
        self.topic, self.size, self.until = "", 0, limits.INT_MAX
        self._data, self._encoded, self._brief = {}, None, None


class Hub:
    """Keep the newest events of all topics.

    `boot` tells this process' ids from an earlier one's; `on_publish` is called after each event.
    """

    def __init__(
        self, *, boot: str, backlog: int = limits.EVENT_BACKLOG, bytes_max: int = limits.INT_MAX
    ) -> None:
        self._boot = boot
        self._bytes, self._bytes_max = 0, bytes_max
        self._ring: deque[Item] = deque(maxlen=backlog)
        self._next = 1
        self.on_publish: Callable[[], None] = lambda: None
        self.listeners = 0
        self.dropped = 0
        """Listeners that were too slow, and were told so and heard no more."""

    @property
    def oldest(self) -> int:
        """Return the place of the oldest event that is kept."""
        return self._ring[0].sequence if self._ring else self._next

    def publish(
        self,
        topic: str,
        data: Data | Callable[[], Data],
        *,
        name: str = "",
        size: int = 0,
        until: int = limits.INT_MAX,
    ) -> None:
        """Add an event; `name` defaults to the topic. Costs the same with no listener or 10,000.

        The oldest make room where all that said their `size` are too many bytes.
        """
        ring = self._ring
        self._bytes += size
        # Not left to `maxlen`: what goes must be counted off, whatever the size of what comes.
        while ring and (self._bytes > self._bytes_max or len(ring) == ring.maxlen):
            self._bytes -= ring.popleft().size
        ring.append(Item(self._next, topic, name or topic, data, size=size, until=until))
        self._next += 1
        self.on_publish()

    def forget(self, *, below: int) -> None:
        """Tell nobody any more of events that were to end before this height."""
        for item in self._ring:
            if item.until < below:
                self._bytes -= item.size
                item.end()

    def committed(self, committed: Committed) -> None:
        """Publish a final block, and the fates of its transactions in few events."""
        header = committed.final.block.header
        self.publish(
            "block",
            {
                "height": header.height,
                "id": committed.id.hex(),
                "time_ms": header.time_ms,
                "proposer": header.proposer.hex(),
                "round": committed.final.certificate.round,
                "state_root": header.state_root.hex(),
                "tx_count": header.tx_count,
            },
        )
        # Not an event each: thousands of small ones would push blocks out of the ring.
        receipts = committed.receipts
        for first in range(0, len(receipts), ROWS_MAX):
            some = receipts[first : first + ROWS_MAX]
            self.publish("tx", _Fates(header.height, first, some))

    def expired(self, expired: Expired) -> None:
        """Publish transactions that can never be in a block any more."""
        for first in range(0, len(expired.ids), ROWS_MAX):
            some = expired.ids[first : first + ROWS_MAX]
            rows = [{"id": tx_id.hex(), "status": "expired"} for tx_id in some]
            self.publish("tx", {"height": None, "txs": rows})

    def begin(self, last_id: str, *, from_oldest: bool = False) -> tuple[int, bytes]:
        """Return where a listener goes on, and what to tell it first when events are lost to it.

        Who was not here before begins with what is new, or with all that is kept.
        """
        boot, _, tail = last_id.rpartition("-")
        new = self.oldest if from_oldest else self._next
        if not last_id:
            return new, b""
        if boot != self._boot or not (tail.isascii() and tail.isdigit() and len(tail) < 20):  # noqa: PLR2004 - 64 bits
            return new, self._gap(None, before=new)
        return min(int(tail) + 1, self._next), b""

    def read(
        self, place: int, topics: frozenset[str], *, is_brief: bool = False
    ) -> tuple[int, bytes]:
        """Return the listener's new place and the text of what it missed, perhaps empty."""
        oldest = self.oldest
        told = [self._gap(oldest - place, before=oldest)] if place < oldest else []
        place = max(place, oldest)
        last, size = min(place + BATCH_MAX, self._next), 0
        while place < last and size < PIECE_BYTES:
            item = self._ring[place - oldest]
            if item.topic in topics:
                told.append((item.brief if is_brief else item.encoded)(self._boot))
                size += len(told[-1])
            place += 1
        return place, b"".join(told)

    def has_news(self, place: int) -> bool:
        """Tell whether a listener at this place has something to read."""
        return place < self._next

    def _gap(self, lost: int | None, *, before: int) -> bytes:
        """Tell that events are missing; None when nobody can say how many."""
        data = _encode({"lost": lost})
        return f"id: {self._boot}-{before - 1}\nevent: gap\ndata: ".encode() + data + b"\n\n"


class _FateRow(msgspec.Struct):
    """Tell what became of one transaction of a block."""

    id: str
    status: str
    index: int
    code: str
    fee: str


class _Fates:
    """Hold what is told of some transactions of a block, until somebody wants to hear of it.

    Some 80 bytes for each. Receipts have 500, most of them in events that are not told here, and a
    full ring of them was 200 MB of a busy node.
    """

    __slots__ = ("_codes", "_fees", "_first", "_height", "_ids")

    def __init__(self, height: Height, first: int, receipts: Sequence[TxReceipt]) -> None:
        self._height = height
        self._first = first
        self._ids = b"".join([receipt.id for receipt in receipts])
        self._codes = tuple([receipt.code for receipt in receipts])
        self._fees = tuple([receipt.fee for receipt in receipts])

    def __call__(self) -> Data:
        """Tell each transaction's place in the block and what became of it."""
        ids = [self._ids[at : at + ID_BYTES].hex() for at in range(0, len(self._ids), ID_BYTES)]
        told = enumerate(zip(ids, self._codes, self._fees, strict=True), self._first)
        good = Code.OK  # found in the enumeration anew for each, it would be a fifth of the cost
        rows = [
            _FateRow(name, "committed" if code == good else "rejected", index, code, str(fee))
            for index, (name, code, fee) in told
        ]
        return {"height": self._height, "txs": rows}

    def brief(self) -> Data:
        """Tell the same in short: no fees, and of those that fared alike only the ids."""
        good = Code.OK
        how = [("committed" if code == good else "rejected", code) for code in self._codes]
        return _brief(self._height, self._ids.hex(), how)


class _Run(msgspec.Struct):
    """Tell what became of some that follow each other in a block, all the same.

    Shape: `ids` has 64 hex digits for each.
    """

    status: str
    code: str
    ids: str


class _ToldRow(msgspec.Struct):
    """Read what counts of a row that was told in the long form."""

    id: str
    status: str
    code: str = ""


class _Told(msgspec.Struct):
    """Read an event about transactions that was told in the long form."""

    height: int | None
    txs: list[_ToldRow]


_told = msgspec.json.Decoder(_Told)


def _brief(height: int | None, names: str, how: Sequence[tuple[str, str]]) -> Data:
    """Put those together that follow each other and fared alike."""
    runs, at = [], 0
    for (status, code), alike in groupby(how):
        until = at + 2 * ID_BYTES * sum(1 for _ in alike)
        runs.append(_Run(status, code, names[at:until]))
        at = until
    return {"height": height, "runs": runs}


def _shorten(data: bytes) -> Data:
    told = _told.decode(data)
    names = "".join([row.id for row in told.txs])
    return _brief(told.height, names, [(row.status, row.code) for row in told.txs])
