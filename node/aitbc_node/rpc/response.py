"""How does a record, or a refusal, become a response that names its request?

By headers always, on demand in the body too. Do not add what an answer says here.
"""

import msgspec

from aitbc_node.rpc import schema
from aitbc_node.rpc.route import ENVELOPE
from aitbc_node.rpc.view import Request, RequestFault, Response

REQUEST_ID = "x-request-id"
BRIEF = (("preference-applied", "return=minimal"),)
"""Tells a client that asked for the least that it has got it."""
_OURS = 500

_encoder = msgspec.json.Encoder()


def respond(
    answer: schema.Answer,
    request: Request,
    *,
    status: int = 200,
    headers: tuple[tuple[str, str], ...] = (),
) -> Response:
    """Make the response that carries a record."""
    kind = type(answer).__name__
    body: object = answer
    if request.query.get(ENVELOPE) == ["1"]:
        match answer:
            case schema.ErrorAnswer(error=error):
                body = {"id": request.request_id, "type": kind, "error": error}
            case _:
                body = {"id": request.request_id, "type": kind, "result": answer}
    named = (*identity(request), ("x-response-type", kind), *headers)
    return Response(status, _encoder.encode(body), headers=named)


def whole(body: bytes, request: Request, *, content_type: str) -> Response:
    """Make the response that carries something that is not a record."""
    return Response(200, body, content_type, identity(request))


def refuse(fault: RequestFault, request: Request) -> Response:
    """Make the response that says why a request was not answered."""
    told = schema.Fault(
        code=str(fault.code),
        message=fault.message,
        field=fault.field,
        hint=fault.hint or _hint(fault),
        request_id=request.request_id,
    )
    answer = schema.ErrorAnswer(error=told)
    return respond(answer, request, status=fault.status, headers=fault.headers)


def _hint(fault: RequestFault) -> str:
    """Say what helps where the place that refused knew nothing better."""
    match fault.status:
        case 404:
            return "GET /status tells which heights there are"
        case status if status >= _OURS:
            return "GET /health tells when this node answers again; others may now"
        case _:
            return "GET /openapi.json tells every route with its fields"


def identity(request: Request) -> tuple[tuple[str, str], ...]:
    """Return the header by which logs of client and node meet."""
    return ((REQUEST_ID, request.request_id),)
