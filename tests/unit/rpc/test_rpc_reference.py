"""Is every route of a node in `docs/api.md`, with its options and its answers as they are?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from aitbc_node import config
from aitbc_node.codes import Code
from aitbc_node.rpc import admin, openapi
from aitbc_node.rpc.dispatch import ROUTES, TOPICS
from aitbc_node.rpc.route import ENVELOPE
from aitbc_toolkit import paths
from aitbc_toolkit.declared import Declared

API = paths.project_root() / "docs" / "api.md"
NODE = paths.project_root() / "node" / "README.md"
INVENTORIES = paths.project_root() / "inventories" / "README.md"

HEAD = """# What a node answers

Written by `tests/unit/rpc/test_rpc_reference.py` from the routes and records of the code; a node
serves the same as OpenAPI under `/openapi.json`. Fields are added, not renamed.

Every answer names its request: `X-Request-Id` is the client's own or one that we made. With
`?envelope=1` a body is `{"id", "type", "result"}` or `{"id", "type", "error"}`. A refusal is
`{"error": {"code", "message", "field", "hint", "request_id"}}`; the code is stable. With 429 and
503 comes `Retry-After`. A node that reaches no quorum marks its answers with `X-Stale: 1` and takes
no transactions: another node may. The same bytes of a transaction may be handed in again anywhere.
"""


def reference() -> str:
    """Write the whole document."""
    parts = [HEAD, "## Public routes\n", *map(_route, ROUTES)]
    parts += ["## Events\n", _events(), "## For the operator\n", _operator()]
    parts += ["## Codes\n", ", ".join(f"`{code}`" for code in Code) + "\n"]
    parts += ["## Records\n", *_records()]
    return "\n".join(parts)


def _route(route: Any) -> str:
    options = [*route.options]
    answers = [f"[{kind.__name__}](#{kind.__name__.lower()})" for kind in route.answers]
    lines = [f"### {route.method} {route.path}", "", route.summary, ""]
    if options:
        lines.append(f"Options: {', '.join(f'`{name}`' for name in options)}.")
    if route.prefers:
        lines.append("`Prefer: return=minimal`: in short.")
    told = " or ".join(answers) if answers else f"`{route.media}`"
    lines.append(f"Answer: {told}.")
    return "\n".join([*lines, ""])


def _events() -> str:
    return f"""`GET /events?topic=` takes {", ".join(f"`{topic}`" for topic in TOPICS)}, or several
with commas. Each event has an `id`; `Last-Event-ID` (or `last_id=`) goes on behind it. What is lost
is told by an event `gap` with the number lost, or null where nobody knows. A comment comes every
15 s where nothing else does; whoever reads nothing for 30 s is cut off; a node that stops ends its
streams with an event `closing`. The fates of many transactions come in several `tx` events:
`{{"height", "txs": [{{"id", "status", "index", "code", "fee"}}]}}`, of what expired without the
last three and with no height.

