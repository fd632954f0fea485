"""What a node reads before its first event: genesis, keys, files, and where it was.

Everything that can be wrong with a host is found here, and said in one line. Do not add what needs
an event loop.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from aitbc_node import crypto, keyfiles, keyring, succession
from aitbc_node.config import Config
from aitbc_node.consensus.timeouts import Timeouts
from aitbc_node.crypto import Signer
from aitbc_node.errors import ConfigError, DiskError, UpgradeNeededError
from aitbc_node.events import Committed
from aitbc_node.gossip.records import OwnRecord, is_reachable_form
from aitbc_node.gossip.subnets import Subnets
from aitbc_node.ledger.document import from_json
from aitbc_node.ledger.genesis import Genesis, validate
from aitbc_node.ledger.upgrades import APP_VERSION
from aitbc_node.machine import Machine, MachineConfig
from aitbc_node.mempool import PoolLimits
from aitbc_node.resuming import Base, newest_base
from aitbc_node.storage.files import FileDisk
from aitbc_node.storage.index import TxIndex
from aitbc_node.storage.log import SALT_BYTES
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.snapshots import Snapshots
from aitbc_node.storage.store import Recovered, Store
from aitbc_node.types import BlockId, Height

log = logging.getLogger(__name__)


class Files(msgspec.Struct, frozen=True):
    """Hold the locked folders of one node."""

    data: FileDisk
    keys: FileDisk


class Found(msgspec.Struct, frozen=True):
    """Hold what the data folder has."""

    store: Store
    recovered: Recovered
    snapshots: Snapshots


class Identities(msgspec.Struct, frozen=True):
    """Hold what a node is: its chain and its keys; no `voter` on a node that never votes."""

    genesis: Genesis
    node: Signer
    voter: Signer | None
    later: Mapping[int, Signer] = {}
    """The keys that were made to replace the first, by the numbers of their files."""

    @property
    def voters(self) -> Mapping[int, Signer]:
        """Return all consensus keys by the numbers of their files."""
        return {} if self.voter is None else {1: self.voter, **self.later}


def load_identities(config: Config) -> Identities:
    """Read genesis and keys.

    Raises: ConfigError when one is missing, wrong, or open to others.
    """
    genesis = load_genesis(config.genesis_file)
    node = keyfiles.load_signer(config.key_dir / keyfiles.NODE_KEY)
    voter = None
    if config.node.role == "validator":
        voter = keyfiles.load_signer(config.key_dir / keyfiles.CONSENSUS_KEY)
        if voter.public_key == node.public_key:
            raise ConfigError(f"{config.key_dir}: node key and consensus key are the same")
        identities = Identities(genesis, node, voter, succession.load_later(config.key_dir))
        keyring.check_apart(identities.voters)
        return identities
    return Identities(genesis, node, voter)


def load_genesis(path: Path) -> Genesis:
    """Read and judge a genesis file.

    Raises: ConfigError that names the file and the field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the genesis cannot be read: {error}") from error
    genesis = from_json(text)
    validate(genesis)
    return genesis


@contextlib.contextmanager
def locked(config: Config) -> Iterator[Files]:
    """Keep every other process away from keys and data for as long as this one lives."""
    files = Files(FileDisk(config.data_dir), FileDisk(config.key_dir))
    with contextlib.ExitStack() as stack:
        for disk in (files.keys, files.data):
            disk.lock()
            stack.callback(disk.close)
        yield files


def open_store(
    config: Config,
    files: Files,
    identities: Identities,
    *,
    not_before: Height | None,
    on_progress: Callable[[], None],
) -> Found:
    """Recover what the disk has; decide what a missing sign state means.

    Raises: DiskError for damage, ConfigError for data of another chain or a wrong `not_before`.
    """
    data = MemoryDisk() if config.storage.backend == "memory" else files.data
    keys = None if identities.voter is None else files.keys
    salt = os.urandom(SALT_BYTES)
    chain = identities.genesis.hash()
    store = Store(data, keys, chain=chain, salt=salt, on_progress=on_progress)
    recovered = keyring.recovered(store, identities.voters, not_before=not_before)
    check_app_version(store)
    config.sync.trusted.check(store)
    for is_so, what, consequence in (
        (recovered.bytes_cut, "log.repaired", f"{recovered.bytes_cut} bytes are cut off"),
        (recovered.is_peers_file_damaged, "peers.forgotten", "bootstrap peers tell of others"),
        (recovered.is_bans_file_damaged, "bans.forgotten", "culprits are found out again"),
        (store.sign_states.is_torn, "sign_state.repaired", "the state before it counts"),
        (store.sign_states.is_healed, "sign_state.decayed", "its copy counts; check the disk"),
    ):
        if is_so:
            log.warning(what, extra={"consequence": consequence})
    # Files of its own: a snapshot is written beside everything else, also while the node stops.
    kept = data if isinstance(data, MemoryDisk) else FileDisk(config.data_dir)
    snapshots = Snapshots(kept, chain=chain, on_progress=on_progress)
    snapshots.forget_gathered()  # of a process that ended before all pieces were there
    return Found(store, recovered, snapshots)


