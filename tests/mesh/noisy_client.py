"""Be a client that asks far beyond its share while it is told to; a process of its own.

`noisy_client.py HOST PORT OWN_ADDRESS RATE`: lines `on` and `off` come in, `throttled` goes out
once, and at the end of the input one JSON line of how often each status came back.
"""

import json
import select
import socket
import sys
from collections import Counter

_ASKED = b"GET /blocks?count=20 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
_REFUSED = "429"


def _ask(node: tuple[str, int], own: str) -> tuple[str, bool]:
    """Ask once; return the status, and whether it was told when to come back."""
    with socket.create_connection(node, timeout=90, source_address=(own, 0)) as connection:
        connection.sendall(_ASKED)
        answer = bytearray()
        while part := connection.recv(65_536):
            answer += part
    head = bytes(answer.partition(b"\r\n\r\n")[0]).lower()
    return head.split(b" ", 2)[1].decode(), b"\r\nretry-after: " in head


def main() -> None:
    """Ask until the input ends."""
    host, port, own, rate = sys.argv[1:]
    told: Counter[str] = Counter()
    without_wait = 0
    is_on = False
    while True:
        if select.select([sys.stdin], [], [], 1 / int(rate) if is_on else None)[0]:
            line = sys.stdin.readline()
            if not line:
                break
            is_on = line.strip() == "on"
            continue
        status, waits = _ask((host, int(port)), own)
        without_wait += status == _REFUSED and not waits
        if status == _REFUSED and not told[status]:
            sys.stdout.write("throttled\n")
            sys.stdout.flush()
        told[status] += 1
    sys.stdout.write(json.dumps({"told": told, "without_wait": without_wait}) + "\n")


if __name__ == "__main__":
    main()
