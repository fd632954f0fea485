"""How a node process is put together, and how it ends.

What is read first is in `startup.py`; then links, HTTP and the machine's first event, and the
reverse on the way out. Do not add behaviour of the running node: that is `driver.py` and below.
"""

import asyncio
import contextlib
import logging
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from typing import Any

import uvloop
from msgspec import structs

from aitbc_node import crypto, inheriting, keyfiles
from aitbc_node.announcing import Announcer
from aitbc_node.collecting import LOOK_S, collect_seldom, look_at_all
from aitbc_node.config import Config
from aitbc_node.driver import Clock, Driver
from aitbc_node.errors import ConfigError
from aitbc_node.gossip.book import Book
from aitbc_node.gossip.messages import READS_HANDED, READS_LETTERS
from aitbc_node.gossip.subnets import Subnets
from aitbc_node.heartbeat import BEAT_S, Heart
from aitbc_node.machine import Machine
from aitbc_node.metrics import Counters
from aitbc_node.readings import collector_of
from aitbc_node.restarts import YOUNG_S, FastExits
from aitbc_node.rpc.post import Post
from aitbc_node.rpc.server import Server, admin_server, public_server
from aitbc_node.rpc.streams import Hub
from aitbc_node.serving import NodePort, OperatorPort
from aitbc_node.startup import (
    Files,
    Found,
    Identities,
    absence_of,
    load_identities,
    locked,
    open_store,
    restored_machine,
)
from aitbc_node.storage.index import TxIndex
from aitbc_node.succession import Succession
from aitbc_node.transport.addresses import parse_address
from aitbc_node.transport.connection import Connection
from aitbc_node.transport.handshake import Identity
from aitbc_node.transport.links import Links, Terms
from aitbc_node.transport.tls import acceptor_context, certificate, dialer_context
from aitbc_node.types import Height, PeerId
from aitbc_node.version import VERSION

GIL_SWITCH_S = 0.0005
"""The disk thread asks for the interpreter a few times per write; by default it waits 5 ms each."""

log = logging.getLogger(__name__)


def run(config: Config, *, not_before: Height | None, exits: FastExits, heart: Heart) -> None:
    """Run a node until it is told to stop.

    Raises: AitbcError for everything that an operator can mend, AssertionError for our bugs.
    """
    identities = load_identities(config)
    _raise_file_limit()
    sys.setswitchinterval(GIL_SWITCH_S)
    with locked(config) as files:
        found = open_store(config, files, identities, not_before=not_before, on_progress=heart.beat)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            running = _running(config, identities, files, found)
            runner.run(_live(running, heart, exits))


async def _live(
    running: contextlib.AbstractAsyncContextManager[Driver], heart: Heart, exits: FastExits
) -> None:
    stop = _stop_signal(exits)
    async with running as driver:
        asyncio.get_running_loop().call_later(YOUNG_S, exits.lived)
        heart.ready()
        _keep_beating(heart)
        await asyncio.wait((stop, driver.failed), return_when=asyncio.FIRST_COMPLETED)
        heart.rest()
        if driver.failed.done():
            await driver.failed  # raises what ended the node
        log.info("node.stopping")


@contextlib.asynccontextmanager
async def _running(
    config: Config, identities: Identities, files: Files, found: Found
) -> AsyncIterator[Driver]:
    """Start everything, and stop it in the reverse order however this ends."""
    clock = Clock()
    counters = Counters(started_ms=clock.wall_ms())
    boot = f"{clock.wall_ms():x}"
    hub, post = Hub(boot=boot), Post(boot=boot, hrp=identities.genesis.hrp)
    async with contextlib.AsyncExitStack() as stack:
        index = TxIndex(config.data_dir / "index.db" if config.storage.backend == "disk" else None)
        stack.callback(index.close)
        machine = restored_machine(config, identities, found, index)
        absence = absence_of(machine, config, wall_ms=clock.wall_ms())
        if absence:
            log.warning("chain.long_absence", extra={"reason": absence})
        announcer = Announcer(index, hub, counters, post=post)
        driver = Driver(
            machine,
            found.store,
            announcer,
            snapshots=found.snapshots,
            verify=crypto.verify,
            clock=clock,
        )
        stack.push_async_callback(driver.stop)
        asyncio.get_running_loop().set_exception_handler(_failing(driver))
        peers = machine.view.mesh.peers
        terms = structs.replace(
            _terms(config, identities, peers.book),
            is_banned=lambda peer: peers.standing.is_banned(peer, clock.now_ms()),
            is_revoked=peers.is_revoked,
        )
        links = Links(
            terms,
            feed=driver.feed,
            wall_ms=clock.wall_ms,
            kept=lambda: kept(terms.named, peers.book),
        )
        driver.wire = links
        stack.push_async_callback(links.close)
        port = NodePort(
            config, identities, driver, machine=machine, announcer=announcer, hub=hub, post=post
        )
        collector = collector_of(
            counters, port, driver=driver, machine=machine, files=files, links=links
        )
        port.collector = collector if config.metrics.enabled else None
        for server in _servers(config, port, driver, machine):
            await server.start()
            stack.push_async_callback(server.stop)
        # In one turn of the loop with the first event: who is banned is known before anybody comes.
        links.listen(*parse_address(config.p2p.listen))
        collect_seldom()
        asyncio.get_running_loop().call_later(LOOK_S, _keep_looking)
        told = {"height": machine.view.height, "p2p": config.p2p.listen, "rpc": config.rpc.listen}
        log.info("node.running", extra=told)
        driver.begin(machine.start(now_ms=clock.now_ms(), wall_ms=clock.wall_ms()))
        own_id = crypto.peer_id(identities.node.public_key)
        stack.callback(_watch_own_key(config, driver, lambda: peers.book.heirs_of((own_id,))))
        yield driver


