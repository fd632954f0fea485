"""When did each transaction become final? One stream of events for the whole worker tells.

A stream that breaks, or tells nothing of blocks that others have, is opened at the next node; what
was missed meanwhile is read from blocks, so that a lost event is a late one, never a lost
transaction. Do not add what the sums mean.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal

import gevent
import msgspec

from aitbc_load.books import EXPIRED, FINAL, REJECTED, Books
from aitbc_load.names import ID_CHARS
from aitbc_load.orders import Place
from aitbc_load.replies import Event, NotHttpError, Stream
from aitbc_load.swarm.reading import Reader
from aitbc_load.swarm.wire import BRIEF, Connection, Silent, Wires, get

_PAUSE_S = 0.25
_LOOK_S = 2.0
_BEHIND = 3
"""A node that lacks so many blocks of another's, and has told none since the last look, is left."""
_ENDS = {"committed": FINAL, "rejected": REJECTED, "expired": EXPIRED}


class Fate(msgspec.Struct, frozen=True, gc=False):
    """Hold one row of the events about transactions; thousands come at once."""

    id: str
    status: Literal["committed", "rejected", "expired"]
    code: str = ""


class Run(msgspec.Struct, frozen=True, gc=False):
    """Hold those that follow each other in a block and fared alike."""

    ids: str
    status: Literal["committed", "rejected", "expired"]
    code: str = ""


class Fates(msgspec.Struct, frozen=True):
    """Hold the fates of one block, or of what expired; `runs` where the node knows short forms."""

    height: int | None
    txs: list[Fate] = []
    runs: list[Run] = []


class Height(msgspec.Struct, frozen=True):
    """Hold what counts of a new block."""

    height: int


_fates = msgspec.json.Decoder(Fates)
_block = msgspec.json.Decoder(Height)


class Listener:
    """Follow the chain in `run`, a greenlet of its own; `height` is the newest block heard of."""

    def __init__(
        self,
        nodes: Sequence[Place],
        wires: Wires,
        reader: Reader,
        books: Books,
        now_s: Callable[[], float],
    ) -> None:
        self.height = 0
        self.is_listening = gevent.event.Event()
        self._nodes = nodes
        self._wires = wires
        self._reader = reader
        self._books = books
        self._now_s = now_s
        self._connection: Connection | None = None

    def run(self) -> None:
        """Listen for ever, at one node after the other where one breaks."""
        turn = 0
        while True:
            node = self._nodes[turn % len(self._nodes)]
            turn += 1
            try:
                connection = self._wires.open(node)
            except Silent:
                gevent.sleep(_PAUSE_S)
                continue
            try:
                self._connection = connection
                self._listen(node, connection)
            except (Silent, NotHttpError, OSError, msgspec.MsgspecError):
                gevent.sleep(_PAUSE_S)
            finally:
                connection.close()

    def mind(self) -> None:
        """Leave, on and on, a node that is cut off: its stream stays open and tells nothing.

        Where this process itself stood still, what the stream holds is read before it is left.
        """
        looked = 0
        while True:
            heard = self.height
            gevent.sleep(_LOOK_S)
            other = self._nodes[looked % len(self._nodes)]
            looked += 1
            connection = self._connection
            if connection is None or self.height > heard:
                continue
            if self._reader.height_of(other) < heard + _BEHIND:
                continue
            gevent.sleep(_PAUSE_S)
            if self.height == heard:
                connection.close()

    def catch_up(self, node: Place, *, since: int = 0) -> None:
        """Read from blocks what no event told, up to the node's newest block.

        The newest that was heard of is read again: its transactions are told after it.
        """
        last, first = self._reader.height_of(node), since or max(1, self.height)
        for height, block in sorted(self._reader.blocks(node, first, last).items()):
            for name in block.tx_ids:
                if self._books.is_open(name):
                    self._ask(node, name)
            self.height = max(self.height, height)

    def _listen(self, node: Place, connection: Connection) -> None:
        stream = Stream()
        data = connection.stream(get(node, "/events?topic=block,tx", BRIEF))
        # Only now, so that nothing lies between the blocks read and the events heard.
        if self.is_listening.is_set():
            self.catch_up(node)
        self.height = max(self.height, self._reader.height_of(node))
        self.is_listening.set()
        while True:
            for event in stream.feed(data):
                self._hear(node, event)
            data = connection.more()

    def _hear(self, node: Place, event: Event) -> None:
        now_s = self._now_s()
        match event.name:
            case "block":
                self.height = max(self.height, _block.decode(event.data).height)
            case "tx":
                self._write_down(_fates.decode(event.data), at_s=now_s)
            case "gap":
                self.catch_up(node)
            case "closing":
                raise Silent("the node stops")
            case _:
                pass  # a newer node may tell more

    def _write_down(self, told: Fates, *, at_s: float) -> None:
        for run in told.runs:
            if len(run.ids) % ID_CHARS:
                raise Silent("an id of another length")
            self._books.fates(run.ids, _ENDS[run.status], at_s=at_s, code=run.code)
        alike: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for row in told.txs:
            if len(row.id) != ID_CHARS:
                raise Silent("an id of another length")
            alike[row.status, row.code].append(row.id)
        for (status, code), names in alike.items():
            self._books.fates("".join(names), _ENDS[status], at_s=at_s, code=code)

    def _ask(self, node: Place, name: str) -> None:
        told = self._reader.fate(node, name)
        if told is not None and told.status != "pending":
            end = _ENDS[told.status]
            self._books.fates(name, end, at_s=self._now_s(), code=told.code)
