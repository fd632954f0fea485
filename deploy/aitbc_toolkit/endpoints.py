"""Where does an agent answer now, whose address stays the same while it moves?

`aitbc://NETWORK/AGENT/PORT` names a mesh by the first 16 digits of its genesis hash, an account on
it, and one of the account's ports, a number of its own. The account puts on the ledger, in the
namespace `addr` under the port, which HOST:PORT it answers at; who moves puts the new one there,
and every node tells it from the next block on. Do not connect to anything here.
"""

import re
from dataclasses import dataclass
from typing import Self

from aitbc_node.ledger.records import TTL_BLOCKS_MAX, RecordPut
from aitbc_node.rpc import schema
from aitbc_node.transport.addresses import PORT_MAX, format_address, parse_address
from aitbc_toolkit import wallet
from aitbc_toolkit.asking import MeshClient
from aitbc_toolkit.errors import AitbcError, UsageError

SCHEME = "aitbc"
NETWORK_DIGITS = 16
BLOCKS = 86_400
"""How long the ledger remembers an endpoint unless asked otherwise: a day of one-second blocks."""

_FORM = re.compile(rf"{SCHEME}://([^/?#]+)/([^/?#]+)/([^/?#]+)")


@dataclass(frozen=True, slots=True)
class AgentAddress:
    """Name a port of an agent on a mesh, wherever the agent is."""

    network: str
    agent: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address that a person wrote.

        Raises: UsageError saying which part of it is wrong.
        """
        form = _FORM.fullmatch(text)
        if form is None:
            raise UsageError(
                f"{text[:80]!r} is not {SCHEME}://NETWORK/AGENT/PORT",
                hint="aitbc endpoint publish 80 HOST:PORT --key FILE   # prints a whole one",
            )
        network, agent, port = form.groups()
        if len(network) != NETWORK_DIGITS or not set(network) <= set("0123456789abcdef"):
            raise UsageError(
                f"{network[:40]!r} is no network: {NETWORK_DIGITS} hexadecimal digits",
                hint="aitbc endpoint publish 80 HOST:PORT --key FILE   # prints a whole one",
            )
        if not (port.isascii() and port.isdigit() and int(port) <= PORT_MAX):
            raise UsageError(
                f"{port[:40]!r} is no port: a number from 0 to {PORT_MAX}",
                hint=f"{SCHEME}://{network}/{agent}/80",
            )
        return cls(network, agent, int(port))

    def __str__(self) -> str:
        """Write the address as it is read."""
        return f"{SCHEME}://{self.network}/{self.agent}/{self.port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Say where a port of an agent is now, as the ledger tells after block `height`."""

    host: str
    port: int
    expires: int
    height: int

    def __str__(self) -> str:
        """Write it as HOST:PORT."""
        return format_address(self.host, self.port)


def published(port: int, endpoint: str, blocks: int = BLOCKS) -> RecordPut:
    """Make the record that says where one of the signer's ports is; 0 blocks take it back.

    Raises: UsageError for what nobody could connect to.
    """
    try:
        host, at = parse_address(endpoint) if blocks else ("", 0)
    except ValueError as error:
        raise UsageError(f"no endpoint: {error}", hint="HOST:PORT, or [V6]:PORT") from error
    if blocks and not at:
        raise UsageError(f"nobody answers at port 0: {endpoint}", hint="HOST:PORT, or [V6]:PORT")
    value = format_address(host, at).encode() if blocks else b""
    return RecordPut("addr", _key(port), value, min(blocks, TTL_BLOCKS_MAX))


def address_of(mesh: MeshClient, agent: str, port: int) -> AgentAddress:
    """Write the address of a port of an account on this mesh."""
    return AgentAddress(_network(mesh), agent, port)


def resolve(mesh: MeshClient, address: AgentAddress, *, hrp: str) -> Endpoint:
    """Ask a node where the address is now.

    Raises: UsageError for an address of another mesh; AitbcError when the agent tells nothing.
    """
    here = _network(mesh)
    if address.network != here:
        raise UsageError(
            f"{address} is of another mesh: this one is {here}",
            hint="aitbc env list   # -e names the environment that is asked",
        )
    wallet.read_address(address.agent, hrp=hrp)
    key = _key(address.port)
    found = mesh.ask_any(lambda node: node.record("addr", key, address.agent))
    if found is None:
        raise AitbcError(
            f"{address}: its owner says of no place where it answers now",
            hint="aitbc endpoint publish 80 HOST:PORT --key FILE   # its owner can, for its port",
        )
    return _read(address, found)


def _read(address: AgentAddress, found: schema.RecordView) -> Endpoint:
    try:
        host, port = parse_address(bytes.fromhex(found.value).decode("ascii"))
    except ValueError as error:
        raise AitbcError(
            f"{address}: what its owner put there is no endpoint",
            hint="aitbc endpoint publish 80 HOST:PORT --key FILE   # its owner can, for its port",
        ) from error
    return Endpoint(host, port, found.expires, found.height)


def _key(port: int) -> bytes:
    return str(port).encode()


def _network(mesh: MeshClient) -> str:
    return mesh.ask_any(lambda node: node.status()).genesis_hash[:NETWORK_DIGITS]
