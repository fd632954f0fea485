"""What nodes say of themselves and of their blocks, for tests without nodes."""

from collections.abc import Sequence

from aitbc_node.rpc import schema


def a_status(name: str, height: int, *, signed: int = 0) -> schema.Status:
    """Build what a node says of itself at a height."""
    return schema.Status(
        node=name,
        role="validator",
        chain_id="",
        hrp="",
        genesis_hash="",
        version="",
        commit="",
        data_version=1,
        height=height,
        round=0,
        step="propose",
        block_id="",
        block_time="",
        block_age_ms=0,
        state_root="",
        state_root_height=height,
        validator=name,
        power=1,
        total_power=4,
        reachable_power=4,
        proposer="",
        last_voted_height=height,
        syncing=False,
        stale=False,
        peers=3,
        mempool=0,
        sign_state=schema.SignStateView(height=signed, round=0, step=0),
    )


def a_block(
    height: int, *, signers: Sequence[str], proposer: str = "v1", time_ms: int = 0
) -> schema.BlockView:
    """Build a block that carries these precommits for the height before it."""
    certificate = schema.CertificateView(round=0, signers=list(signers), power=len(signers))
    return schema.BlockView(
        height=height,
        id="",
        previous_id="",
        time="",
        time_ms=time_ms,
        proposer=proposer,
        round=0,
        state_root="",
        receipts_root="",
        tx_count=0,
        tx_ids=[],
        certificate=certificate,
        last_commit=certificate,
    )
