"""What a host may choose for its node: `node.toml`, read and judged once.

Each field carries its unit, its bounds and what it does; the table in `node/README.md` is made of
them. What changes the result of a block is not here: it is in the genesis or a parameter of the
chain. Secrets are paths, never values.
"""

import difflib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta

from aitbc_node import limits
from aitbc_node.errors import ConfigError
from aitbc_node.gossip.subnets import FREE, Subnets
from aitbc_node.transport.addresses import parse_address
from aitbc_node.trusting import Trusted
from aitbc_node.types import BlockId, Height, PeerId

_HOUR_MS = 3_600_000


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class NodeSection(_Section, frozen=True, kw_only=True):
    """Say who this node is and where its files are."""

    id: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="name in logs and answers"),
    ]
    role: Annotated[
        Literal["validator", "full"], Meta(description="`full` follows and serves, never votes")
    ]
    data_dir: Annotated[str, Meta(min_length=1, description="blocks, journal, index")]
    key_dir: Annotated[
        str, Meta(min_length=1, description="keys and sign state; one process at a time")
    ]
    genesis: Annotated[str, Meta(min_length=1, description="the chain's genesis file (JSON)")]
    run_dir: Annotated[str, Meta(description="count of fast exits; empty: `run` in data_dir")] = ""
    env: Annotated[str, Meta(max_length=64, description="name of the environment, for people")] = ""
    commit: Annotated[
        str, Meta(max_length=64, description="commit that runs, shown in `/status`")
    ] = ""
    region: Annotated[
        str, Meta(max_length=64, description="failure domain, for people; nothing depends on it")
    ] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="least level that is logged")
    ] = "info"
    log_format: Annotated[
        Literal["json", "text"], Meta(description="`json` for machines, `text` for a terminal")
    ] = "json"


class ConsensusSection(_Section, frozen=True, kw_only=True):
    """Say how patient this node is; the others need not be equally so."""

    block_interval_ms: Annotated[
        int,
        Meta(ge=10, le=_HOUR_MS, description="ms; least time between two commits, blocks or none"),
    ] = limits.BLOCK_INTERVAL_MS
    propose_timeout_ms: Annotated[
        int, Meta(ge=10, le=_HOUR_MS, description="ms; wait for a proposal in round 0")
    ] = limits.PROPOSE_TIMEOUT_MS
    vote_timeout_ms: Annotated[
        int, Meta(ge=10, le=_HOUR_MS, description="ms; wait for more votes in round 0")
    ] = limits.VOTE_TIMEOUT_MS
    timeout_delta_ms: Annotated[
        int, Meta(ge=1, le=_HOUR_MS, description="ms; added to both in each further round")
    ] = limits.TIMEOUT_DELTA_MS
    timeout_cap_ms: Annotated[
        int, Meta(ge=10, le=_HOUR_MS, description="ms; neither grows beyond")
    ] = limits.TIMEOUT_CAP_MS

    def __post_init__(self) -> None:
        if self.timeout_cap_ms < max(self.propose_timeout_ms, self.vote_timeout_ms):
            raise ValueError("timeout_cap_ms is below a time-out of round 0")


class BootstrapPeer(_Section, frozen=True, kw_only=True):
    """Name a node to dial."""

    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$")]
    address: str

    def __post_init__(self) -> None:
        parse_address(self.address)

    @property
    def peer_id(self) -> PeerId:
        """Return the id as bytes."""
        return PeerId(bytes.fromhex(self.id))


