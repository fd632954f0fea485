"""Where is each metric read from? Its name, what it means, and the part that knows it.

A reading costs nothing until somebody asks. Do not count here: `metrics.Counters`.
"""

import math
from typing import Protocol

from aitbc_node.driver import Driver
from aitbc_node.errors import DiskError
from aitbc_node.machine import Machine
from aitbc_node.metrics import Counters, NodeCollector, Reading
from aitbc_node.rpc.post import Post
from aitbc_node.rpc.streams import Hub
from aitbc_node.rpc.view import Facts
from aitbc_node.startup import Files
from aitbc_node.storage.files import FileDisk
from aitbc_node.transport.links import Links

Readings = dict[str, tuple[str, Reading]]


class Told(Protocol):
    """Be what says which node this is, and counts who listens."""

    @property
    def facts(self) -> Facts:
        """Return what does not change."""

    @property
    def hub(self) -> Hub:
        """Return the ring of the node's own events."""

    @property
    def post(self) -> Post:
        """Return the rings of messages of accounts."""


def collector_of(
    counters: Counters,
    told: Told,
    *,
    driver: Driver,
    machine: Machine,
    files: Files,
    links: Links,
) -> NodeCollector:
    """Tie metrics to where they are counted."""
    facts = told.facts
    build = {"node": facts.node, "role": facts.role, "commit": facts.commit}
    started_s = counters.started_ms / 1000
    gauges: Readings = {
        **_of_machine(machine),
        "peers": ("Links that stand", lambda: len(links.peers)),
        "disk_used_ratio": ("Of the disk below the data folder", lambda: _used_ratio(files)),
        "disk_failed": (
            "1 while the disk takes nothing",
            lambda: bool(driver.barrier.disk_failure),
        ),
        "start_time_seconds": ("Start of this process, since 1970", lambda: started_s),
        "event_streams": ("Listeners", lambda: told.hub.listeners),
        "message_streams": (
            "Listeners to messages of accounts",
            lambda: told.post.topics.listeners + told.post.mail.listeners,
        ),
        "effects_waiting": ("Effects behind a write", lambda: len(driver.barrier)),
    }
    return NodeCollector(
        counters,
        gauges=gauges,
        totals={
            **_totals(driver, machine, files, links),
            "message_streams_dropped": (
                "Listeners to messages of accounts that were too slow",
                lambda: told.post.topics.dropped + told.post.mail.dropped,
            ),
        },
        build={**build, "version": facts.version, "genesis": facts.genesis_hash.hex()},
    )


def _used_ratio(files: Files) -> float:
    """Be no number where the disk does not say: all else is told, above all that it failed."""
    try:
        return files.data.used_ratio()
    except DiskError:
        return math.nan


def _of_machine(machine: Machine) -> Readings:
    return {
        "height": ("Newest final height", lambda: machine.view.height),
        "round": ("Round at the height above", lambda: machine.view.round),
        "mempool_txs": ("Transactions that wait", lambda: len(machine.view.mempool)),
        "mempool_bytes": ("Bytes that wait", lambda: machine.view.mempool.bytes_total),
        "reachable_power": ("Voting power within reach", lambda: machine.view.reachable_power),
        "total_power": ("Voting power of all", lambda: machine.view.validators.total_power),
        "power": ("Own voting power", lambda: machine.view.own_power),
        "last_voted_height": (
            "Own precommit in its commit",
            lambda: machine.view.last_voted_height,
        ),
        "block_time_seconds": (
            "Time of the newest block, since 1970",
            lambda: machine.view.chain.tip_time_ms / 1000,
        ),
        "mempool_txs_max": ("As many may wait", lambda: machine.view.mempool.limits.txs_max),
        "mempool_bytes_max": (
            "As many bytes may wait",
            lambda: machine.view.mempool.limits.bytes_max,
        ),
        "clock_skew_seconds": (
            "Own clock ahead of the voters' median at the newest certificate",
            lambda: machine.view.skew_ms / 1000,
        ),
        "diverged": (
            "1 where a final block is invalid",
            lambda: bool(machine.view.diverged),
        ),
    }


def _totals(driver: Driver, machine: Machine, files: Files, links: Links) -> Readings:
    mesh, broker = machine.view.mesh, machine.view.broker

    def seconds(disk: FileDisk) -> float:
        return disk.sync_ns / 1e9

    return {
        "events": ("Events the machine took", lambda: driver.events_taken),
        "txs_reordered": (
            "Transactions behind one that came later and pays no more",
            lambda: machine.view.mempool.reordered,
        ),
        "signatures_judged": ("Transaction signatures verified", lambda: driver.judge.judged),
        "log_syncs": ("Syncs of files of the data folder", lambda: files.data.sync_count),
        "log_sync_seconds": ("Time they took", lambda: seconds(files.data)),
        "sign_state_syncs": ("Syncs of the sign state", lambda: files.keys.sync_count),
        "sign_state_sync_seconds": ("Time they took", lambda: seconds(files.keys)),
        "p2p_turned_away": ("Connections beyond the bounds", lambda: links.door.turned_away),
        "p2p_spread": ("Votes, proposals, batches from peers", lambda: mesh.spread.taken),
        "p2p_repeated": ("Those that were here before", lambda: mesh.spread.repeated),
        "messages": ("Messages of accounts, each once", lambda: broker.taken),
        "messages_repeated": ("Those that peers sent again", lambda: broker.repeated),
        "messages_refused": ("Those of peers that go no further", lambda: broker.refused),
        "messages_dropped": (
            "Messages left out for a peer, whose link is slow or whose queue is full",
            lambda: mesh.courier.dropped,
        ),
        "p2p_received_bytes": ("Bytes from peers", lambda: links.bytes_received),
        "p2p_sent_bytes": ("Bytes to peers", lambda: links.bytes_sent),
    }
