"""Links over real sockets on this machine: pinned, proved, bounded."""

import asyncio
import contextlib
import gc
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from aitbc_node.crypto import SigningKey
from aitbc_node.errors import ConfigError
from aitbc_node.events import Event, FrameReceived, Lane, PeerDown, PeerUp, WireFull
from aitbc_node.gossip.subnets import Subnets
from aitbc_node.keyfiles import load_private_key, make_key
from aitbc_node.transport import connection, door, kernel
from aitbc_node.transport.door import STRANGERS_PER_SOURCE_MAX
from aitbc_node.transport.handshake import Identity
from aitbc_node.transport.links import Links, Terms
from aitbc_node.transport.tls import acceptor_context, certificate, dialer_context
from aitbc_node.types import Hash, PeerId

pytestmark = pytest.mark.integration
WAIT_S = 10.0
SO_MAX_PACING_RATE = 47
HALF_OPEN = 10_000


class Node:
    """Be the links of one node and what they have reported."""

    def __init__(self, folder: Path, **terms: object) -> None:
        folder.mkdir()
        make_key(folder / "node.key")
        key = load_private_key(folder / "node.key")
        (folder / "node.crt").write_bytes(certificate(key))
        genesis = terms.pop("genesis", b"g" * 32)
        kept = terms.pop("kept", tuple)
        self.identity = Identity(
            "aitbc-test-1", Hash(genesis), SigningKey(key.private_bytes_raw()), "0.1.0"
        )
        self.events: list[Event] = []
        self._changed = asyncio.Event()
        self.links = Links(
            Terms(
                identity=self.identity,
                acceptor_context=acceptor_context(folder / "node.key", folder / "node.crt"),
                dialer_context=dialer_context(),
                **terms,
            ),
            feed=self._take,
            wall_ms=lambda: 0,
            kept=kept,
        )
        self.address = ""

    @property
    def id(self) -> PeerId:
        return self.identity.id

    def _take(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    async def listen(self, host: str = "127.0.0.1") -> None:
        port = self.links.listen(host, 0)
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def dial(self, other: "Node", address: str = "") -> None:
        self.links.dial(other.id, address or other.address)

    async def until(self, wanted: Callable[[], bool], what: str) -> None:
        deadline = asyncio.get_running_loop().time() + WAIT_S
        while not wanted():
            assert asyncio.get_running_loop().time() < deadline, f"waited for {what}"
            self._changed.clear()
            # Not every change is an event of this node, so look again now and then.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 0.02)

    async def until_linked(self, *others: "Node") -> None:
        await self.until(lambda: {o.id for o in others} <= set(self.links.peers), "linked")

    async def first(self, kind: type[Event]) -> Event:
        await self.until(lambda: any(isinstance(e, kind) for e in self.events), kind.__name__)
        return next(event for event in self.events if isinstance(event, kind))

    def payloads(self) -> list[bytes]:
        return [event.payload for event in self.events if isinstance(event, FrameReceived)]


@asynccontextmanager
async def nodes(tmp_path: Path, count: int = 2, **terms: object) -> AsyncIterator[list[Node]]:
    """Start some nodes that listen and close them again."""
    made = [Node(tmp_path / f"n{index}", **dict(terms)) for index in range(count)]
    try:
        for node in made:
            await node.listen()
        yield made
    finally:
        for node in made:
            await node.links.close()


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Run a coroutine on each of the two loops."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_one(main: object) -> None:
        trouble: list[object] = []
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: trouble.append(context))
            runner.run(main)
            gc.collect()  # a task that failed unseen is reported when it is collected
        assert trouble == []

    return run_one


def test_frames_travel_both_ways_in_order(run: Callable[..., None], tmp_path: Path) -> None:
    """Small and large frames arrive whole, once and in order, on both sides."""

    async def main() -> None:
        async with nodes(tmp_path) as (a, b):
            a.dial(b)
            await a.until_linked(b)
            await b.until_linked(a)
            sent = [bytes([n]) * size for n, size in enumerate((1, 100, 70_000, 3_000_000, 5))]
            for payload in sent:
                a.links.send([b.id], payload)
                b.links.send([a.id, PeerId(b"?" * 20)], payload)

            await b.until(lambda: len(b.payloads()) == 5, "five frames")
            await a.until(lambda: len(a.payloads()) == 5, "five frames")

            assert a.payloads() == b.payloads() == sent
            up = next(event for event in a.events if isinstance(event, PeerUp))
            assert (up.peer, up.outbound, up.address) == (b.id, True, b.address)
            assert up.source == b.address
            assert a.links.bytes_sent > 3_000_000

    run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_both_address_families_work(host: str, tmp_path: Path) -> None:
    """IPv4 and IPv6 are the same to a node."""

    async def main() -> None:
        async with nodes(tmp_path, 1) as (a,):
            b = Node(tmp_path / "b")
            await b.listen(host)
            a.dial(b)
            await a.until_linked(b)
            await b.links.close()
            down = await a.first(PeerDown)
            assert isinstance(down, PeerDown)
            assert down.was_up

    asyncio.run(main())