class P2pSection(_Section, frozen=True, kw_only=True):
    """Say where links are accepted, whom to dial and who is welcome."""

    listen: Annotated[str, Meta(description="host:port for links; IPv6 as [host]:port")]
    advertise: Annotated[
        str,
        Meta(description="host:port that peers should dial; empty: `listen`, if it names a place"),
    ] = ""
    also_advertise: Annotated[
        tuple[str, ...],
        Meta(max_length=3, description="further addresses, as of the other family of IP"),
    ] = ()
    bootstrap: Annotated[
        tuple[BootstrapPeer, ...], Meta(description="{id = 40 hex digits, address = host:port}")
    ] = ()
    admission: Annotated[
        Literal["open", "listed"],
        Meta(description="`listed`: links only with bootstrap and allowed peers"),
    ] = "open"
    allowed: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$")], ...],
        Meta(description="further peer ids, welcome but not dialled"),
    ] = ()
    exchange: Annotated[
        bool,
        Meta(description="tell peers of each other; false: links with bootstrap peers only"),
    ] = True
    subnet_links: Annotated[
        int,
        Meta(ge=1, le=1_000, description="links of strangers from one /24 or, with IPv6, /48"),
    ] = limits.SUBNET_LINKS_MAX
    free_networks: Annotated[
        tuple[str, ...],
        Meta(description="networks like `10.0.0.0/8` of which any number may be linked"),
    ] = FREE
    max_peers: Annotated[
        int, Meta(ge=1, le=limits.PEERS_MAX, description="links; more are refused")
    ] = limits.PEERS_MAX

    def __post_init__(self) -> None:
        Subnets(self.free_networks)  # raises ValueError for what is no network
        parse_address(self.listen)
        for address in filter(None, (self.advertise, *self.also_advertise)):
            parse_address(address)


class RpcSection(_Section, frozen=True, kw_only=True):
    """Say where HTTP is served."""

    listen: Annotated[str, Meta(description="host:port of the public interface; empty: none")] = ""
    rate: Annotated[
        int,
        Meta(ge=0, le=10**9, description="requests a second of one client address; 0: no bound"),
    ] = limits.RPC_RATE
    account_rate: Annotated[
        int,
        Meta(ge=0, le=10**9, description="transactions a second of one account; 0: no bound"),
    ] = limits.ACCOUNT_RATE
    admin_listen: Annotated[
        str, Meta(description="host:port of the operator's interface; loopback only; empty: none")
    ] = ""
    admin_token_file: Annotated[
        str, Meta(description="file (0600) with the token that opens it")
    ] = ""

    def __post_init__(self) -> None:
        if self.listen:
            parse_address(self.listen)
        if self.admin_listen and parse_address(self.admin_listen)[0] not in _LOOPBACK:
            raise ValueError(f"admin_listen {self.admin_listen!r} is not a loopback address")


class MempoolSection(_Section, frozen=True, kw_only=True):
    """Say how many transactions may wait here."""

    max_txs: Annotated[
        int, Meta(ge=1, le=1_000_000, description="transactions; more are refused")
    ] = limits.MEMPOOL_TXS_MAX
    per_account: Annotated[
        int, Meta(ge=1, le=10_000, description="transactions of one account")
    ] = limits.MEMPOOL_PER_ACCOUNT_MAX
    max_bytes: Annotated[
        int, Meta(ge=limits.TX_BYTES_MAX, le=2**34, description="bytes of all of them")
    ] = limits.MEMPOOL_BYTES_MAX


class StorageSection(_Section, frozen=True, kw_only=True):
    """Say what blocks are kept in."""

    backend: Annotated[
        Literal["disk", "memory"],
        Meta(description="`memory` forgets all blocks at the end; the sign state stays on disk"),
    ] = "disk"
    snapshot_blocks: Annotated[
        int, Meta(ge=0, le=10**9, description="keep the state each so many blocks; 0: never")
    ] = 2_000


class SyncSection(_Section, frozen=True, kw_only=True):
    """Say what this node knows of the chain from elsewhere, so that no peer can tell it another.

    Whoever held the keys of long ago can sign a history of their own. A block that the operator
    was told by people, not by peers, settles which history is meant.
    """

    trusted_height: Annotated[
        int,
        Meta(ge=0, le=2**53, description="height of a block that the operator knows; 0: none"),
    ] = 0
    trusted_hash: Annotated[
        str,
        Meta(pattern=r"^([0-9a-f]{64})?$", description="its id; another block there is refused"),
    ] = ""

    snapshot_distance: Annotated[
        int,
        Meta(
            ge=0,
            le=2**53,
            description="so many blocks behind, a kept state is fetched from peers; 0: never",
        ),
    ] = 20_000

    def __post_init__(self) -> None:
        if bool(self.trusted_height) != bool(self.trusted_hash):
            raise ValueError("trusted_height and trusted_hash come together or not at all")

    @property
    def trusted(self) -> Trusted:
        """Return the block that is known."""
        return Trusted(Height(self.trusted_height), BlockId(bytes.fromhex(self.trusted_hash)))


