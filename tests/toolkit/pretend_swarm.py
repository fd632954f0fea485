"""A swarm against a mesh that is one small program, for tests of what it makes of it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from aitbc_toolkit.suites.swarm import Document, Swarm

TERMS: Document = {
    "chain_id": "aitbc-fake-1",
    "hrp": "aitt",
    "height": 0,
    "ttl_blocks": 1_000,
    "interval_ms": 200,
    "gas_price_max": 1_000,
}
_GENERATORS_OWN = (
    "send lag",
    "the worker used",
    "% of what was asked was offered",
    "no node judged",
)


@contextmanager
def a_fake_mesh(**options: Any) -> Iterator[list[int]]:
    """Start one; give its ports."""
    program = Path(__file__).with_name("fake_mesh.py")
    argv = [sys.executable, program, json.dumps(options)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["ports"]
        finally:
            process.kill()


def asked(port: int, method: str, path: str, body: bytes = b"") -> Document:
    """Ask one node of a fake mesh."""
    with closing(HTTPConnection("127.0.0.1", port)) as wire:
        wire.request(method, path, body)
        return dict(json.loads(wire.getresponse().read()))


def an_order(folder: Path, ports: list[int], **plan: Any) -> Document:
    """Order a short run."""
    nodes = [
        {"name": f"v{place}", "host": "127.0.0.1", "port": port, "power": 1}
        for place, port in enumerate(ports, 1)
    ]
    usual = {"scenario": "load/fake", "seed": 7, "rate": 100.0, "for_s": 2.0}
    return {
        "plan": {**usual, "drain_s": 60.0, **plan},
        "terms": TERMS,
        "nodes": nodes,
        "folder": str(folder),
        "circumstances": {},
    }


def a_swarm(
    order: Document,
    seconds: list[Document],
    *,
    each_second: Callable[[Swarm], None] = lambda _: None,
) -> Swarm:
    """Make a swarm that is given its money, as everything is there in that mesh."""

    def money(amounts: Mapping[str, int]) -> Document:
        asked(order["nodes"][0]["port"], "POST", "/fund", json.dumps(list(amounts)).encode())
        return TERMS

    def tell(what: str, told: Document) -> None:
        if what == "second":
            seconds.append(told)
            each_second(swarm)

    swarm = Swarm(order, money=money, tell=tell)
    return swarm


def is_believed(result: Document) -> bool:
    """Tell whether a busy machine let the swarm do its work in time."""
    return not any(word in why for why in result["why"] for word in _GENERATORS_OWN)


def played_whole(play: Callable[[], Document]) -> Document:
    """Play until no worker was held for so long that it counts as lost, three times at most.

    What ends the last one is for whoever asked: a loss is never taken for a pass.
    """
    for _ in range(2):
        result = play()
        if not any(row["lost"].startswith("it said nothing") for row in result["workers"]):
            return result
    return play()
