"""How does somebody who knows the voters of one block come to believe a much later one?

By links: each is a header with its certificate and the voters who made it. A header names the
voters of its own height and of the next, so the headers at which the set changes, in order, lead
from known voters to any later block without a block in between. What is believed by that: at no
time did more than a third of a set sign something false, and those who left keep quiet about it.
Do not add peers or files.
"""

from collections.abc import Iterable, Sequence

import msgspec

from aitbc_node import certificates
from aitbc_node.blocks import Certificate, Header, block_id
from aitbc_node.canonical import Record, encode
from aitbc_node.crypto import Verifier, sha256
from aitbc_node.limits import LINKS_MAX, PIECE_BYTES, PIECES_MAX
from aitbc_node.types import BlockId, Hash, Height
from aitbc_node.validators import ValidatorSet


class Link(Record, frozen=True):
    """Be a final header, what makes it final, and who could vote on it."""

    header: Header
    certificate: Certificate
    voters: ValidatorSet

    @property
    def height(self) -> Height:
        """Return the height of the block."""
        return self.header.height

    @property
    def changes_voters(self) -> bool:
        """Tell whether others vote on the next block."""
        return self.header.next_validators_hash != self.header.validators_hash


class Contents(Record, frozen=True):
    """Fix a kept state byte for byte: every node that keeps it keeps the same.

    Units: `size` in bytes; each piece but the last has `PIECE_BYTES`, and is named by its hash.
    """

    chain: Hash
    height: Height
    block_id: BlockId
    size: int
    pieces: tuple[Hash, ...]

    def name(self) -> Hash:
        """Hash everything, so that two peers can be seen to offer the same."""
        return sha256(encode(self))


class Offer(Record, frozen=True):
    """Say what a node has to give, and what proves the header whose root it must have.

    Shape: `links` ascend; the last is of the block itself, the others are where voters change.
    """

    contents: Contents
    links: tuple[Link, ...]

    @property
    def height(self) -> Height:
        """Return of which block the state is."""
        return self.contents.height


class Known(msgspec.Struct, frozen=True):
    """Be where belief begins: behind this height these vote. `voters` is the set's hash."""

    height: Height
    voters: Hash


def grown(links: tuple[Link, ...], link: Link) -> tuple[Link, ...]:
    """Add a link where the voters change; beyond the bound the oldest goes."""
    return (*links, link)[-LINKS_MAX:] if link.changes_voters else links


def joined(earlier: tuple[Link, ...], later: tuple[Link, ...]) -> tuple[Link, ...]:
    """Put links behind each other, within the bound."""
    return (*earlier, *later)[-LINKS_MAX:]


def behind(links: Iterable[Link], known: Known) -> tuple[Link, ...]:
    """Return the links that are above what is known already."""
    return tuple(link for link in links if link.height > known.height)


def joins(links: Sequence[Link], known: Known) -> bool:
    """Tell whether links begin where knowledge ends; those that do not are of no use here."""
    return bool(links) and links[0].header.validators_hash == known.voters


def fault_of_links(links: Sequence[Link], known: Known, *, chain_id: str, verify: Verifier) -> str:
    """Say which forgery is among links that begin where knowledge ends; empty for none."""
    wanted, below = known.voters, known.height
    for link in links:
        header = link.header
        if header.chain_id != chain_id or header.height <= below:
            return "links of another chain, or out of order"
        if header.validators_hash != wanted or link.voters.digest() != wanted:
            return f"the voters on block {header.height} are not those named before it"
        fault = certificates.fault_of(
            link.certificate,
            chain_id=chain_id,
            height=header.height,
            block_id=block_id(header),
            validators=link.voters,
            verify=verify,
        )
        if fault:
            return f"block {header.height}: {fault}"
        wanted, below = header.next_validators_hash, header.height
    return ""


def fault_of_form(offer: Offer) -> str:
    """Say what no honest node would offer; empty when it is worth a look at the signatures."""
    contents = offer.contents
    if not offer.links or len(offer.links) > LINKS_MAX + 1:
        return "no links, or more than anybody keeps"
    last = offer.links[-1]
    if (last.height, last.certificate.block_id) != (contents.height, contents.block_id):
        return "its last link is not of its block"
    count = -(-contents.size // PIECE_BYTES)
    if not 1 <= len(contents.pieces) <= PIECES_MAX or len(contents.pieces) != count:
        return f"{len(contents.pieces)} pieces for {contents.size} bytes"
    return ""
