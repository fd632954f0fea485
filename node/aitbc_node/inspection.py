"""What a stopped or running node has on its disk, shown without changing a byte.

Each function returns plain data; `__main__` prints it for people or as JSON. Private keys are never
read here.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from aitbc_node import crypto
from aitbc_node.blocks import Certificate, tx_id
from aitbc_node.chain import Chain
from aitbc_node.config import Config
from aitbc_node.errors import DiskError, UsageError
from aitbc_node.ledger.audit import audit
from aitbc_node.ledger.genesis import Genesis
from aitbc_node.startup import load_genesis
from aitbc_node.storage.entries import KIND_NAMES
from aitbc_node.storage.files import ReadOnlyFiles
from aitbc_node.storage.log import Log
from aitbc_node.storage.sign_state import FILE_NAME, SignStateFile
from aitbc_node.storage.store import LOG_NAME, Recovered, Store
from aitbc_node.storage.versions import DATA_VERSIONS, read_version
from aitbc_node.types import Height

Facts = dict[str, Any]

_SALT = bytes(16)


def log(config: Config) -> Facts:
    """Count the records of the log and judge its tail."""
    genesis = load_genesis(config.genesis_file)
    disk = ReadOnlyFiles(config.data_dir)
    data_version = read_version(disk, DATA_VERSIONS, is_new=False)
    blocks = Log(disk, LOG_NAME)
    kinds = Counter(
        KIND_NAMES.get(entry.kind, "unknown")
        for entry in blocks.open(chain=genesis.hash(), salt=_SALT)
    )
    return {
        "file": str(config.data_dir / LOG_NAME),
        "bytes": disk.size(LOG_NAME),
        "data_version": data_version,
        "records": dict(sorted(kinds.items())),
        "torn_tail_bytes": blocks.bytes_cut,
        "genesis_hash": genesis.hash().hex(),
    }


def block(config: Config, height: Height) -> Facts:
    """Show one final block."""
    _, store, recovered = _store(config)
    final = store.block(height)
    if final is None:
        raise UsageError(f"no block {height} here", hint=f"the log ends at {recovered.last_height}")
    return {
        "id": final.certificate.block_id.hex(),
        "header": _plain(msgspec.structs.asdict(final.block.header)),
        "tx_ids": [tx_id(raw).hex() for raw in final.block.txs],
        "certificate": _certificate(final.certificate),
        "last_commit": _certificate(final.block.last_commit),
    }


def state(config: Config) -> Facts:
    """Execute the whole log again from the genesis and judge what comes out.

    Raises: DiskError when a block does not lead to the state root that it names.
    """
    genesis, _, recovered = _store(config)
    chain = Chain(genesis, crypto.verify)
    for final in recovered.finals:
        chain.replay(final)
    return {
        "chain_id": chain.chain_id,
        "height": chain.height,
        "state_root": chain.state.root.hex(),
        "block_id": chain.tip_id.hex(),
        "validators": len(chain.state.validators.members),
        "violated_invariants": audit(chain.state),
        "pending_blocks": [id_.hex() for id_, _ in recovered.pending],
        "journal_transactions": len(recovered.journal),
    }


def sign_state(config: Config) -> Facts:
    """Show what the consensus key has signed last."""
    file = SignStateFile(ReadOnlyFiles(config.key_dir))
    if not file.exists():
        raise DiskError(
            f"{config.key_dir / FILE_NAME}: no such file",
            hint="a full node has none; a validator without one never votes",
        )
    shown = msgspec.structs.asdict(file.load())
    shown["prevotes"] = len(shown["prevotes"])
    return {"file": str(config.key_dir / FILE_NAME), **_plain(shown)}


def configuration(config: Config) -> Facts:
    """Show the configuration with all defaults and resolved paths."""
    shown: Facts = msgspec.to_builtins(config, enc_hook=str)
    del shown["folder"]
    for key, path in (
        ("data_dir", config.data_dir),
        ("key_dir", config.key_dir),
        ("run_dir", config.run_dir),
        ("genesis", config.genesis_file),
    ):
        shown["node"][key] = str(path)
    return shown


def lines(facts: Facts, prefix: str = "") -> Iterator[str]:
    """Yield one `key: value` line per fact, nested keys joined by dots."""
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from lines(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{key}: {len(value)}"
            yield from (f"  {entry}" for entry in value)
        else:
            yield f"{prefix}{key}: {value}"


def _store(config: Config) -> tuple[Genesis, Store, Recovered]:
    genesis = load_genesis(config.genesis_file)
    store = Store(ReadOnlyFiles(config.data_dir), None, chain=genesis.hash())
    return genesis, store, store.recover()


def _certificate(certificate: Certificate) -> Facts:
    return {
        "height": certificate.height,
        "round": certificate.round,
        "block_id": certificate.block_id.hex(),
        "validators": [vote.validator for vote in certificate.votes],
    }


def _plain(fields: Facts) -> Facts:
    return {
        name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()
    }
