"""What does a node of this host answer, on its own ports? Silence is a value.

Only what a step has to know on the spot; the mesh is judged by the operator's machine. Standard
library only.
"""

import json
from pathlib import Path
from typing import Any

_ANSWER_S = 2.0
# On top of what a node was given to wait.
_DRAIN_GRACE_S = 2.0
_FINALIZE_S = 5.0
_NEXT_KEY_S = 15.0
_REDIAL_S = 5.0
_OK = 200


def get(instance: dict[str, Any], route: str) -> dict[str, Any] | None:
    """Read one route of the node's RPC port."""
    address, port = instance["listen"]["rpc"]
    return _ask(address, port, "GET", route, timeout_s=_ANSWER_S)


def drain(instance: dict[str, Any], *, deadline_ms: int) -> dict[str, Any] | None:
    """Let a node find the moment at which stopping it costs no round; wait for it.

    None when the node does not answer; an older release knows no such request.
    """
    body = {"deadline_ms": deadline_ms}
    return _order(instance, "drain", body, timeout_s=deadline_ms / 1000 + _DRAIN_GRACE_S)


def finalize(instance: dict[str, Any], *, data_version: int) -> dict[str, Any] | None:
    """Let a node write a data version from now on; None when it does not, or does not answer."""
    return _order(instance, "finalize", {"data_version": data_version}, timeout_s=_FINALIZE_S)


def next_key(instance: dict[str, Any]) -> dict[str, Any] | None:
    """Let a node make the consensus key that is to vote next; an older release cannot."""
    return _order(instance, "next-key", {}, timeout_s=_NEXT_KEY_S)


def redial(instance: dict[str, Any]) -> dict[str, Any] | None:
    """Let a node dial at once whom it misses; None when it does not, or does not answer."""
    return _order(instance, "net/recover", {}, timeout_s=_REDIAL_S)


def _order(
    instance: dict[str, Any], what: str, body: dict[str, Any], *, timeout_s: float
) -> dict[str, Any] | None:
    """Ask something of a node as its operator; the token never leaves the host."""
    token = Path(instance["keys"]) / "admin.token"
    if not token.is_file():
        return None
    address, port = instance["listen"]["admin"]
    return _ask(
        address,
        port,
        "POST",
        f"/admin/{what}",
        body=json.dumps(body),
        headers={"Authorization": f"Bearer {token.read_text(encoding='ascii').strip()}"},
        timeout_s=timeout_s,
    )


def _ask(
    address: str,
    port: int,
    method: str,
    route: str,
    *,
    timeout_s: float,
    body: str | None = None,
    headers: dict[str, str] | None = None,
) -> dict[str, Any] | None:
    import http.client  # noqa: PLC0415 - 25 ms, and most steps ask no node

    link = http.client.HTTPConnection(address, port, timeout=timeout_s)
    try:
        link.request(method, route, body=body, headers=headers or {})
        answer = link.getresponse()
        told = json.loads(answer.read())
        return told if answer.status == _OK and isinstance(told, dict) else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        link.close()
