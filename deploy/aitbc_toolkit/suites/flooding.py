"""How is a node flooded for a while? By a stranger that is a process of its own, on this machine.

`python -m aitbc_toolkit.suites.flooding ORDER`, the order as JSON. It ends by itself when its time
is over, and when nobody holds its input any more: so no word is needed, and none can be lost. It
says `up` once it has got in, then each second what it has sent.
"""

import asyncio
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from aitbc_toolkit import render
from aitbc_toolkit.asking import open_mesh
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.faults import NotBitten
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.suites.scenario.arena import Planned
from aitbc_toolkit.suites.strangers import Flood, Victim, junk

FRAMES_PER_S = 5_000
BITE_S = 10.0
TICK_S = 0.02
_SAY_S = 1.0
_END_S = 10.0


class Order(msgspec.Struct, frozen=True):
    """Say who is flooded, with how many frames a second, and for how long at the most."""

    victim: Victim
    rate: float
    for_s: float


@dataclass(slots=True)
class Flooded:
    """Tell since when a stranger is in, until when it stays, and what it has sent."""

    bitten_at: float
    ends_from: float
    ends_at: float
    evidence: dict[str, Any]


@contextmanager
def flooded(environment: Environment, planned: Planned) -> Iterator[Flooded]:
    """Flood the targets until the block ends or the lease does, each by a stranger of its own.

    Raises: NotBitten where one of them does not get in; AitbcError where a node does not answer.
    """
    rate = float(planned.parameters.get("rate", FRAMES_PER_S))
    told = {name: _victim(environment, name) for name in planned.targets}
    began = time.time()
    with ExitStack() as stack:
        floods = {
            name: stack.enter_context(_Child.of(Order(victim, rate, planned.lease_s)))
            for name, victim in told.items()
        }
        until = time.monotonic() + BITE_S
        out = [name for name, child in floods.items() if not child.is_in.wait(_left_s(until))]
        if out:
            what = f"nobody got in at {', '.join(out)} within {BITE_S:g} s"
            raise NotBitten(what, hint="aitbc network peers")
        bitten_at, ends_at = time.time(), time.time() + planned.lease_s
        evidence: dict[str, Any] = {name: child.figures for name, child in floods.items()}
        yield Flooded(bitten_at, began + planned.lease_s, ends_at, evidence)
        for child in floods.values():
            child.end()


def _left_s(until: float) -> float:
    return max(0.0, until - time.monotonic())


def _victim(environment: Environment, name: str) -> Victim:
    """Find the door of a node, and whom one meets there."""
    instance = environment.instance(name)
    with open_mesh(environment) as mesh:
        told = mesh.ask_all(lambda node: node.text("/net/peers"))[name]
    if not isinstance(told, str):
        raise AitbcError(f"{name} does not answer: {told.reason}", hint="aitbc network status")
    return Victim(
        p2p=render.endpoint(instance.address, instance.p2p_port),
        rpc=instance.rpc_url,
        peer=json.loads(told)["id"],
        genesis=str(environment.folder / "genesis.json"),
    )


class _Child:
    """Be a stranger's process; `figures` grow as it tells them."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.is_in = threading.Event()
        self.figures: dict[str, Any] = {}
        self._process = process
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @classmethod
    @contextmanager
    def of(cls, order: Order) -> Iterator["_Child"]:
        """Start one; at the end it is gone."""
        argv = [sys.executable, "-P", "-m", __name__, msgspec.json.encode(order).decode()]
        with subprocess.Popen(  # noqa: S603 - our own module
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        ) as process:
            made = cls(process)
            try:
                yield made
            finally:
                made.end()

    def end(self) -> None:
        """Let it end; one that does not is killed."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._listener.join(_END_S)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self.figures.update(json.loads(line))
            elif line.startswith("up"):
                self.is_in.set()


async def _attack(order: Order) -> None:
    """Flood until the time is over, or the input."""
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(sys.stdin, over.set)  # nobody writes: what can be read is the end
    flood = Flood(order.victim, _say, junk, rate=order.rate)
    until, say_at = loop.time() + order.for_s, loop.time()
    while not over.is_set() and loop.time() < until:
        flood.tick()
        if loop.time() >= say_at:
            _say(json.dumps(flood.figures))
            say_at = loop.time() + _SAY_S
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), TICK_S)
    flood.stop()
    _say(json.dumps(flood.figures))


def _say(line: str) -> None:
    with suppress(BrokenPipeError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    logging.disable()  # what the node says against this peer is told already
    asyncio.run(_attack(msgspec.json.decode(sys.argv[1], type=Order)))