def test_a_dial_to_another_key_fails(run: Callable[..., None], tmp_path: Path) -> None:
    """The certificate's key must hash to the id that was dialled."""

    async def main() -> None:
        async with nodes(tmp_path, 3) as (a, b, c):
            a.dial(b, address=c.address)

            down = await a.first(PeerDown)

            assert isinstance(down, PeerDown)
            assert (down.peer, down.was_up) == (b.id, False)
            assert f"not {b.id.hex()}" in down.reason
            assert a.links.peers == c.links.peers == ()

    run(main())


@pytest.mark.proves("C3")
def test_a_node_that_is_not_admitted_is_refused_and_told_why(
    run: Callable[..., None], tmp_path: Path
) -> None:
    """Under listed admission a third with a good key of its own gets no link."""

    async def main() -> None:
        async with nodes(tmp_path, 1) as (a,):
            listed = Node(tmp_path / "b", admits=lambda peer: peer == a.id)
            await listed.listen()
            third = Node(tmp_path / "c")
            a.dial(listed)
            third.dial(listed)

            await a.until_linked(listed)
            down = await third.first(PeerDown)

            assert isinstance(down, PeerDown)
            assert (down.was_up, "not admitted" in down.reason) == (False, True)
            assert listed.links.peers == (a.id,)
            await listed.links.close()

    run(main())


@pytest.mark.parametrize("dials", [True, False], ids=["it dials", "it is dialled"])
def test_a_key_that_has_ended_is_refused_on_both_ends_and_told_why(
    run: Callable[..., None], tmp_path: Path, *, dials: bool
) -> None:
    """Proving a key is not enough once the ledger says that it has ended."""

    async def main() -> None:
        async with nodes(tmp_path, 1) as (ended,):
            wary = Node(tmp_path / "b", is_revoked=lambda peer: peer == ended.id)
            await wary.listen()
            dialler, other = (ended, wary) if dials else (wary, ended)
            dialler.dial(other)

            down = await dialler.first(PeerDown)

            assert isinstance(down, PeerDown)
            assert (down.was_up, "revoked: the ledger says" in down.reason) == (False, True)
            assert wary.links.peers == ()
            await wary.links.close()

    run(main())


async def one_stranger_is_turned_away(
    host: Node, first: Node, named: Node, stranger: Node, *, why: str
) -> None:
    """The first one finds a place, the stranger hears why there is none, the named one comes in."""
    await host.listen()
    first.dial(host)
    await first.until_linked(host)
    stranger.dial(host)
    down = await stranger.first(PeerDown)

    named.dial(host)
    await named.until_linked(host)

    assert isinstance(down, PeerDown)
    assert why in down.reason
    assert set(host.links.peers) == {first.id, named.id}
    await host.links.close()


@pytest.mark.parametrize("by", ["operator", "ledger"])
def test_a_full_node_keeps_room_for_who_is_named(
    run: Callable[..., None], tmp_path: Path, by: str
) -> None:
    """A stranger finds no room where a named peer, not linked yet, still does."""

    async def main() -> None:
        async with nodes(tmp_path, 2) as (first, named):
            host = Node(
                tmp_path / "b",
                peers_max=2,
                named=frozenset({named.id} if by == "operator" else ()),
                kept=lambda: (named.id,) if by == "ledger" else (),
            )
            stranger = Node(tmp_path / "c")
            why = "no room"
            await one_stranger_is_turned_away(host, first, named, stranger, why=why)

    run(main())


def test_strangers_of_one_network_find_so_many_places(
    run: Callable[..., None], tmp_path: Path
) -> None:
    """Identities and addresses of one network are cheap; a named peer of it comes in anyway."""

    async def main() -> None:
        async with nodes(tmp_path, 2) as (first, named):
            host = Node(
                tmp_path / "b",
                named=frozenset({named.id}),
                subnets=Subnets(()),
                subnet_links=1,
            )
            stranger = Node(tmp_path / "c")
            why = "no room for another peer of its network"
            await one_stranger_is_turned_away(host, first, named, stranger, why=why)

    run(main())


