"""Has a host gone down, and has it come back as another boot? Seen from outside, and asked again.

A host that starts anew takes the end of its fault with it, so this is the one fault whose proof is
that it cannot be asked. Do not add how it is told to: `orders`.
"""

import socket
import time
from collections.abc import Callable, Mapping, Sequence

from aitbc_toolkit.inventory import Host
from aitbc_toolkit.remote import Row

KIND = "host.reboot"
PROOF = {"what": "nobody gets in, then another boot answers"}
"""What a plan says of it; no host can measure that of itself."""
GONE_S = 20.0
"""How long a host may take to stop its services, in an orderly way, until nobody gets in."""
BACK_S = 120.0
"""How long it may take from then on until it answers as another boot."""
_CONNECT_S = 1.0
_POLL_S = 0.1


def await_gone(hosts: Sequence[Host]) -> dict[str, str]:
    """Wait until each host takes no connection; tell why not, or nothing of one that still does."""
    until, why = time.monotonic() + GONE_S, {each.name: "" for each in hosts}
    while not all(why.values()) and time.monotonic() < until:
        for each in hosts:
            why[each.name] = why[each.name] or _refusal(each)
        time.sleep(_POLL_S)
    return why


def await_back(ask: Callable[[], Mapping[str, Row]], before: Mapping[str, str]) -> dict[str, Row]:
    """Ask until every host answers as another boot, or as long as it may take; return the rows."""
    until = time.monotonic() + BACK_S
    while True:
        rows = dict(ask())
        is_back = all(
            row.ok and row.answer["boot"] != before.get(name) for name, row in rows.items()
        )
        if is_back or time.monotonic() > until:
            return rows
        time.sleep(_POLL_S)


def _refusal(host: Host) -> str:
    try:
        socket.create_connection((host.address, host.ssh_port), timeout=_CONNECT_S).close()
    except OSError as failure:
        return f"shut: {failure}"
    return ""
