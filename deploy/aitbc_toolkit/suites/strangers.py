"""How does a stranger speak to a node: with a key of its own, as any node does, and meaning harm?

What it says is for those who are here to see what that costs: scenarios that flood a node
(`flooding`), and the project's own tests. It runs in a process of its own. Do not add what a mesh
has to make of it.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from aitbc_node.crypto import SigningKey
from aitbc_node.startup import load_genesis
from aitbc_node.transport.addresses import parse_address
from aitbc_node.transport.connection import Connection, Terms, said
from aitbc_node.transport.handshake import Identity, Peer
from aitbc_node.transport.tls import SERVER_NAME, dialer_context
from aitbc_node.types import PeerId

DIAL_S = 10.0
REDIAL_S = 0.2
OWED_S_MAX = 0.2
"""What was not done while this process was held is not made up for in one go."""

Say = Callable[[str], None]
_TLS = dialer_context()


class Victim(msgspec.Struct):
    """Be the node that is attacked."""

    p2p: str
    rpc: str
    peer: str
    genesis: str


class Pace:
    """Tell how much is due, at so much a second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._owed = 0.0
        self._at = time.monotonic()

    def due(self) -> int:
        """Return what is due since the last call."""
        now = time.monotonic()
        self._owed += self._rate * min(now - self._at, OWED_S_MAX)
        self._at = now
        whole = int(self._owed)
        self._owed -= whole
        return whole


class Stranger:
    """Be one key and its link, which it keeps as the node keeps its own."""

    bytes_received = bytes_sent = bytes_queued = 0

    def __init__(
        self,
        victim: Victim,
        source: str,
        *,
        heard: Callable[[str], None],
        take: Callable[[bytes], None] = lambda _: None,
        signer: SigningKey | None = None,
    ) -> None:
        genesis = load_genesis(Path(victim.genesis))
        self.signer = signer or SigningKey(os.urandom(32))
        identity = Identity(genesis.chain_id, genesis.hash(), self.signer, "0.1.0")
        self.terms = Terms(identity=identity, acceptor_context=_TLS, dialer_context=_TLS)
        self.link: Connection | None = None
        self._victim, self._source = victim, source
        self._heard, self._take = heard, take
        self._dialling: asyncio.Task[None] | None = None

    def dial(self) -> None:
        """Try to get in; "up" or the reason why not is heard."""
        self._dialling = asyncio.get_running_loop().create_task(self._dial())

    @property
    def is_idle(self) -> bool:
        """Tell whether it neither has a link nor tries to get one."""
        return self.link is None and (self._dialling is None or self._dialling.done())

    def send(self, payload: bytes) -> None:
        """Send one frame, if there is a link."""
        if self.link is not None:
            self.link.send(len(payload).to_bytes(4) + payload)

    def leave(self) -> None:
        """Be gone, and tell nobody."""
        self._heard = lambda _: None
        if self._dialling is not None:
            self._dialling.cancel()
        if self.link is not None:
            self.link.abort("enough")

    async def _dial(self) -> None:
        host, port = parse_address(self._victim.p2p)
        reason = ""
        try:
            async with asyncio.timeout(DIAL_S):
                _, link = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self, dialled=PeerId(bytes.fromhex(self._victim.peer))),
                    host,
                    port,
                    ssl=_TLS,
                    server_hostname=SERVER_NAME,
                    local_addr=(self._source, 0) if self._source else None,
                )
                reason = await link.settled
        except (OSError, TimeoutError) as error:
            reason = said(error)
        if reason:
            self._heard(f"down {reason}")

    # What the link reports.

    def greet(self, link: Connection) -> None:
        """Take a link that has proved nothing yet."""

    def check(self, link: Connection, peer: Peer) -> None:
        """Have nothing against the node."""

    def up(self, link: Connection, _: Peer) -> None:
        """Take the link into use."""
        self.link = link
        self._heard("up")

    def received(self, _: PeerId, payload: bytes) -> None:
        """Hand a frame on."""
        self._take(payload)

    def full(self, _: PeerId) -> None:
        """Do not mind that the node's wire is slow."""

    def gone(self, _: Connection, peer: PeerId | None, reason: str) -> None:
        """Forget the link; one that never was up is told of by the dial."""
        if peer is not None:
            self.link = None
            self._heard(f"down {reason}")


class Returning:
    """Have one link, and come back whenever it is gone."""

    source = ""
    """The address that it comes from, where this machine has several."""

    def __init__(self, victim: Victim, say: Say) -> None:
        self.figures: Counter[str] = Counter()
        self._say = say
        self._victim = victim
        self._stranger = self._new()
        self._dial_at = 0.0

    def tick(self) -> None:
        """See to the link, and use it."""
        now = time.monotonic()
        if self._stranger.is_idle and now >= self._dial_at:
            self._dial_at = now + REDIAL_S
            self._stranger.dial()
        elif self._stranger.link is not None:
            self.use(self._stranger)

    def stop(self) -> None:
        """Be gone, and be the same one when it goes on."""
        self._stranger.leave()
        self._stranger = self._new(self._stranger.signer)

    def use(self, stranger: Stranger) -> None:
        """Do what it came for."""

    def take(self, payload: bytes) -> None:
        """Take a frame of the node's."""

    def heard(self, line: str) -> None:
        """Take what became of the link."""
        self._say(line)
        self.figures["links" if line == "up" else "ends"] += 1

    def _new(self, signer: SigningKey | None = None) -> Stranger:
        victim, source = self._victim, self.source
        return Stranger(victim, source, heard=self.heard, take=self.take, signer=signer)


class Flood(Returning):
    """Send thousands of frames a second; once its key is banned, with another one."""

    def __init__(self, victim: Victim, say: Say, make: Callable[[], bytes], *, rate: float) -> None:
        super().__init__(victim, say)
        self._make = make
        self._pace = Pace(rate)

    def use(self, stranger: Stranger) -> None:
        """Send what is due."""
        for _ in range(self._pace.due()):
            self.figures["frames"] += 1
            stranger.send(self._make())

    def heard(self, line: str) -> None:
        """Take what became of the link, and another key if this one is worth nothing any more."""
        super().heard(line)
        if "banned here" in line:
            self.figures["bans"] += 1
            self._stranger = self._new()


def junk() -> bytes:
    """Make a frame that is no message."""
    return os.urandom(64)
