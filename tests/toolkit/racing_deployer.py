"""One deployer of a race for the lease: a process of its own, whose steps are processes, too.

Commands come in as JSON lines: `take` at a time, `step`, `give`. Answers go out as JSON lines.
"""

import json
import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from aitbc_toolkit.deploys.hostside import program
from aitbc_toolkit.release.lease import Ask, Claim, Held, Lease
from aitbc_toolkit.release.renewing import Renewal
from aitbc_toolkit.remote import Row


def forked(step: str, params: Mapping[str, Any]) -> int:
    """Start the program of one step on one host; give the end where it answers."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        return reading
    os.dup2(writing, 1)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    with suppress(SystemExit):
        program.run(step, dict(params))
    sys.stdout.flush()
    os._exit(0)


def asking(documents: Mapping[str, Mapping[str, Any]]) -> Ask:
    """Make steps on hosts whose documents are known."""

    def ask(step: str, hosts: Collection[str], words: Mapping[str, Any]) -> dict[str, Row]:
        ends = {host: forked(step, {**documents[host], "lease": dict(words)}) for host in hosts}
        rows = {}
        for host, end in ends.items():
            with os.fdopen(end) as answers:
                answer = json.loads(answers.read().partition(program.MARK)[2])
            rows[host] = Row(host, ok=answer["ok"], answer=answer, took_ms=0)
        for _ in ends:
            os.wait()
        return rows

    return ask


@contextmanager
def same(ask: Ask) -> Iterator[Ask]:
    """Be the second connection; here it is as good as the first."""
    yield ask


def main() -> None:
    """Serve one race after another until standard input ends."""
    told = json.loads(sys.stdin.readline())
    ask = asking(told["documents"])
    lease: Lease | None = None
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        match command["do"]:
            case "take":
                claim = Claim("pretend", f"deploy {os.getpid()}", ttl_s=told["ttl_s"])
                lease = Lease(claim, list(told["documents"]), ask, wait=time.sleep)
                while time.monotonic() < command["at_s"]:
                    pass  # some milliseconds, and both have to start on the dot
                try:
                    lease.acquire()
                    answer = {"won": True, "token": lease.token}
                except Held as held:
                    answer = {"won": False, "holder": held.holder, "exit": int(held.exit_status)}
                if answer["won"] and told["renews"]:
                    Renewal(lease, lambda: same(ask)).__enter__()
            case "step":
                assert lease is not None
                host = command["host"]
                lease.sure_until_s = time.monotonic() + 1  # so that the host has to refuse it
                words = lease.words(deadline_s=1)
                document = {**told["documents"][host], "action": "stop", "lines": 1}
                rows = asking({host: document})("service", [host], words)
                answer = dict(rows[host].answer)
            case "give":
                assert lease is not None
                answer = {"left": [name for name, row in lease.release().items() if not row.ok]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
