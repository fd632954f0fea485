"""How does a client hear messages of accounts on and on, whichever node it hears them from?

A thread reads the stream of one node and hands on what it hears; when that ends, it goes on at the
next one, behind the last message that it had from there. Each message is heard once. What nobody
fetches is not read either: the node cuts a slow one off and says so. Do not add what one means.
"""

import itertools
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from aitbc_node.rpc import schema
from aitbc_node.rpc.mailing import MessageView
from aitbc_toolkit import decoding, unanswered
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.rpc_client import TRY_AGAIN, RefusedError, RpcClient

QUEUE_MAX = 256
REMEMBERED_MAX = 10_000
SILENT_S = 40.0
"""A node that is alive shows it every 15 s."""
PAUSES_S = (0.0, 0.2, 0.5, 1.0, 2.0)
EVENT_BYTES_MAX = 2**20
_POLL_S = 0.2


def _nothing(*_told: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Hooks:
    """Say who wants to know what becomes of a stream; called by whoever asks for messages.

    `opened` gets the node, `lost` the node and why, `gap` the node and how many messages are
    missing at most, None where nobody knows; `closed` nothing, once, at the end.
    """

    opened: Callable[[str], None] = _nothing
    lost: Callable[[str, str], None] = _nothing
    gap: Callable[[str, int | None], None] = _nothing
    closed: Callable[[], None] = _nothing


class _Ended(Exception):  # noqa: N818 - it says what the node said
    """The node ended the stream in good order."""


class Listening:
    """Hear what comes on one route of any of these nodes, in a `with` block."""

    def __init__(
        self,
        nodes: Sequence[RpcClient],
        route: str,
        options: Mapping[str, str] | None = None,
        *,
        hooks: Hooks | None = None,
    ) -> None:
        self._nodes = tuple(nodes)
        self._route = route
        self._options = dict(options or {})
        self._hooks = hooks or Hooks()
        self._heard: queue.Queue[MessageView | Callable[[], None] | AitbcError] = queue.Queue(
            QUEUE_MAX
        )
        self._known: dict[str, None] = {}
        self._last_ids: dict[str, str] = {}
        self._is_open = self._was_open = False
        self._closed = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="messages", daemon=True)
        timeout = httpx.Timeout(SILENT_S, connect=unanswered.CONNECT_TIMEOUT_S)
        self._http = httpx.Client(timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # or the thread waits for a sign of life
        self._thread.join(unanswered.WHOLE_ANSWER_S)
        self._http.close()
        self._hooks.closed()

    def next(self, timeout_s: float) -> MessageView | None:
        """Return the next message, None when none came in time.

        Raises: RefusedError where every node would refuse such a stream.
        """
        until = time.monotonic() + timeout_s
        while True:
            found = self._take(until)
            if found is None or isinstance(found, MessageView):
                return found

    def wait_open(self, timeout_s: float) -> bool:
        """Wait until some node tells what comes from now on; False where none did in time."""
        until = time.monotonic() + timeout_s
        while not self._is_open:  # nothing is heard before
            if self._take(until) is None:
                return False
        return True

    def _take(self, until: float) -> MessageView | bool | None:
        """Take one thing out of the queue; do what is no message. None when there is none."""
        try:
            found = self._heard.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return None
        if isinstance(found, AitbcError):
            raise found
        if isinstance(found, MessageView):
            return found
        found()
        return True

    # In the thread.

    def _run(self) -> None:
        failures = 0
        for node in itertools.cycle(self._nodes):
            reason, was_open = self._hear(node)
            if self._closed.is_set():
                return
            self._put(partial(self._lost, node.name, reason))
            failures = 0 if was_open else failures + 1
            self._closed.wait(PAUSES_S[min(failures, len(PAUSES_S) - 1)])

    def _hear(self, node: RpcClient) -> tuple[str, bool]:
        """Read the stream of one node to its end; return why it ended, and whether it began."""
        was_open = False
        try:
            node.status()  # says whose it is
            last_id = self._last_ids.get(node.name, "")
            headers = {"last-event-id": last_id} if last_id else {}
            with self._http.stream(
                "GET", node.url + self._route, params=self._options, headers=headers
            ) as response:
                if response.status_code != httpx.codes.OK:
                    return self._refused(node, response), False
                self._socket = response.extensions["network_stream"].get_extra_info("socket")
                self._put(partial(self._opened, node.name))
                if self._was_open and not last_id:
                    self._put(partial(self._hooks.gap, node.name, None))
                was_open = self._was_open = True
                for event in _events(response):
                    self._on_event(node.name, event)
        except _Ended as ended:
            return str(ended), was_open
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            return unanswered.reason(error), was_open
        except AitbcError as error:
            return error.message, was_open
        else:
            return "the stream ended", was_open
        finally:
            self._socket = None

    def _on_event(self, node: str, event: Mapping[str, str]) -> None:
        kind, data = event.get("event", ""), event.get("data", "").encode()
        if kind == "message":
            message = decoding.decode(data, MessageView)
            if message.id not in self._known:
                self._known[message.id] = None
                if len(self._known) > REMEMBERED_MAX:
                    del self._known[next(iter(self._known))]
                self._put(message)
        elif kind == "gap":
            self._put(partial(self._hooks.gap, node, msgspec.json.decode(data).get("lost")))
        elif kind == "closing":
            raise _Ended(msgspec.json.decode(data).get("reason", "the node is stopping"))
        if "id" in event:
            self._last_ids[node] = event["id"]

    def _refused(self, node: RpcClient, response: httpx.Response) -> str:
        """Say why there is no stream; hand on what no node would do."""
        response.read()
        told = decoding.decode(response.content, schema.ErrorAnswer)
        refused = RefusedError(node.name, response.status_code, told.error)
        if response.status_code not in TRY_AGAIN:
            self._put(refused)
            self._closed.set()
        return refused.reason

    def _put(self, told: MessageView | Callable[[], None] | AitbcError) -> None:
        """Hand something on; wait while nobody fetches it."""
        while not self._closed.is_set():
            with suppress(queue.Full):
                self._heard.put(told, timeout=_POLL_S)
                return

    # For whoever asks.

    def _opened(self, node: str) -> None:
        self._is_open = True
        self._hooks.opened(node)

    def _lost(self, node: str, reason: str) -> None:
        self._is_open = False
        self._hooks.lost(node, reason)


def _events(response: httpx.Response) -> Iterator[dict[str, Any]]:
    """Cut a stream into events. Raises: httpx.RemoteProtocolError for one without an end."""
    rest = b""
    for piece in response.iter_bytes():
        *whole, rest = (rest + piece).split(b"\n\n")
        if len(rest) > EVENT_BYTES_MAX:
            raise httpx.RemoteProtocolError("an event without an end")
        for text in whole:
            rows = (line.partition(": ") for line in text.decode(errors="replace").splitlines())
            yield {name: value for name, _, value in rows if name}
