"""What does a node say of blocks and transactions?

One pure function per route, answered from log and index; what waits comes from the mempool.
"""

from typing import Literal, cast

from aitbc_node.blocks import Certificate, FinalBlock, Header, tx_id
from aitbc_node.codes import Code
from aitbc_node.ledger import evidence
from aitbc_node.ledger.evidence import EvidenceSubmit
from aitbc_node.rpc import schema
from aitbc_node.rpc.call import Call, read_hash, read_height, read_number
from aitbc_node.rpc.view import NodeView, Reader, RequestFault, TxFate
from aitbc_node.types import Height, TxId
from aitbc_node.validators import ValidatorSet, validator_set

_KINDS: tuple[Literal["proposal", "prevote", "precommit"], ...] = (
    "proposal",
    "prevote",
    "precommit",
)

BLOCKS_PER_PAGE_DEFAULT = 10
BLOCKS_PER_PAGE_MAX = 20


def latest_block(call: Call) -> schema.BlockView:
    """Answer `GET /blocks/latest`."""
    return _block_view(call, final_block(call, call.view.height))


def block(call: Call) -> schema.BlockView:
    """Answer `GET /blocks/<height>`."""
    height = read_height(call.params["height"], field="height")
    return _block_view(call, final_block(call, height))


def blocks(call: Call) -> schema.Blocks:
    """Answer `GET /blocks?from=&count=`; without `from`, the newest ones."""
    tip = call.view.height
    count = read_number(
        call.option("count") or "10", field="count", low=1, high=BLOCKS_PER_PAGE_MAX
    )
    start = call.option("from")
    first = max(1, tip - count + 1) if start is None else read_height(start, field="from")
    last = min(tip, first + count - 1)
    found = [final_block(call, Height(height)) for height in range(max(1, first), last + 1)]
    return schema.Blocks(height=tip, blocks=[_block_view(call, final) for final in found])


def state_root(call: Call) -> schema.StateRoot:
    """Answer `GET /state_root?height=`; without a height, that of the tip."""
    view, text = call.view, call.option("height")
    height = view.height if text is None else read_height(text, field="height")
    if height == view.height:
        identity = view.last_block[0] if view.last_block else b""
        root = view.state.root
        return schema.StateRoot(height=height, state_root=root.hex(), block_id=identity.hex())
    final = final_block(call, height)
    return schema.StateRoot(
        height=height,
        state_root=final.block.header.state_root.hex(),
        block_id=final.certificate.block_id.hex(),
    )


def transaction(call: Call) -> schema.TxView:
    """Answer `GET /tx/<id>`: exactly one of pending, committed, rejected and expired."""
    wanted = TxId(read_hash(call.params["id"], field="id"))
    found = fate(call.view, call.reader, wanted)
    if found is None:
        message = "no transaction of this id is known here"
        hint = "a node that was never given it cannot tell; hand in the same bytes again"
        raise RequestFault(404, Code.E_NOT_FOUND, message, field="id", hint=hint)
    return found


def fate(view: NodeView, reader: Reader, wanted: TxId) -> schema.TxView | None:
    """Tell what is known of a transaction; what is in a block outranks what waits."""
    known = reader.transaction(wanted)
    if known is not None:
        return _tx_view(wanted, known)
    if view.mempool.get(wanted) is not None:
        return schema.TxView(id=wanted.hex(), status="pending")
    return None


def final_block(call: Call, height: Height) -> FinalBlock:
    """Return a final block.

    Raises: RequestFault when it is above the tip or not kept.
    """
    found = call.reader.block(height) if 1 <= height <= call.view.height else None
    if found is None:
        message = f"block {height} is not here, the tip is {call.view.height}"
        raise RequestFault(404, Code.E_NOT_FOUND, message, field="height")
    return found


def validators_of(view: NodeView, header: Header) -> ValidatorSet | None:
    """Return who could vote on a block, as far as this node has seen that set since its start."""
    return view.state.listing.voters.get(header.validators_hash)


def _block_view(call: Call, final: FinalBlock) -> schema.BlockView:
    header = final.block.header
    return schema.BlockView(
        height=header.height,
        id=final.certificate.block_id.hex(),
        previous_id=header.parent_id.hex(),
        time=schema.rfc3339(header.time_ms),
        time_ms=header.time_ms,
        proposer=header.proposer.hex(),
        round=final.certificate.round,
        state_root=header.state_root.hex(),
        receipts_root=header.receipts_root.hex(),
        tx_count=header.tx_count,
        tx_ids=[tx_id(raw).hex() for raw in final.block.txs],
        certificate=_certificate(final.certificate, validators_of(call.view, header)),
        last_commit=_certificate(final.block.last_commit, _voters_before(call, header)),
        evidence=[_evidence(raw) for raw in final.block.evidence],
    )


def _evidence(raw: bytes) -> schema.EvidenceView:
    body = evidence.read(raw)
    assert isinstance(body, EvidenceSubmit), "a final block with evidence that cannot be read"
    return schema.EvidenceView(
        key=body.key.hex(),
        kind=_KINDS[body.first.kind],
        height=body.first.height,
        round=body.first.round,
    )


def _voters_before(call: Call, header: Header) -> ValidatorSet | None:
    """Return who could vote on the parent; its own header says, since sets change."""
    if header.height == 1:
        return validator_set(())
    parent = call.reader.block(Height(header.height - 1))
    return None if parent is None else validators_of(call.view, parent.block.header)


def _certificate(certificate: Certificate, voters: ValidatorSet | None) -> schema.CertificateView:
    if voters is None:
        return schema.CertificateView(round=certificate.round, signers=[], power=None)
    signers = [voters.members[vote.validator] for vote in certificate.votes]
    return schema.CertificateView(
        round=certificate.round,
        signers=[signer.key.hex() for signer in signers],
        power=sum(signer.power for signer in signers),
    )


def _tx_view(wanted: TxId, known: TxFate) -> schema.TxView:
    status, height, index, code, fee, events = known
    return schema.TxView(
        id=wanted.hex(),
        status=cast("schema.TxStatus", status),
        height=height,
        index=index,
        code=code,
        fee=None if fee is None else str(fee),
        events=[list(event) for event in events],
    )
