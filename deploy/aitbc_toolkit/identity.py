"""Is the node that answers one of this environment, or a stranger's on the same port?

Two checkouts of one inventory share ports, names and chain id; the hash of the genesis tells them
apart. Do not ask nodes here.
"""

from functools import lru_cache
from pathlib import Path

from aitbc_node.ledger import document
from aitbc_node.rpc import schema
from aitbc_toolkit.errors import ConfigError
from aitbc_toolkit.inventory import Environment

_SHORT = 12


def genesis_path(environment: Environment) -> Path:
    """Find the file that holds the genesis of an environment."""
    return environment.folder / "genesis.json"


def own_genesis(environment: Environment) -> str:
    """Give the hash of the environment's genesis, empty where this machine holds none."""
    path = genesis_path(environment)
    try:
        seen = path.stat()
    except FileNotFoundError:
        return ""
    return _hash(path, seen.st_mtime_ns, seen.st_size)


def stranger(environment: Environment, name: str, told: schema.Status) -> str:
    """Say why a node that answers for `name` is not that node, or nothing when it is.

    An environment that others deploy as well may have its genesis on another machine: then only
    the chain's name can be compared. One of the operator's own without a genesis has no nodes.
    """
    own, theirs = own_genesis(environment)[:_SHORT], told.genesis_hash[:_SHORT]
    if own != theirs and (own or environment.rules.dirty):
        return f"a stranger's node: genesis {theirs}, ours is {own or 'not made yet'}"
    if not own and told.chain_id != environment.chain.id:
        return f"a stranger's node: chain {told.chain_id}, ours is {environment.chain.id}"
    return f"another node: it is {told.node}" if told.node != name else ""


@lru_cache(maxsize=8)
def _hash(path: Path, _changed_ns: int, _size: int) -> str:
    try:
        return document.from_json(path.read_text(encoding="utf-8")).hash().hex()
    except (ValueError, ConfigError) as damaged:
        raise ConfigError(
            f"{path} is no genesis: {damaged}",
            hint="bring it back from a host: it is beside each node's configuration",
        ) from damaged
