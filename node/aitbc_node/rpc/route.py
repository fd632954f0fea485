"""What is a route, and which one does a request take?

Paths are compared part by part; a written part outranks a named one. The table itself is in
`dispatch.py`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from aitbc_node.codes import Code
from aitbc_node.rpc import schema
from aitbc_node.rpc.call import Call
from aitbc_node.rpc.submission import Submission
from aitbc_node.rpc.view import Request, RequestFault

ENVELOPE = "envelope"
"""Any JSON route takes `?envelope=1`: the answer then names the request and its own type."""

_SHOWN_CHARS = 80


Source: TypeAlias = Literal["events", "topics", "mail"]
"""Which ring a stream is read from: the node's own events, or messages of accounts."""


class Subscription(msgspec.Struct, frozen=True):
    """Ask the server to stream events of these topics; `last_id` is what the client saw last."""

    topics: frozenset[str]
    last_id: str
    source: Source = "events"
    is_brief: bool = False


class Publication(msgspec.Struct, frozen=True):
    """Ask the server to hand this message of an account to the machine."""

    raw: bytes


class Text(msgspec.Struct, frozen=True):
    """Answer with something that is not a JSON record."""

    content_type: str
    body: bytes


Result: TypeAlias = schema.Answer | Text | Submission | Subscription | Publication
Handler: TypeAlias = Callable[[Call], Result]


class Route(NamedTuple):
    """Name one route: `{name}` stands for one part of the path.

    Shape: `answers` are the records it may answer with and `media` their content type; `options`
    are the query parameters that it takes, `asks` the record that is handed in as JSON. One that
    `prefers` has a short form for who says `Prefer: return=minimal`.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answers: tuple[type[schema.Answer], ...] = ()
    options: tuple[str, ...] = ()
    media: str = "application/json"
    asks: type[msgspec.Struct] | None = None
    prefers: bool = False


class Table:
    """Find the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._by_parts: dict[tuple[str, ...], dict[str, Route]] = {}
        for route in routes:
            self._by_parts.setdefault(_parts(route.path), {})[route.method] = route

    def find(self, request: Request) -> tuple[Route, dict[str, str]]:
        """Return the route and the named parts of the path.

        Raises: RequestFault when there is none, or not for this method or with these options.
        """
        methods, params = self._methods(request.path)
        route = methods.get(request.method)
        if route is None:
            raise _wrong_method(request.method, ", ".join(methods))
        _check_options(request, route)
        return route, params

    def _methods(self, path: str) -> tuple[dict[str, Route], dict[str, str]]:
        parts = _parts(path)
        exact = self._by_parts.get(parts)
        if exact is not None:
            return exact, {}
        for template, methods in self._by_parts.items():
            params = _match(template, parts)
            if params is not None:
                return methods, params
        message = f"no route {path[:_SHOWN_CHARS]!r}"
        hint = "GET /openapi.json lists the routes"
        raise RequestFault(404, Code.E_NOT_FOUND, message, hint=hint)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")[1:])


def _match(template: Sequence[str], parts: Sequence[str]) -> dict[str, str] | None:
    if len(template) != len(parts):
        return None
    params = {}
    for wanted, part in zip(template, parts, strict=True):
        if wanted.startswith("{"):
            params[wanted[1:-1]] = part
        elif wanted != part:
            return None
    return params


def _wrong_method(method: str, allowed: str) -> RequestFault:
    message = f"{method[:_SHOWN_CHARS]} does not go here"
    headers = (("allow", allowed),)
    return RequestFault(405, Code.E_BAD_REQUEST, message, hint=f"use {allowed}", headers=headers)


def _check_options(request: Request, route: Route) -> None:
    known = (*route.options, ENVELOPE)
    for name, values in request.query.items():
        shown = name[:_SHOWN_CHARS]
        if name not in known:
            hint = f"this route takes {', '.join(route.options)}" if route.options else ""
            message = f"no option {shown!r}"
            raise RequestFault(400, Code.E_BAD_REQUEST, message, field=shown, hint=hint)
        if len(values) > 1:
            raise RequestFault(400, Code.E_BAD_REQUEST, "given more than once", field=shown)
