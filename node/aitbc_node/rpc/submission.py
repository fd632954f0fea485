"""How do transactions come in over `POST /tx`, and what is the client told of each?

Three forms: `{"raw": base64}`, `{"txs": [base64, ...]}`, or a msgpack array of raw transactions. A
transaction that the node knows already is no error: clients resend the same bytes until it is final
or expired. Whether a transaction is any good is the mempool's question, not asked here.
"""

from collections.abc import Sequence

import msgspec

from aitbc_node import limits
from aitbc_node.codes import Code
from aitbc_node.events import TxOutcome
from aitbc_node.rpc import schema
from aitbc_node.rpc.call import decoded
from aitbc_node.rpc.view import Request, RequestFault

RETRY_AFTER = (("retry-after", "2"),)
MSGPACK = "application/msgpack"

_HTTP_STATUS = {
    Code.OK: 202,
    Code.E_MALFORMED: 400,
    Code.E_SIZE: 413,
    Code.E_QUEUE_FULL: 429,
    Code.E_RATE: 429,
    Code.E_POOL_FULL: 503,
    Code.E_NO_QUORUM: 503,
    Code.E_UNAVAILABLE: 503,
}
_REFUSED = 422
_HINTS = {
    Code.E_MALFORMED: "docs/protocol.md describes the bytes of transactions and messages",
    Code.E_SIZE: f"a transaction has at most {limits.TX_BYTES_MAX} bytes, a message "
    f"{limits.LETTER_BYTES_MAX}",
    Code.E_CHAIN: "GET /status names the chain of this node",
    Code.E_EXPIRED: "sign it anew with a later valid_until",
    Code.E_TOO_FAR: "GET /params names how far ahead valid_until may be",
    Code.E_POLICY: "GET /state/accounts/<address> shows the policy on record",
    Code.E_SIGNATURE: "sign the bytes as they are sent, with the keys of the account's policy",
    Code.E_NONCE: "GET /state/accounts/<address> tells next_nonce",
    Code.E_FEE: "GET /fees/estimate tells what gas costs now",
    Code.E_INSUFFICIENT: "GET /state/accounts/<address> tells what is there",
    Code.E_UNKNOWN: "an account is known from the first payment to it on",
    Code.E_RATE: "hand in fewer a second, or spread them over several accounts",
    Code.E_QUEUE_FULL: "wait for a block, then hand in the next ones",
    Code.E_POOL_FULL: "hand in the same bytes again later, or to another node",
}
_TRY_AGAIN = frozenset({429, 503})
_HELD = frozenset({Code.OK, Code.E_DUPLICATE})

_json = msgspec.json.Decoder(schema.SubmitRequest)
_msgpack = msgspec.msgpack.Decoder(list[bytes])


class Submission(msgspec.Struct, frozen=True):
    """Ask the server to hand these to the machine; `single` ones get a single answer."""

    raws: tuple[bytes, ...]
    single: bool


def read(request: Request) -> Submission:
    """Read the body of a `POST /tx`; bytes of a transaction are opaque here.

    Raises: RequestFault that names the field at fault.
    """
    if request.content_type == MSGPACK:
        return Submission(_bounded(decoded(_msgpack.decode, request.body)), single=False)
    if request.content_type != "application/json":
        message = f"content type {request.content_type[:60]!r} is not read here"
        hint = f"send application/json or {MSGPACK}"
        raise RequestFault(415, Code.E_BAD_REQUEST, message, field="content-type", hint=hint)
    asked = decoded(_json.decode, request.body)
    if (asked.raw is None) == (asked.txs is None):
        message = "exactly one of raw and txs is wanted"
        raise RequestFault(400, Code.E_BAD_REQUEST, message, field="raw")
    if asked.raw is not None:
        return Submission((asked.raw,), single=True)
    return Submission(_bounded(asked.txs or []), single=False)


def no_quorum() -> RequestFault:
    """Refuse to take transactions while this node cannot reach a quorum."""
    message = "this node reaches no quorum, so it takes no transactions"
    hint = "hand the same bytes to another node, or here again later"
    return RequestFault(503, Code.E_NO_QUORUM, message, hint=hint, headers=RETRY_AFTER)


def single(outcome: TxOutcome, known: schema.TxView | None) -> schema.Accepted:
    """Tell the client of a single transaction that the node holds it, or knows its fate.

    Raises: RequestFault when neither is so.
    """
    result = row(outcome, known)
    if result.code == Code.OK:
        return schema.Accepted(id=result.id, status=result.status)
    raise fault_of(result.code, result.message, field=result.field)


def fault_of(code: str, message: str, *, field: str) -> RequestFault:
    """Make what a client is told of what was not taken."""
    status = _HTTP_STATUS.get(Code(code), _REFUSED)
    headers = RETRY_AFTER if status in _TRY_AGAIN else ()
    hint = _HINTS.get(Code(code), "")
    return RequestFault(status, code, message, field=field, hint=hint, headers=headers)


def row(outcome: TxOutcome, known: schema.TxView | None) -> schema.TxResult:
    """Tell what became of one transaction; what the node knew before outranks a refusal."""
    name = outcome.id.hex()
    if known is not None:
        return schema.TxResult(id=name, status=known.status)
    if outcome.code in _HELD:
        return schema.TxResult(id=name, status="pending")
    return schema.TxResult(
        id=name,
        status="rejected",
        code=outcome.code,
        field=outcome.field,
        message=outcome.message,
    )


def brief(rows: Sequence[schema.TxResult]) -> schema.BriefResult:
    """Leave out what there is nothing to say of."""
    refused = [
        schema.RefusedRow(
            index=index, id=each.id, code=each.code, field=each.field, message=each.message
        )
        for index, each in enumerate(rows)
        if each.code != Code.OK
    ]
    return schema.BriefResult(taken=len(rows) - len(refused), refused=refused)


def _bounded(raws: list[bytes]) -> tuple[bytes, ...]:
    if not 1 <= len(raws) <= limits.RPC_BATCH_TXS_MAX:
        message = f"{len(raws)} transactions, from 1 to {limits.RPC_BATCH_TXS_MAX} are taken"
        raise RequestFault(413 if raws else 400, Code.E_SIZE, message, field="txs")
    return tuple(raws)
