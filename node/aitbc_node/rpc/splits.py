"""What does a node tell of a mesh that is split? Records that the node and its clients share."""

from aitbc_node.rpc.schema import AddressText, Answer, Hex


class VoterView(Answer, frozen=True, kw_only=True):
    """Name one validator, with its voting power."""

    address: AddressText
    key: Hex
    power: int


class Partition(Answer, frozen=True, kw_only=True):
    """Show whom this node can reach, and with how much of the voting power, its own included.

    Shape: `components` has one entry, the peer ids of this node and of its live links: nobody can
    tell how those out of reach are linked, nor whether they are cut off or down. `quorum` tells if
    enough power is within reach for new blocks. `partitioned` tells that some has been out of reach
    for more than a moment, `since` from when on. Units: `lacking_ms` in milliseconds.
    """

    components: list[list[Hex]]
    reachable_power: int
    total_power: int
    quorum: bool
    partitioned: bool
    since: str | None
    lacking_ms: int | None
    reachable: list[VoterView]
    unreachable: list[VoterView]