def _watch_own_key(
    config: Config, driver: Driver, heirs: Callable[[], Collection[PeerId]]
) -> Callable[[], object]:
    """Let the node take the key that the ledger has put in its own one's place; return the end."""

    def ended(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and (error := done.exception()):
            driver.fail(error)

    watch = asyncio.get_running_loop().create_task(
        inheriting.until_renamed(config.key_dir, heirs), name="own key"
    )
    watch.add_done_callback(ended)
    return watch.cancel


def _servers(config: Config, port: NodePort, driver: Driver, machine: Machine) -> Iterator[Server]:
    """Make the server of everybody and that of the operator, as far as they are wanted."""
    if config.rpc.listen:
        yield public_server(port, listen=config.rpc.listen, rate=config.rpc.rate)
    if config.rpc.admin_listen:
        if not config.rpc.admin_token_file:
            raise ConfigError("rpc.admin_listen without rpc.admin_token_file: anybody could use it")
        token = keyfiles.load_token(config.folder / config.rpc.admin_token_file)
        name, listen = config.node.id, config.rpc.admin_listen
        operator = OperatorPort(driver, machine, Succession(config.key_dir))
        yield admin_server(operator, name=name, listen=listen, token=token)


def _terms(config: Config, identities: Identities, book: Book) -> Terms:
    key_file = config.key_dir / keyfiles.NODE_KEY
    shown = config.run_dir / "node.crt"
    try:
        shown.parent.mkdir(parents=True, exist_ok=True)
        shown.write_bytes(certificate(keyfiles.load_private_key(key_file)))
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be written: {error.strerror}") from error
    known = frozenset(peer.peer_id for peer in config.p2p.bootstrap) | frozenset(
        PeerId(bytes.fromhex(peer)) for peer in config.p2p.allowed
    )
    return Terms(
        identity=Identity(
            chain_id=identities.genesis.chain_id,
            genesis_hash=identities.genesis.hash(),
            signer=identities.node,
            release=VERSION + READS_LETTERS + READS_HANDED,
            advertise=config.p2p.advertise,
        ),
        acceptor_context=acceptor_context(key_file, shown),
        dialer_context=dialer_context(),
        admits=admission(known, book, is_open=config.p2p.admission == "open"),
        homes={peer.peer_id: parse_address(peer.address)[0] for peer in config.p2p.bootstrap},
        named=known - {crypto.peer_id(identities.node.public_key)},
        peers_max=config.p2p.max_peers,
        subnets=Subnets(config.p2p.free_networks),
        subnet_links=config.p2p.subnet_links,
    )


def admission(listed: frozenset[PeerId], book: Book, *, is_open: bool) -> Callable[[PeerId], bool]:
    """Judge who may link: everybody, or who is listed, or in the place of one who was."""
    return lambda peer: is_open or peer in listed or peer in book.heirs_of(listed)


def kept(listed: frozenset[PeerId], book: Book) -> set[PeerId]:
    """Name those for whom room is kept beside who is listed."""
    return {*(entry.peer for entry in book.near), *book.heirs_of(listed)}


def _keep_beating(heart: Heart) -> None:
    """Beat for as long as the loop turns."""
    heart.beat()
    asyncio.get_running_loop().call_later(BEAT_S / 2, _keep_beating, heart)


def _keep_looking() -> None:
    """Let the collector look at all for as long as the loop turns."""
    look_at_all()
    asyncio.get_running_loop().call_later(LOOK_S, _keep_looking)


def _stop_signal(exits: FastExits) -> asyncio.Future[None]:
    """Return what is done once somebody asks the process to stop.

    A life that was asked to end is no crash, even if it does not end in time and is killed.
    """
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def ask() -> None:
        if not stop.done():
            exits.ended_orderly()
            stop.set_result(None)

    for wanted in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(wanted, ask)
    return stop


def _failing(driver: Driver) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return a handler by which a callback of ours that fails ends the process.

    What a single connection or a task of the HTTP server runs into is logged; a stranger must not
    be able to end the node that way.
    """

    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        is_ours = "handle" in context or isinstance(context.get("protocol"), Connection)
        if is_ours and isinstance(error, Exception) and not isinstance(error, OSError | EOFError):
            driver.fail(error)
        else:
            log.warning(
                "loop.trouble", extra={"what": context.get("message"), "error": repr(error)}
            )

    return handle


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
