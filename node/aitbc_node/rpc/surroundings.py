"""What does a node show of the mesh around it? The records of `GET /net/topology`."""

from typing import Literal

from aitbc_node.rpc.schema import Answer, Hex


class TopologyLink(Answer, frozen=True, kw_only=True):
    """Show one live link, and whom the peer at its other end says it is linked with.

    `source` says why the peer is known: `bootstrap` is the operator, `ledger` a validator's record,
    `peers` its own record, `itself` its link alone.
    """

    id: Hex
    address: str
    direction: Literal["in", "out"]
    rtt_ms: float | None
    source: Literal["bootstrap", "ledger", "peers", "itself"]
    neighbours: list[Hex]


class Topology(Answer, frozen=True, kw_only=True):
    """Show the mesh as far as one node sees it: its links and those of its peers.

    `known` are nodes in its address book, `ledger` those of them that the ledger names; `record` is
    what the node has signed about itself, empty where it does not tell.
    """

    id: Hex
    degree: int
    out_degree: int
    in_degree: int
    known: int
    ledger: int
    record: Hex
    links: list[TopologyLink]
