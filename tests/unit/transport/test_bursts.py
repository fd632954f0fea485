"""What becomes of the links of a node when its clients say much at once."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from aitbc_node.events import Lane
from aitbc_node.limits import KIB, MIB, PEER_QUEUE_LETTERS_BYTES_MAX
from aitbc_node.transport.connection import Connection
from aitbc_node.transport.links import Links, Terms
from aitbc_node.types import PeerId

PEERS = tuple(PeerId(bytes([number]) * 20) for number in range(3))


class Wire:
    """Be where bytes leave."""

    def __init__(self) -> None:
        self.written = b""
        self.is_aborted = False

    def is_closing(self) -> bool:
        return self.is_aborted

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.is_aborted = True


def linked(links: Links, peer: PeerId) -> Wire:
    """Let a peer be linked, on a wire of which all is known."""
    link, wire = Connection(links, dialled=peer), Wire()
    link._transport = cast("Any", wire)
    link._watch = cast("Any", SimpleNamespace(begin=lambda: None))
    links._up[peer] = link
    return wire


def test_messages_of_accounts_cost_nobody_a_link() -> None:
    """However many clients hand in at once: what is too much is left out, and votes are not."""

    async def main() -> None:
        terms = SimpleNamespace(
            acceptor_context=None,
            homes={},
            queue_bytes_max=6 * MIB,
            all_queues_bytes_max=(2 * len(PEERS)) * PEER_QUEUE_LETTERS_BYTES_MAX,
        )
        links = Links(cast("Terms", terms), feed=lambda _: None, wall_ms=int)
        wires = [linked(links, peer) for peer in PEERS]
        for number in range(150):
            links.send(PEERS, number.to_bytes(64 * KIB), Lane.MESSAGES)
        assert MIB // 2 < links.bytes_queued // len(PEERS) <= PEER_QUEUE_LETTERS_BYTES_MAX
        links.send(PEERS, b"vote")
        await asyncio.sleep(0)

        for wire in wires:
            assert not wire.is_aborted
            assert wire.written[4:8] == b"vote", "it is not behind them"
            assert MIB // 2 < len(wire.written) <= MIB + KIB
        assert links.bytes_queued == 0
        links.send(PEERS, b"later", Lane.MESSAGES)
        await asyncio.sleep(0)
        assert all(wire.written.endswith(b"later") for wire in wires), "there is room again"

    asyncio.run(main())