def check_app_version(store: Store) -> None:
    """Refuse a chain whose rules are newer than this build. Source: rules 2.12 and 4.6.

    Raises: ConfigError that names both versions.
    """
    newest = store.block(store.last_height)
    version = APP_VERSION if newest is None else newest.block.header.app_version
    if version > APP_VERSION:
        raise UpgradeNeededError(version, known=APP_VERSION)


def absence_of(machine: Machine, config: Config, *, wall_ms: int) -> str:
    """Say why peers alone may not be believed after so long an absence; empty when they may.

    Who has taken its coins back since then answers for nothing any more that it signs.
    """
    view = machine.view
    held_ms = view.state.params.unbonding_blocks * config.consensus.block_interval_ms
    away_ms = wall_ms - view.chain.tip_time_ms
    if not view.height or away_ms <= held_ms or view.chain.trusted.is_above(view.height):
        return ""
    return (
        f"the newest block here is {away_ms // 1000} s old, bonds are held for {held_ms // 1000} s:"
        " compare the id of a newer block with other operators, see sync.trusted_height"
    )


def restored_machine(
    config: Config,
    identities: Identities,
    found: Found,
    index: TxIndex,
) -> Machine:
    """Build the machine and take it to where the disk says it was."""
    recovered = found.recovered
    votes = identities.voter is not None and bool(recovered.sign_state or recovered.later_keys)
    section = config.consensus
    machine = Machine(
        MachineConfig(
            role="validator" if votes else "full",
            block_interval_ms=section.block_interval_ms,
            timeouts=Timeouts(
                propose_ms=section.propose_timeout_ms,
                vote_ms=section.vote_timeout_ms,
                delta_ms=section.timeout_delta_ms,
                cap_ms=section.timeout_cap_ms,
            ),
            bootstrap=tuple((peer.peer_id, peer.address) for peer in config.p2p.bootstrap),
            own_record=own_record(config, identities),
            subnets=Subnets(config.p2p.free_networks),
            peers_max=config.p2p.max_peers,
            admission="open",  # links judge who is listed, before the machine hears of anybody
            snapshot_blocks=config.storage.snapshot_blocks,
            snapshot_distance=config.sync.snapshot_distance,
            trusted=config.sync.trusted,
            mempool=PoolLimits(
                txs_max=config.mempool.max_txs,
                bytes_max=config.mempool.max_bytes,
                per_account_max=config.mempool.per_account,
                account_rate=config.rpc.account_rate,
            ),
        ),
        identities.genesis,
        own_id=crypto.peer_id(identities.node.public_key),
        signer=identities.voter if votes else None,
        verify=crypto.verify,
    )
    base = _base(found, index)
    if base is not None:
        finals = found.store.finals_above(base.height)
        recovered = msgspec.structs.replace(recovered, finals=finals)
        _check_index(index, base.height, base.final.certificate.block_id)
    machine.restore(recovered, base=base, on_replayed=catching_up(index))
    if version := machine.view.upgrade_needed:
        raise UpgradeNeededError(version, known=APP_VERSION)
    return machine


def own_record(config: Config, identities: Identities) -> OwnRecord | None:
    """Return what tells others where this node is; None where it is to be left out of it."""
    if config.p2p.admission != "open" or not config.p2p.exchange:
        return None
    told = (config.p2p.advertise or config.p2p.listen, *config.p2p.also_advertise)
    addresses = tuple(filter(is_reachable_form, told))
    if not addresses:
        consequence = "no node hears of this one from others; p2p.advertise takes host:port"
        log.warning("p2p.unadvertised", extra={"consequence": consequence})
    return OwnRecord(identities.genesis.chain_id, identities.node, addresses)


def _base(found: Found, index: TxIndex) -> Base | None:
    # An index that lacks blocks is made again from the log, so a state behind those is no use;
    # where the log does not begin at the genesis, the index lacks what cannot be made again.
    height_max = found.recovered.last_height
    if found.store.first_height == 1:
        height_max = min(height_max, index.last_height)
    base, faults = newest_base(found.store, found.snapshots.load(height_max=height_max))
    for fault in faults:
        log.warning("snapshot.unusable", extra={"reason": fault})
    if base is not None:
        log.info("snapshot.used", extra={"height": base.height})
    return base


def catching_up(index: TxIndex) -> Callable[[Committed], None]:
    """Return what takes replayed blocks and gives the index those that it misses.

    The index is written behind, so after a crash it may lack the newest ones.
    """
    known = index.last_height

    def take(committed: Committed) -> None:
        height = committed.final.certificate.height
        if height > known:
            index.put_block(committed)
        else:
            _check_index(index, height, committed.id)

    return take


def _check_index(index: TxIndex, height: Height, block_id: BlockId) -> None:
    if height == index.last_height and block_id != index.last_id:
        raise DiskError(
            f"index.db knows another block of height {height} than blocks.log",
            hint="delete index.db; the node makes it again from the log",
        )
