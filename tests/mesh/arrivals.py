"""How a test sees when each block reached each node of a local mesh: it listens to all of them."""

import contextlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

import httpx
from local_mesh import NodeProcess


class Arrivals:
    """Hold when each height was heard of by which node. Units: seconds of one clock."""

    def __init__(self) -> None:
        self.at_s: dict[int, dict[str, float]] = defaultdict(dict)
        self._lock = threading.Lock()

    def heard(self, name: str, height: int) -> None:
        """Remember that a node has a block now."""
        with self._lock:
            self.at_s[height].setdefault(name, time.monotonic())

    def complete(self, count: int) -> list[int]:
        """Return the heights that so many nodes have told of."""
        with self._lock:
            return sorted(height for height, heard in self.at_s.items() if len(heard) == count)

    def late_ms(self, count: int) -> list[int]:
        """Return, in order, how much later than the first node each node had each block."""
        found: list[int] = []
        for height in self.complete(count):
            heard = self.at_s[height].values()
            found += [round(1_000 * (at_s - min(heard))) for at_s in heard]
        return sorted(found)


@contextlib.contextmanager
def listening(nodes: Sequence[NodeProcess]) -> Iterator[Arrivals]:
    """Listen to these nodes until the block ends."""
    arrivals, stop = Arrivals(), threading.Event()
    threads = [
        threading.Thread(target=_listen, args=(node, arrivals, stop), daemon=True) for node in nodes
    ]
    for thread in threads:
        thread.start()
    try:
        yield arrivals
    finally:
        stop.set()


def _listen(node: NodeProcess, arrivals: Arrivals, stop: threading.Event) -> None:
    url = f"http://{node.rpc}/events?topic=block"
    while not stop.is_set():
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.stream("GET", url, timeout=60, trust_env=False) as answer,
        ):
            for line in answer.iter_lines():
                if stop.is_set():
                    return
                if line.startswith("data: "):
                    told = json.loads(line.removeprefix("data: "))
                    if "height" in told:
                        arrivals.heard(node.name, int(told["height"]))