class MetricsSection(_Section, frozen=True, kw_only=True):
    """Say whether `/metrics` answers."""

    enabled: Annotated[bool, Meta(description="false: `/metrics` is empty")] = True


class Config(_Section, frozen=True, kw_only=True):
    """Hold one node's configuration."""

    node: NodeSection
    p2p: P2pSection
    consensus: ConsensusSection = ConsensusSection()
    rpc: RpcSection = RpcSection()
    mempool: MempoolSection = MempoolSection()
    storage: StorageSection = StorageSection()
    sync: SyncSection = SyncSection()
    metrics: MetricsSection = MetricsSection()
    folder: Path = Path()
    """Where the file was; relative paths begin here."""

    @property
    def data_dir(self) -> Path:
        """Return the data folder."""
        return self.folder / self.node.data_dir

    @property
    def key_dir(self) -> Path:
        """Return the key folder."""
        return self.folder / self.node.key_dir

    @property
    def run_dir(self) -> Path:
        """Return the run folder."""
        return self.folder / self.node.run_dir if self.node.run_dir else self.data_dir / "run"

    @property
    def genesis_file(self) -> Path:
        """Return the genesis file."""
        return self.folder / self.node.genesis


_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SECTIONS = tuple(name for name in Config.__struct_fields__ if name != "folder")


def load(path: Path) -> Config:
    """Read and judge a `node.toml`.

    Raises: ConfigError that names the file, the key and what is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", hint="name it with --config FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse(text, path)


def parse(text: str, path: Path) -> Config:
    """Judge the text of a `node.toml`; `path` is named in errors and anchors relative paths.

    Raises: ConfigError that names the file, the key and what is wrong.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    _check_names(tables, path)
    try:
        config = msgspec.convert(tables, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_located(str(error))}") from error
    return msgspec.structs.replace(config, folder=path.parent)


def describe() -> Iterator[tuple[str, str, str, str]]:
    """Yield key, type, default and meaning of every field, for the documents."""
    for section in _SECTIONS:
        kind = Config.__annotations__[section]
        for field in msgspec.structs.fields(kind):
            default = "required" if field.default is NODEFAULT else _shown(field.default)
            meaning = get_args(field.type)[1].description
            yield f"{section}.{field.name}", _type_text(field.type), default, meaning


def _check_names(tables: dict[str, Any], path: Path) -> None:
    for section, table in tables.items():
        if section not in _SECTIONS:
            raise _unknown(path, f"[{section}]", section, _SECTIONS)
        fields = Config.__annotations__[section].__struct_fields__
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {section} is a section: write [{section}]")
        for key in table:
            if key not in fields:
                raise _unknown(path, f"{section}.{key}", key, fields)


def _unknown(path: Path, what: str, name: str, valid: tuple[str, ...]) -> ConfigError:
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"valid are: {', '.join(valid)}"
    return ConfigError(f"{path}: unknown key {what}", hint=hint)


def _located(message: str) -> str:
    """Turn msgspec's `... - at `$.a.b`` around: the key comes first."""
    what, _, place = message.partition(" - at `$")
    key = place.rstrip("`").lstrip(".")
    what = what.replace("Object", "Table").replace("`", "")
    return f"{key}: {what}" if key else what


def _type_text(kind: Any) -> str:
    bare, bounds = kind, ""
    if get_origin(kind) is Annotated:
        bare, meta = get_args(kind)
        if meta.ge is not None:
            bounds = f" {meta.ge}..{meta.le}"
    if get_origin(bare) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(bare))
    return {str: "text", int: "integer", bool: "boolean"}.get(bare, "list") + bounds


def _shown(value: object) -> str:
    if isinstance(value, tuple) and value:
        return ", ".join(map(str, value))
    return "empty" if value in ("", ()) else str(value).lower()
