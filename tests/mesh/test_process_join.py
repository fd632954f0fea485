"""A fresh node joins a long chain: it verifies every commit and reaches the head."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from local_mesh import Mesh, NodeProcess, local_mesh

from aitbc_node.blocks import (
    PRECOMMIT,
    Certificate,
    CommitVote,
    vote_sign_bytes,
)
from aitbc_node.chain import Candidate, Chain
from aitbc_node.crypto import SigningKey, verify
from aitbc_node.events import AppendBlock, AppendCertificate
from aitbc_node.keyfiles import CONSENSUS_KEY, load_signer
from aitbc_node.storage.memory import MemoryDisk
from aitbc_node.storage.store import Store
from aitbc_node.types import Round, Signature

HEIGHTS = {"fast": 1_000, "ci": 10_000, "nightly": 10_000}


def commit(chain: Chain, candidate: Candidate, signers: list[SigningKey]) -> Certificate:
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


def two_long_logs(mesh: Mesh, count: int, *, forged_at: int) -> tuple[bytes, bytes]:
    """Write the log of a chain, three of four validators signing each block, and a liar's copy.

    In the copy one block is as it was, but one of its three signatures is false.
    """
    keys = {
        signer.public_key: signer
        for node in mesh.validators
        for signer in [load_signer(node.folder / "keys" / CONSENSUS_KEY)]
    }
    signers = [keys[member.key] for member in mesh.genesis.validator_set().members][:3]
    chain = Chain(mesh.genesis, verify)
    disks = MemoryDisk(), MemoryDisk()
    stores = [Store(disk, None, chain=mesh.genesis.hash()) for disk in disks]
    for store in stores:
        store.recover()
    for height in range(1, count + 1):
        proposer = chain.state.validators.proposer(Round(0)).key
        candidate = chain.build((), proposer=proposer)
        good = told = commit(chain, candidate, signers)
        if height == forged_at:
            lie = msgspec.structs.replace(good.votes[0], signature=Signature(bytes(64)))
            told = msgspec.structs.replace(good, votes=(lie, *good.votes[1:]))
        for store, certificate in zip(stores, (good, told), strict=True):
            store.run(AppendBlock(candidate.id, candidate.block))
            store.run(AppendCertificate(certificate))
        chain.apply(candidate, good)
    return disks[0].read("blocks.log"), disks[1].read("blocks.log")


def give(node: NodeProcess, log: bytes) -> None:
    """Put a log where a node finds it at its start."""
    (node.folder / "data").mkdir()
    (node.folder / "data" / "blocks.log").write_bytes(log)


@pytest.mark.proves("E10")
def test_a_fresh_node_joins_a_long_chain(
    tmp_path: Path, eventually: Callable[..., None], pytestconfig: pytest.Config
) -> None:
    """It verifies every commit: a peer that gives a forged one loses its link, another is used."""
    count = HEIGHTS[pytestconfig.getoption("--tier")]
    forged_at = count // 2
    with local_mesh(tmp_path, eventually, full=3, start=False) as mesh:
        honest, liar, fresh = mesh.nodes[-3:]
        for node, log in zip(
            (honest, liar), two_long_logs(mesh, count, forged_at=forged_at), strict=True
        ):
            give(node, log)
        began = time.monotonic()
        liar.start()
        fresh.start()
        eventually(
            "the forged commit", lambda: b"peer.fault" in fresh.log.read_bytes(), deadline_s=120
        )
        assert fresh.height() == forged_at - 1
        eventually("the end of the liar's link", lambda: fresh.get("/net/peers")["peers"] == [])

        honest.start()
        eventually("the head", lambda: fresh.height() >= count, deadline_s=120)

        print(f"{count} blocks in {time.monotonic() - began:.1f} s")  # noqa: T201 - measured
        assert fresh.state_root(count) == honest.state_root(count)
        known = {peer["id"] for peer in fresh.get("/net/peers")["peers"]}
        assert known == {honest.public["peer_id"]}


def test_a_stranger_joins_over_one_peer_when_the_first_host_is_gone(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Nobody lists the fresh node, and it knows a single peer: it catches up and follows blocks."""
    with local_mesh(tmp_path, eventually, full=1, start=False) as mesh:
        first, *rest = mesh.validators
        fresh = mesh.nodes[-1]
        for node in mesh.validators:
            node.write_config(mesh.validators)
            node.start()
        mesh.until_heights(mesh.validators, 3)
        first.kill()
        fresh.write_config(rest[-1:])

        fresh.start()
        mesh.grow([*rest, fresh], 3)

        assert {peer["id"] for peer in fresh.get("/net/peers")["peers"]} == {
            rest[-1].public["peer_id"]
        }
        mesh.common_root([*rest, fresh])
