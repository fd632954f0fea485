"""How does a command talk to the holder of a lab? One JSON line each way on a Unix socket.

Only the holder may boot a host, because the host dies with the process that started it and its
disk lives in that process's mount namespace. Do not add what works without the holder.
"""

import json
import socket
from pathlib import Path
from typing import Any

from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.lab.places import Places

LINE_BYTES_MAX = 64 * 1024


def socket_path(places: Places, tag: str) -> Path:
    """Find the socket of the holder; only root may enter its folder."""
    return places.live(tag) / "control.sock"


def ask(path: Path, request: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
    """Send one request to the holder and return its answer.

    Raises: AitbcError when nobody answers in time or the holder refuses.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(timeout_s)
            link.connect(str(path))
            link.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(read_line(link))
    except (OSError, ValueError) as wrong:
        raise AitbcError(
            f"the lab's holder did not answer {request['verb']}: {wrong}",
            hint="aitbc lab list",
        ) from wrong
    if error := answer.get("error"):
        raise AitbcError(
            f"the lab's holder refused {request['verb']}: {error}", hint="aitbc lab list"
        )
    assert isinstance(answer, dict)
    return answer


def read_line(link: socket.socket) -> bytes:
    """Read up to the first line end.

    Raises: ValueError when the line is too long or the other side went away.
    """
    received = b""
    while not received.endswith(b"\n"):
        part = link.recv(4096)
        received += part
        if not part or len(received) > LINE_BYTES_MAX:
            raise ValueError("the line is not whole")
    return received
