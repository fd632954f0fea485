"""How does the interface describe itself? As OpenAPI 3.1, made from the routes and the records.

Nothing is written twice: a route that is added to the table is in the document. Do not add routes
or prose about single fields here.
"""

import re
from collections.abc import Sequence
from functools import cache

import msgspec

from aitbc_node.rpc import schema
from aitbc_node.rpc.mailing import MessageView
from aitbc_node.rpc.route import ENVELOPE, Route

_REF = "#/components/schemas/{name}"
_NAMED = re.compile(r"\{(\w+)\}")


@cache
def document_bytes(routes: tuple[Route, ...]) -> bytes:
    """Encode the document of these routes."""
    return msgspec.json.encode(document(routes))


def document(routes: Sequence[Route]) -> dict[str, object]:
    """Describe these routes and every record that they answer with."""
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    answers = {answer for route in routes for answer in route.answers}
    asked = {route.asks for route in routes if route.asks}
    kinds: list[type[msgspec.Struct]] = [*answers, *asked, MessageView]
    kinds += schema.ErrorAnswer, schema.SubmitRequest
    kinds.sort(key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AITBC node",
            "version": "1",
            "description": "Reads, transactions and messages; fields are added, not renamed.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route) -> dict[str, object]:
    told: dict[str, object] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": {
            "202" if route.method == "POST" else "200": _response(route),
            "4XX": _fault("The request cannot be answered; it names the field at fault."),
            "5XX": _fault("The node cannot answer now."),
        },
    }
    if route.method == "POST":
        told["requestBody"] = {"required": True, "content": _asked(route)}
    return told


def _operation_id(route: Route) -> str:
    words = re.split(r"[/{}.]+", route.path.strip("/"))
    return "_".join([route.method.lower(), *filter(None, words)])


def _parameters(route: Route) -> list[dict[str, object]]:
    text = {"type": "string"}
    in_path: list[dict[str, object]] = [
        {"name": name, "in": "path", "required": True, "schema": text}
        for name in _NAMED.findall(route.path)
    ]
    if route.prefers:
        wanted = {"type": "string", "enum": ["return=minimal"]}
        in_path.append({"name": "Prefer", "in": "header", "required": False, "schema": wanted})
    options = (*route.options, *([ENVELOPE] if route.answers else []))
    return in_path + [
        {"name": name, "in": "query", "required": False, "schema": text} for name in options
    ]


def _response(route: Route) -> dict[str, object]:
    refs = [_ref(answer) for answer in route.answers]
    body: object = {"type": "string"} if not refs else refs[0]
    if len(refs) > 1:
        body = {"oneOf": refs}
    return {
        "description": route.summary,
        "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
        "content": {route.media: {"schema": body}},
    }


def _fault(why: str) -> dict[str, object]:
    schema_of_fault = {"schema": _ref(schema.ErrorAnswer)}
    return {"description": why, "content": {"application/json": schema_of_fault}}


def _asked(route: Route) -> dict[str, object]:
    if route.asks is not None:
        return {"application/json": {"schema": _ref(route.asks)}}
    raws = {"type": "array", "items": {"type": "string", "format": "binary"}}
    return {
        "application/json": {"schema": _ref(schema.SubmitRequest)},
        "application/msgpack": {"schema": raws},
    }


def _ref(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}
