"""What does a node say about where it can be reached, and why may another one believe it?

A record is signed by the node key whose hash is the peer's id, so whoever passes it on can neither
change it nor make one up for somebody else. It says where, nothing more: a link still proves the
key. Do not add who keeps records or how they travel.
"""

import ipaddress
from typing import Annotated

from msgspec import Meta

from aitbc_node import limits
from aitbc_node.canonical import Record, encode
from aitbc_node.crypto import KEY_BYTES, SIGNATURE_BYTES, Signer, Verifier, is_weak_key, peer_id
from aitbc_node.errors import PeerFault
from aitbc_node.transport.addresses import parse_address
from aitbc_node.types import PeerId, PublicKey, Signature

ADDRESS_CHARS_MAX = 64
ADDRESSES_MAX = 4
DAY_MS = 86_400_000
RENEW_MS = DAY_MS
LIFE_MS = 7 * DAY_MS
"""A node that was not heard of for so long has moved or ended; a living one renews every day."""
AHEAD_MS = 600_000
"""A record from further ahead would win over every later one of an honest clock."""

_NO_SIGNATURE = Signature(bytes(SIGNATURE_BYTES))


class PeerRecord(Record, frozen=True, tag="peer"):
    """Say where a node can be reached; of two records of one key the later made counts.

    Units: `made_ms` is Unix time in milliseconds.
    """

    key: Annotated[PublicKey, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
    addresses: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=ADDRESS_CHARS_MAX)], ...],
        Meta(min_length=1, max_length=ADDRESSES_MAX),
    ]
    made_ms: Annotated[int, Meta(ge=0, le=limits.INT_MAX)]
    signature: Annotated[Signature, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]

    @property
    def peer(self) -> PeerId:
        """Return whom this is about."""
        return peer_id(self.key)


class OwnRecord:
    """Make the record of this node, and a fresh one every day; none without an address."""

    def __init__(self, chain_id: str, signer: Signer, addresses: tuple[str, ...]) -> None:
        self._chain_id = chain_id
        self._signer = signer
        self.addresses = addresses
        self._newest: PeerRecord | None = None

    def at(self, wall_ms: int) -> PeerRecord | None:
        """Return the record to be given away now."""
        newest = self._newest
        if not self.addresses or (newest and abs(wall_ms - newest.made_ms) < RENEW_MS):
            return newest
        self._newest = signed(self._chain_id, self._signer, self.addresses, made_ms=wall_ms)
        return self._newest


def signed(
    chain_id: str, signer: Signer, addresses: tuple[str, ...], *, made_ms: int
) -> PeerRecord:
    """Make a record with the node's own key."""
    bare = PeerRecord(signer.public_key, addresses, made_ms, _NO_SIGNATURE)
    message = sign_bytes(chain_id, bare)
    return PeerRecord(signer.public_key, addresses, made_ms, signer.sign(message))


def sign_bytes(chain_id: str, record: PeerRecord) -> bytes:
    """Return what the node key signs; the tag in front keeps it apart from everything else."""
    return b"aitbc/peer-record\0" + encode((chain_id, record.key, record.addresses, record.made_ms))


def check(record: PeerRecord, chain_id: str, verify: Verifier) -> None:
    """Judge a record by itself, whatever the time is.

    Raises: PeerFault when no honest node would have passed it on.
    """
    if is_weak_key(record.key):
        raise PeerFault("a peer record of a key with which anybody can sign")
    for address in record.addresses:
        if not is_reachable_form(address):
            raise PeerFault("a peer record with an address that is no literal address and port")
    if not verify(record.key, sign_bytes(chain_id, record), record.signature):
        raise PeerFault("a peer record that its node did not sign")


def is_timely(record: PeerRecord, wall_ms: int) -> bool:
    """Tell whether a record is neither out of date nor from the future, by this node's clock."""
    return -AHEAD_MS <= wall_ms - record.made_ms <= LIFE_MS


def is_reachable_form(address: str) -> bool:
    """Tell whether `host:port` names one place; names are left out, since strangers choose them.

    Looking up what a stranger wrote would tell it who looks, and could lead anywhere each time.
    """
    try:
        host, port = parse_address(address)
        place = ipaddress.ip_address(host)
    except ValueError:
        return False
    return port > 0 and not (place.is_unspecified or place.is_multicast)
