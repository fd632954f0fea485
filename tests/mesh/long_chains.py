"""How does a test get the log of a long chain without waiting for its blocks?

Blocks are built and signed here as validators do in round 0, by their real keys, and written by the
node's own store. Do not add what is done with a log.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec
from local_mesh import Mesh, NodeProcess

from aitbc_node.blocks import PRECOMMIT, Certificate, CommitVote, vote_sign_bytes
from aitbc_node.chain import Candidate, Chain
from aitbc_node.crypto import SigningKey, verify
from aitbc_node.events import AppendBlock, AppendCertificate
from aitbc_node.keyfiles import CONSENSUS_KEY, load_signer
from aitbc_node.ledger.transactions import Parsed, parse
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.store import Store
from aitbc_node.types import Round, Signature

Made = tuple[Candidate, Certificate]


def commit(chain: Chain, candidate: Candidate, signers: Sequence[SigningKey]) -> Certificate:
    """Let validators sign a block as they do in round 0."""
    header = candidate.block.header
    time_ms = header.time_ms + 100
    message = vote_sign_bytes(
        chain.chain_id,
        PRECOMMIT,
        height=header.height,
        round_=Round(0),
        block_id=candidate.id,
        time_ms=time_ms,
    )
    votes = tuple(
        CommitVote(place, time_ms, signer.sign(message)) for place, signer in enumerate(signers)
    )
    return Certificate(header.height, Round(0), candidate.id, votes)


def made(mesh: Mesh, count: int, raws_of: Callable[[], Sequence[bytes]]) -> Iterator[Made]:
    """Make a chain, three of four validators signing each block; `raws_of` gives its contents."""
    keys = {
        signer.public_key: signer
        for node in mesh.validators
        for signer in [load_signer(node.folder / "keys" / CONSENSUS_KEY)]
    }
    signers = [keys[member.key] for member in mesh.genesis.validator_set().members][:3]
    chain = Chain(mesh.genesis, verify)
    for _ in range(count):
        proposer = chain.state.validators.proposer(Round(0)).key
        candidate = chain.build(map(_parsed, raws_of()), proposer=proposer)
        certificate = commit(chain, candidate, signers)
        yield candidate, certificate
        chain.apply(candidate, certificate)


def forged(certificate: Certificate) -> Certificate:
    """Return a certificate of which one signature is false."""
    lie = msgspec.structs.replace(certificate.votes[0], signature=Signature(bytes(64)))
    return msgspec.structs.replace(certificate, votes=(lie, *certificate.votes[1:]))


class Logs:
    """Write logs of one chain, each block with the certificate that this log shall have."""

    def __init__(self, mesh: Mesh, count: int) -> None:
        self._disks = [MemoryDisk() for _ in range(count)]
        self._stores = [Store(disk, None, chain=mesh.genesis.hash()) for disk in self._disks]
        for store in self._stores:
            store.recover()

    def add(self, candidate: Candidate, *certificates: Certificate) -> None:
        """Append one block to all of them."""
        for store, certificate in zip(self._stores, certificates, strict=True):
            store.run(AppendBlock(candidate.id, candidate.block))
            store.run(AppendCertificate(certificate))

    def give(self, *nodes: NodeProcess) -> None:
        """Put each log where a node finds it at its start."""
        for disk, node in zip(self._disks, nodes, strict=True):
            (node.folder / "data").mkdir()
            (node.folder / "data" / "blocks.log").write_bytes(disk.read("blocks.log"))


def _parsed(raw: bytes) -> Parsed:
    parsed = parse(raw)
    assert isinstance(parsed, Parsed), f"a transaction of ours is refused: {parsed}"
    return parsed