Who says `Prefer: return=minimal` (RFC 7240) is told less, and `Preference-Applied` says so. A batch
handed in is answered with a [BriefResult](#briefresult): how many were taken, and each other one by
its place. A `tx` event is `{{"height", "runs": [{{"status", "code", "ids"}}]}}`: those that follow
each other in the block and fared alike, 64 hex digits each, without fees. Older nodes ignore it.

Messages of accounts have streams of their own, `GET /messages?topic=A,B` and
`GET /messages/ADDRESS`: each is an event `message` whose data are a [MessageView](#messageview).
The first begins with what is new, the second with what is kept (1,024 messages or 8 MiB for all
accounts, none behind its `valid_until`). Who falls behind what is kept gets an event `closing` that
says how far, and the stream ends; who comes back with `Last-Event-ID` hears of
the `gap` and goes on.
"""


def _operator() -> str:
    lines = [
        "On the port of `rpc.admin_listen`, loopback only, with `Authorization: Bearer TOKEN`.",
        "",
        "| route | body | what it does |",
        "|---|---|---|",
    ]
    for path, decoder in admin.COMMANDS.items():
        kind = decoder.type
        fields = ", ".join(f"`{name}`" for name in kind.__struct_fields__) or "`{}`"
        lines.append(f"| `POST {path}` | {fields} | {_sentence(kind.__doc__)} |")
    return "\n".join([*lines, ""])


def _records() -> Iterator[str]:
    document: Any = openapi.document(ROUTES)
    schemas = document["components"]["schemas"]
    for name in sorted(schemas):
        record = schemas[name]
        lines = [f"### {name}", "", _sentence(record.get("description", "")), ""]
        lines += ["| field | type |", "|---|---|"]
        for field, kind in record.get("properties", {}).items():
            lines.append(f"| `{field}` | {_kind(kind)} |")
        yield "\n".join([*lines, ""])


def _sentence(text: str | None) -> str:
    """Put a docstring on lines without their indentation."""
    return " ".join((text or "").split())


def _kind(kind: Mapping[str, Any]) -> str:
    """Put a JSON schema into a few words."""
    match kind:
        case {"$ref": ref}:
            name = ref.rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        case {"anyOf": kinds}:
            return " or ".join(map(_kind, kinds))
        case {"enum": values}:
            return " or ".join(f"`{value}`" for value in values)
        case {"type": "array", "items": items}:
            return f"list of {_kind(items)}"
        case {"type": "object", "additionalProperties": dict() as values}:
            return f"map to {_kind(values)}"
        case {"type": name}:
            words = kind.get("description", "")
            return f"{name}{', ' if words else ''}{words}"
    return "any"


def keys_of(kind: type, prefix: str = "") -> Iterator[str]:
    """List the keys of a configuration, tables of many names as NAME."""
    for name, hint in get_type_hints(kind).items():
        inner, place = hint, f"{prefix}{name}"
        if getattr(hint, "__origin__", None) is dict:
            inner, place = get_args(hint)[1], f"{place}.NAME"
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            yield from keys_of(inner, f"{place}.")
        else:
            yield place


def rows_of(text: str) -> dict[str, Sequence[str]]:
    """Read the tables whose first cell is a key."""
    rows = (line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `"))
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in rows}


def missing(keys: Iterable[str], text: str) -> list[str]:
    """List the keys that have no row with a meaning."""
    rows = rows_of(text)
    return [key for key in keys if not rows.get(key, [""])[-1]]


@pytest.mark.proves("E64")
def test_every_route_is_documented() -> None:
    """The reference is what the code says; `python` of this file writes it anew."""
    assert API.read_text(encoding="utf-8") == reference(), f"python {Path(__file__).name}"


def test_the_reference_names_each_route_option_and_topic() -> None:
    """Nothing that can be asked is left out, whatever the writer does."""
    text = API.read_text(encoding="utf-8")

    for route in ROUTES:
        assert f"### {route.method} {route.path}\n" in text
        for option in route.options:
            assert (
                f"`{option}`" in text.split(f"### {route.method} {route.path}\n")[1].split("#")[0]
            )
    assert all(f"`POST {path}`" in text for path in admin.COMMANDS)
    assert all(f"`{word}`" in text for word in (*TOPICS, *Code))
    assert f"?{ENVELOPE}=1" in text


@pytest.mark.proves("E64")
def test_every_configuration_key_is_documented() -> None:
    """Each key of `node.toml` and of `inventory.toml` has a row that says what it means."""
    node = [key for key, *_ in config.describe()]
    environment = list(keys_of(Declared))

    assert len(node) > 20
    assert len(environment) > 30
    assert missing(node, NODE.read_text(encoding="utf-8")) == []
    assert missing(environment, INVENTORIES.read_text(encoding="utf-8")) == []


def test_a_key_without_a_row_would_be_found() -> None:
    """The comparison is no formality: a missing row and an empty meaning are both found."""
    text = "| `a.b` | text | a meaning |\n| `a.c` | text |  |\n"

    assert missing(["a.b", "a.c", "a.d"], text) == ["a.c", "a.d"]


if __name__ == "__main__":
    API.write_text(reference(), encoding="utf-8")
