"""Which nodes do the operators of validators name on the ledger, and whose keys have ended there?

Each may keep one record `peer`/`node` of its own account, with what its node has signed about
itself. Who operates a validator is entitled, nobody else: others' records cost their writer a fee
and this node nothing. So whoever has the chain knows ways in, though every bootstrap host be gone.
A key that has ended is refused from the very block on that says so, and one that it has put in its
place is as good as it was. Do not add what is done with addresses.
"""

from aitbc_node.canonical import NotCanonicalError, decode
from aitbc_node.chain import Chain
from aitbc_node.crypto import Verifier
from aitbc_node.errors import PeerFault
from aitbc_node.gossip.records import PeerRecord, check
from aitbc_node.ledger.records import NODE_KEY, living, record_key
from aitbc_node.mesh import Mesh
from aitbc_node.types import Address, Height

EVERY_BLOCKS = 10
"""A change on the ledger is seen within so many blocks."""


class Introductions:
    """Tell the address book whom the ledger names."""

    def __init__(self, chain: Chain, mesh: Mesh, verify: Verifier) -> None:
        self._chain = chain
        self._mesh = mesh
        self._verify = verify
        self._looked: Height | None = None
        self._judged: dict[bytes, PeerRecord | None] = {}

    def poll(self, now_ms: int) -> None:
        """Look at the ledger: for ended keys always, for names now and then."""
        listing = self._chain.state.listing
        self._mesh.part_with(listing.revoked, listing.heirs)
        height = self._chain.height
        if self._looked is not None and height - self._looked < EVERY_BLOCKS:
            return
        self._looked = height
        values = (
            self._value_of(member.operator) for member in self._chain.state.validators.members
        )
        self._judged = {value: self._record_in(value) for value in values if value is not None}
        records = [record for record in self._judged.values() if record is not None]
        self._mesh.peers.book.vouch(records, now_ms)

    def _value_of(self, operator: Address) -> bytes | None:
        _, name = record_key("peer", NODE_KEY, operator)
        found = living(self._chain.state.record(name), self._chain.height)
        return None if found is None else found.value

    def _record_in(self, value: bytes) -> PeerRecord | None:
        """Read what an operator wrote; what is no good record of this chain says nothing."""
        if value in self._judged:
            return self._judged[value]
        try:
            record = decode(value, PeerRecord)
            check(record, self._chain.chain_id, self._verify)
        except (NotCanonicalError, PeerFault):
            return None
        return record
