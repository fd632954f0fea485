"""Can this build and another one link, and read every frame that the other one sends?

One process accepts, one dials, over the loopback: the real TLS, the real handshake, then one of
each message, both ways. Keys are made for the occasion and never touch a node. Do not add what the
messages are: `wire.py` has them.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from aitbc_node import examples, keyfiles, wire
from aitbc_node.canonical import encode
from aitbc_node.errors import Exit, PeerFault
from aitbc_node.events import Event, FrameReceived, PeerDown, PeerUp
from aitbc_node.gossip.messages import READS_HANDED, READS_LETTERS, Ping, decode_message
from aitbc_node.transport.connection import Connection
from aitbc_node.transport.handshake import Identity
from aitbc_node.transport.links import Links, Terms
from aitbc_node.transport.tls import acceptor_context, certificate, dialer_context
from aitbc_node.types import PeerId
from aitbc_node.version import VERSION

READS = READS_LETTERS + READS_HANDED

LAST = Ping(2**62)
"""What says that no more examples follow, in both builds."""


class Invitation(msgspec.Struct, frozen=True):
    """Say where to dial, and whom to expect there."""

    address: str
    peer: str


class Shaken(msgspec.Struct, frozen=True):
    """Tell what came of it; `refused` says why frames of the other build cannot be read here."""

    ok: bool
    peer: str
    release: str
    frames: int
    refused: list[str]
    why: str = ""

    @property
    def exit_status(self) -> Exit:
        """Return how the command ends."""
        return Exit.OK if self.ok else Exit.FAILED


class _Door(Links):
    """Hold links, and say also why one never stood: an acceptor would not hear of it."""

    def gone(self, link: Connection, peer: PeerId | None, reason: str) -> None:
        """Forget a closed link."""
        super().gone(link, peer, reason)
        if peer is None and not link.is_outbound:
            self._report(
                PeerDown(wall_ms=0, peer=self.terms.identity.id, reason=reason, was_up=False)
            )


class _Shake:
    """Watch one link from its first event to the other side's last frame."""

    def __init__(self) -> None:
        self.done: asyncio.Future[Shaken] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()
        self.links: Links | None = None
        self._peer, self._release = "", ""
        self._frames = 0
        self._refused: list[str] = []

    def take(self, event: Event) -> None:
        """Take what the link reports."""
        match event:
            case PeerUp(peer=peer, version=version):
                self._peer, self._release = peer.hex(), version
                self._send_all(peer)
            case FrameReceived(payload=payload):
                self._read(payload)
            case PeerDown(reason=reason):
                self.closed.set()
                self._end(f"the link: {reason}")
            case _:
                pass

    def _send_all(self, peer: PeerId) -> None:
        assert self.links is not None, "a link that nobody holds"
        for payload in (*wire.frames(self._release), encode(LAST)):
            self.links.send((peer,), payload)

    def _read(self, payload: bytes) -> None:
        self._frames += 1
        try:
            message = decode_message(payload)
        except PeerFault as fault:
            self._refused.append(fault.what)
            return
        if message == LAST:
            self._end("" if not self._refused else "frames that this build cannot read")

    def _end(self, why: str) -> None:
        if not self.done.done():
            number = self._release.partition("+")[0]
            told = Shaken(not why, self._peer, number, self._frames, self._refused, why)
            self.done.set_result(told)


def shake(
    *, dial: str, peer: PeerId | None, deadline_s: float, invite: Callable[[Invitation], None]
) -> Shaken:
    """Accept one link, or dial one, and exchange everything.

    Without a `peer` this side accepts, and `invite` is told where.
    Raises: TimeoutError when nobody came, or somebody did not finish.
    """

    async def run() -> Shaken:
        with _terms() as terms:
            async with asyncio.timeout(deadline_s):
                return await _exchange(terms, dial, peer, invite)

    return asyncio.run(run())


async def _exchange(
    terms: Terms, dial: str, peer: PeerId | None, invite: Callable[[Invitation], None]
) -> Shaken:
    shaking = _Shake()
    links = shaking.links = _Door(terms, feed=shaking.take, wall_ms=lambda: 0)
    try:
        if peer is None:
            port = links.listen("127.0.0.1", 0)
            invite(Invitation(f"127.0.0.1:{port}", terms.identity.id.hex()))
        else:
            links.dial(peer, dial)
        done = await shaking.done
    finally:
        await links.close()
    # The other side is done when it has read our last frame, so that has to leave first.
    await shaking.closed.wait()
    return done


@contextlib.contextmanager
def _terms() -> Iterator[Terms]:
    with tempfile.TemporaryDirectory(prefix="aitbc-shake-") as folder:
        key_file, shown = Path(folder) / keyfiles.NODE_KEY, Path(folder) / "node.crt"
        keyfiles.make_key(key_file)
        shown.write_bytes(certificate(keyfiles.load_private_key(key_file)))
        signer = keyfiles.load_signer(key_file)
        yield Terms(
            identity=Identity(examples.CHAIN_ID, examples.GENESIS, signer, VERSION + READS),
            acceptor_context=acceptor_context(key_file, shown),
            dialer_context=dialer_context(),
        )
