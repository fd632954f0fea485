"""Be somebody who means harm to one node, as a process of its own.

`rogue.py KIND VICTIM`, the victim as JSON. The lines `on` and `off` on the input begin and end the
attack, whose every event is a line; at the input's end comes one JSON line of what was done, and of
the share of a processor that doing it took.
"""

import asyncio
import contextlib
import json
import logging
import os
import resource
import sys
import time

import msgspec
import uvloop
from rogue_peers import Crowd, Deaf, Forger, LocalFlood, ping
from rogue_sockets import HalfOpen, Loris

from aitbc_toolkit.suites.strangers import Victim, junk

TICK_S = 0.02
KINDS = {
    "forge": lambda victim, say: [Forger(victim, say)],
    "junk": lambda victim, say: [LocalFlood(victim, say, junk)],
    "pings": lambda victim, say: [LocalFlood(victim, say, ping)],
    "keys": lambda victim, say: [Crowd(victim, say)],
    "half-open": lambda victim, say: [HalfOpen(victim, say)],
    "slow": lambda victim, say: [Loris(victim, say), Deaf(victim, say)],
}
KINDS["all"] = lambda victim, say: [
    attack for kind in ("junk", "keys", "half-open", "slow") for attack in KINDS[kind](victim, say)
]


class Rogue:
    """Attack while it is told to."""

    def __init__(self, kind: str, victim: Victim) -> None:
        self.over = asyncio.Event()
        self._attacks = KINDS[kind](victim, _say)
        self._is_on = False
        self._spent_s = self._lasted_s = 0.0

    def hear(self) -> None:
        """Take what the test says."""
        heard = os.read(sys.stdin.fileno(), 1_024)
        if not heard:
            self.over.set()
        for line in heard.split():
            self._is_on = line == b"on"
            if not self._is_on:
                self.stop()

    async def run(self) -> None:
        """Go on until the input ends."""
        asyncio.get_running_loop().add_reader(sys.stdin, self.hear)
        while not self.over.is_set():
            began, spent = time.monotonic(), time.process_time()
            was_on = self._is_on
            for attack in self._attacks if was_on else ():
                attack.tick()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), TICK_S)
            if was_on:
                self._spent_s += time.process_time() - spent
                self._lasted_s += time.monotonic() - began
        self.stop()

    def stop(self) -> None:
        """Hold nothing any more."""
        for attack in self._attacks:
            attack.stop()

    def figures(self) -> dict[str, object]:
        """Say what was done, and what it took."""
        told: dict[str, object] = {}
        for attack in self._attacks:
            told.update(attack.figures)
        share = round(self._spent_s / max(self._lasted_s, TICK_S), 2)
        return {**told, "attacked_s": round(self._lasted_s), "processor_share": share}


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Attack one node."""
    kind, victim = sys.argv[1:]
    rogue = Rogue(kind, msgspec.json.decode(victim, type=Victim))
    await rogue.run()
    _say(json.dumps(rogue.figures()))


if __name__ == "__main__":
    logging.disable()  # what the node says against this peer is told already
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