def test_another_genesis_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Two chains never mix, and the operator reads why."""

    async def main() -> None:
        async with nodes(tmp_path, 1) as (a,):
            other = Node(tmp_path / "b", genesis=b"h" * 32)
            await other.listen()
            a.dial(other)

            down = await a.first(PeerDown)

            assert isinstance(down, PeerDown)
            assert "genesis 68686868" in down.reason
            await other.links.close()

    asyncio.run(main())


@pytest.mark.proves("C3")
def test_no_plaintext_is_on_the_wire(run: Callable[..., None], tmp_path: Path) -> None:
    """A proxy that records all bytes finds neither messages nor ids nor the chain's name."""

    async def main() -> None:
        seen = bytearray()

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                seen.extend(data)
                writer.write(data)
            writer.close()

        async with nodes(tmp_path) as (a, b):
            host, port = b.address.rsplit(":", 1)
            pumps: list[asyncio.Task[None]] = []

            async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                far_reader, far_writer = await asyncio.open_connection(host, int(port))
                pumps.append(asyncio.create_task(pump(reader, far_writer)))
                pumps.append(asyncio.create_task(pump(far_reader, writer)))

            proxy = await asyncio.start_server(relay, "127.0.0.1", 0)
            a.dial(b, address=f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
            await a.until_linked(b)
            a.links.send([b.id], b"a message in the clear" * 100)
            await b.until(lambda: len(b.payloads()) == 1, "the message")
            await a.links.close()
            await asyncio.gather(*pumps, return_exceptions=True)
            proxy.close()

            assert len(seen) > 2200, "the proxy saw the link"
            for secret in (b"in the clear", b"aitbc-test-1", b"aitbc/link", a.id, b.id):
                assert secret not in seen

    run(main())


def test_two_that_dial_each_other_keep_the_same_one_link(
    run: Callable[..., None], tmp_path: Path
) -> None:
    """Both sides keep the link that the smaller id dialled, and it carries frames."""

    async def main() -> None:
        async with nodes(tmp_path) as (a, b):
            small, large = sorted((a, b), key=lambda node: node.id)

            def settled() -> bool:
                return all(
                    [e.outbound for e in node.events if isinstance(e, PeerUp)][-1:] == [outbound]
                    and len(node.links.peers) == 1
                    and not node.links._dials
                    for node, outbound in ((small, True), (large, False))
                )

            for _ in range(10):
                small.dial(large)
                large.dial(small)
                await small.until(settled, "one link on both sides")
                await large.until(settled, "one link on both sides")
                small.links.send([large.id], b"to large")
                large.links.send([small.id], b"to small")
                await large.until(lambda: large.payloads()[-1:] == [b"to large"], "a frame")
                await small.until(lambda: small.payloads()[-1:] == [b"to small"], "a frame")
                small.links.disconnect(large.id, "again")
                await small.until(lambda: not small.links.peers, "the end")
                await large.until(lambda: not large.links.peers, "the end")
                small.events.clear()
                large.events.clear()

    run(main())


@pytest.mark.proves("E18")
def test_a_peer_that_reads_too_slowly_loses_its_link(
    run: Callable[..., None], tmp_path: Path
) -> None:
    """The sender's memory stays bounded and nobody else waits."""

    async def main() -> None:
        async with nodes(tmp_path, queue_bytes_max=2_000_000) as (a, b):
            a.dial(b)
            await a.until_linked(b)
            await b.until_linked(a)
            b.links._up[a.id]._transport.pause_reading()

            for _ in range(200):
                a.links.send([b.id], b"x" * 1_000_000)
                await asyncio.sleep(0)
                if not a.links.peers:
                    break

            down = await a.first(PeerDown)
            assert isinstance(down, PeerDown)
            assert "too slowly" in down.reason

    run(main())


def stop_reading(node: Node, other: Node) -> None:
    """Let a node read nothing more from another one."""
    node.links._up[other.id]._transport.pause_reading()


async def until_stuck(node: Node, other: Node) -> None:
    """Send what the kernel holds, until nothing more leaves."""
    for _ in range(100):
        if node.links._up[other.id]._stuck is not None:
            return
        node.links.send([other.id], b"x" * 1_000_000)
        await asyncio.sleep(0)
    pytest.fail("a hundred megabytes left for somebody who reads nothing")


@pytest.mark.proves("E18")
def test_a_peer_that_reads_nothing_is_cut_off_after_a_time_and_nobody_waits(
    run: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little waits for it: what is old is of no use; its bytes are forgotten."""
    monkeypatch.setattr(connection, "STUCK_S", 0.5)
    monkeypatch.setattr(kernel, "DEAD_AFTER_MS", 600_000)  # the kernel would be the first

    async def main() -> None:
        async with nodes(tmp_path, 3) as (a, stuck, other):
            for node in (stuck, other):
                a.dial(node)
                await a.until_linked(node)
                await node.until_linked(a)
            stop_reading(stuck, a)
            await until_stuck(a, stuck)

            a.links.send([stuck.id, other.id], b"to both")
            await other.until(lambda: other.payloads()[-1:] == [b"to both"], "its frame")

            def is_down() -> bool:
                a.links.send([stuck.id], b"x" * 100_000)
                return any(isinstance(event, PeerDown) for event in a.events)

            await a.until(is_down, "the end of the link")
            down = await a.first(PeerDown)
            assert isinstance(down, PeerDown)
            assert (down.peer, down.reason) == (stuck.id, "it has read nothing for long")
            assert a.links.peers == (other.id,)
            assert a.links.bytes_queued == 0

    run(main())


def test_a_link_whose_wire_is_full_is_told(run: Callable[..., None], tmp_path: Path) -> None:
    """The kernel paces it here; the peer reads all that comes."""

    async def main() -> None:
        async with nodes(tmp_path) as (a, b):
            a.dial(b)
            await a.until_linked(b)
            transport = a.links._up[b.id]._transport
            assert transport is not None
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, 20_000)

            def is_told() -> bool:
                if a.links.bytes_queued < 1_000_000:
                    a.links.send([b.id], b"x" * 200_000)
                return any(isinstance(event, WireFull) for event in a.events)

            a.links.send([b.id], b"x" * 2_000_000)
            await a.until(is_told, "a full wire")
            assert {event.peer for event in a.events if isinstance(event, WireFull)} == {b.id}
            a.links._up[b.id].abort("enough")
            await a.first(PeerDown)

    run(main())


def test_votes_leave_before_old_blocks(run: Callable[..., None], tmp_path: Path) -> None:
    """A peer that catches up over a slow link still hears what is going on now."""

    async def main() -> None:
        async with nodes(tmp_path) as (a, b):
            a.dial(b)
            await a.until_linked(b)
            await b.until_linked(a)
            stop_reading(b, a)
            await until_stuck(a, b)
            a.links.send([b.id], b"message", Lane.MESSAGES)
            for name in (b"old 1", b"old 2"):
                a.links.send([b.id], name, Lane.BLOCKS)
            for name in (b"vote 1", b"vote 2"):
                a.links.send([b.id], name)

            b.links._up[a.id]._transport.resume_reading()
            await b.until(lambda: b"message" in b.payloads(), "all frames")

            small = [name for name in b.payloads() if len(name) < 10]
            assert small == [b"vote 1", b"vote 2", b"old 1", b"old 2", b"message"]
            assert a.links.bytes_queued == 0

    run(main())


def test_what_a_peer_has_not_read_is_counted_and_not_hidden_below(
    run: Callable[..., None], tmp_path: Path
) -> None:
    """However much is queued in one turn: the bounds of the queues are those of the memory."""

    async def main() -> None:
        async with nodes(tmp_path) as (a, b):
            a.dial(b)
            await a.until_linked(b)
            await b.until_linked(a)
            stop_reading(b, a)
            link = a.links._up[b.id]
            for _ in range(24):
                a.links.send([b.id], b"x" * 1_000_000)

            await a.until(lambda: link._stuck is not None, "a full buffer")

            assert a.links.bytes_queued > 8_000_000, "the kernel has less room on both sides"
            assert link._transport.get_write_buffer_size() < 1_000_000

    run(main())


def test_all_queues_together_are_bounded(run: Callable[..., None], tmp_path: Path) -> None:
    """Many slow peers cost no more than a few: the slowest one goes."""

    async def main() -> None:
        async with nodes(tmp_path, 3, all_queues_bytes_max=8_000_000) as (a, b, c):
            for node in (b, c):
                a.dial(node)
                await a.until_linked(node)
                await node.until_linked(a)
                stop_reading(node, a)
                await until_stuck(a, node)

            # Either may hold the rest of one frame that has begun to leave.
            for _ in range(2):
                a.links.send([b.id, c.id], b"x" * 1_000_000)
            for _ in range(2):
                a.links.send([c.id], b"x" * 1_000_000)
            assert 6_000_000 < a.links.bytes_queued <= 8_000_000
            a.links.send([b.id, c.id], b"x" * 1_000_000)

            down = await a.first(PeerDown)
            assert isinstance(down, PeerDown)
            assert (down.peer, "slowest" in down.reason) == (c.id, True)
            assert a.links.bytes_queued <= 5_000_000

    run(main())


def test_a_source_that_comes_again_and_again_waits(
    run: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fresh keys cost nothing; attempts of one source do, before any handshake costs us."""
    monkeypatch.setattr(door, "ATTEMPTS_BURST", 3)
    monkeypatch.setattr(door, "ATTEMPTS_PER_S", 1)

    async def main() -> None:
        async with nodes(tmp_path) as (a, b):
            host, port = b.address.rsplit(":", 1)
            knocks = 0
            while not b.links.door.turned_away:
                knocks += 1
                _, writer = await asyncio.open_connection(
                    host, int(port), local_addr=("127.0.0.9", 0)
                )
                writer.close()
                await b.until(lambda: not b.links.door._strangers, "it to be gone")
                assert knocks < 100

            a.dial(b)
            await a.until_linked(b)

            assert knocks > 3

    run(main())


def test_a_network_that_comes_again_and_again_waits_but_for_who_is_named(
    run: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another address of it costs nothing either; a named peer that came from there comes in."""
    monkeypatch.setattr(door, "NETWORK_BURST", 3)
    monkeypatch.setattr(door, "GREET_PAUSE_S", 0)
    monkeypatch.setattr(door, "ATTEMPTS_PER_S", 1)

    async def main() -> None:
        async with nodes(tmp_path, 1) as (a,):
            b = Node(tmp_path / "b", named=frozenset({a.id}), subnets=Subnets(()))
            await b.listen()
            host, port = b.address.rsplit(":", 1)
            a.dial(b)
            await a.until_linked(b)
            await b.until_linked(a)
            for number in range(2, 100):
                source = (f"127.0.0.{number}", 0)
                _, writer = await asyncio.open_connection(host, int(port), local_addr=source)
                writer.close()
                await b.until(lambda: not b.links.door._strangers, "it to be gone")
                if b.links.door.turned_away:
                    break
            assert 1 < number < 99

            a.links.disconnect(b.id, "again")
            await b.until(lambda: not b.links.peers, "the end")
            await a.until(lambda: not a.links.peers, "the end")
            a.dial(b)
            await a.until_linked(b)
            await b.links.close()

    run(main())


def test_a_named_peer_comes_in_through_a_crowd_of_its_network_though_never_seen_before(
    run: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart nobody has come from anywhere yet; what the operator wrote is enough."""
    monkeypatch.setattr(door, "NETWORK_BURST", 3)
    monkeypatch.setattr(door, "GREET_PAUSE_S", 0)
    monkeypatch.setattr(door, "ATTEMPTS_PER_S", 1)

    async def main() -> None:
        async with nodes(tmp_path, 1) as (a,):
            named, homes = frozenset({a.id}), {a.id: "127.0.0.1"}
            b = Node(tmp_path / "b", named=named, homes=homes, subnets=Subnets(()))
            await b.listen()
            host, port = b.address.rsplit(":", 1)
            for number in range(2, 100):
                source = (f"127.0.0.{number}", 0)
                _, writer = await asyncio.open_connection(host, int(port), local_addr=source)
                writer.close()
                await b.until(lambda: not b.links.door._strangers, "it to be gone")
                if b.links.door.turned_away:
                    break
            assert b.links.door.turned_away

            a.dial(b)
            await a.until_linked(b)
            await b.links.close()

    run(main())


def test_an_ipv4_peer_is_the_same_on_a_door_of_both_families(
    run: Callable[..., None], tmp_path: Path
) -> None:
    """Its source is written as on its own links, or its home would not be known again."""

    async def main() -> None:
        async with nodes(tmp_path, 1) as (a,):
            b = Node(tmp_path / "b")
            await b.listen("::")
            a.dial(b, "127.0.0.1:" + b.address.rsplit(":", 1)[1])
            up = await b.first(PeerUp)
            assert isinstance(up, PeerUp)
            assert up.source.startswith("127.0.0.1:")
            await b.links.close()

    run(main())


def test_strangers_get_little_room_and_little_time(
    run: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its proof a dialer can send 4 KiB and must be quick; after TLS nobody is trusted."""
    monkeypatch.setattr(connection, "HANDSHAKE_S", 0.3)

    async def main() -> None:
        async with nodes(tmp_path, 1) as (a,):
            host, port = a.address.rsplit(":", 1)
            for first in (b"", b"\xff\xff\xff\xff", (5000).to_bytes(4, "big") + b"x" * 5000):
                reader, writer = await asyncio.open_connection(
                    host, int(port), ssl=dialer_context(), server_hostname="any"
                )
                writer.write(first)
                async with asyncio.timeout(WAIT_S):
                    assert await reader.read(), "a greeting"
                    while await reader.read(65536):
                        pass
                writer.close()
            assert a.events == []

    run(main())


def test_one_host_that_opens_many_connections_keeps_only_itself_out(
    run: Callable[..., None], tmp_path: Path
) -> None:
    """Those beyond its share are closed at once; a peer from elsewhere gets its link."""

    async def main() -> None:
        async with nodes(tmp_path) as (a, b):
            host, port = b.address.rsplit(":", 1)
            opened = [
                await asyncio.open_connection(host, int(port), local_addr=("127.0.0.9", 0))
                for _ in range(STRANGERS_PER_SOURCE_MAX + 5)
            ]
            await b.until(lambda: b.links.door.turned_away == 5, "five turned away")

            a.dial(b)
            await a.until_linked(b)

            assert b.links.door.turned_away == 5
            for _, writer in opened:
                writer.close()
            await b.until(lambda: not b.links.door._strangers, "all of them gone")

    run(main())


@pytest.mark.nightly
def test_ten_thousand_half_open_connections_keep_nobody_out(
    run: Callable[..., None], tmp_path: Path
) -> None:
    """They say nothing and go on: a few are waited for, and a peer gets its link beside them."""

    async def main() -> None:
        async with nodes(tmp_path) as (a, b):
            host, port = b.address.rsplit(":", 1)
            with contextlib.ExitStack() as held:
                for _ in range(HALF_OPEN):
                    sock = held.enter_context(socket.socket())
                    sock.setblocking(False)  # noqa: FBT003 - the standard library's way
                    sock.bind(("127.0.0.9", 0))
                    with contextlib.suppress(BlockingIOError):
                        sock.connect((host, int(port)))
                    await asyncio.sleep(0)
                    assert b.links.door._strangers.total() <= STRANGERS_PER_SOURCE_MAX

                a.dial(b)
                await a.until_linked(b)
                a.links.send([b.id], b"still here")
                await b.until(lambda: b.payloads() == [b"still here"], "a frame")

                assert b.links.door.turned_away > 0
                assert b.links.peers == (a.id,)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        run(main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_old_tls_is_refused(tmp_path: Path) -> None:
    """Nothing below TLS 1.3 gets as far as a greeting."""

    async def main() -> None:
        async with nodes(tmp_path, 1) as (a,):
            old = dialer_context()
            old.minimum_version = ssl.TLSVersion.TLSv1_2
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            host, port = a.address.rsplit(":", 1)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection(host, int(port), ssl=old, server_hostname="any")

    asyncio.run(main())


def test_a_taken_port_is_one_clear_error(tmp_path: Path) -> None:
    """The message names the setting and the address."""

    async def main() -> None:
        async with nodes(tmp_path, 1) as (a,):
            b = Node(tmp_path / "b")
            host, port = a.address.rsplit(":", 1)
            with pytest.raises(ConfigError, match=rf"p2p\.listen.*{port}"):
                b.links.listen(host, int(port))

    asyncio.run(main())


def test_a_refused_dial_is_reported_once(run: Callable[..., None], tmp_path: Path) -> None:
    """No listener: one event, which says so."""

    async def main() -> None:
        async with nodes(tmp_path) as (a, b):
            await b.links.close()
            for address in (b.address, "nonsense"):
                a.events.clear()
                a.dial(b, address=address)
                down = await a.first(PeerDown)
                assert isinstance(down, PeerDown)
                assert (down.was_up, bool(down.reason)) == (False, True)
            assert len(a.events) == 1

    run(main())
