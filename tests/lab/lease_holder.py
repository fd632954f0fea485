"""A run that holds the lease of an environment and makes steps when told; others meet it.

Arguments: environment, state folder, TTL in seconds. Commands come in as lines: `restart`
a node, `stage` on a host with a deadline of some seconds, or `hold` for another TTL from now on.
Answers go out as lines of JSON.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.lease import Claim, Lease
from aitbc_toolkit.remote import Hosts

HANG_S = 3


def main(name: str, state: str, ttl_s: str) -> None:
    """Take the lease, say its token, then obey."""
    environment = Inventory.load(name, state=Path(state))
    with Hosts(environment, log=Path(state) / "holder.log") as remote:
        crew = Crew(environment, remote)
        claim = Claim(environment.name, "held by a test", ttl_s=float(ttl_s))
        names = [host.name for host in environment.hosts]
        lease = Lease(claim, names, crew.ask(remote), wait=time.sleep)
        crew.hold(lease, lease.acquire())
        say({"token": lease.token})
        for line in sys.stdin:
            lease.sure_until_s = time.monotonic() + 60  # so that the hosts have to judge
            step, name = line.split()
            if step == "hold":
                lease.claim = replace(claim, ttl_s=float(name))
                rows = lease.acquire()
            elif step == "stage":
                rows = crew.set_up(step, [name], deadline_s=HANG_S, commit="0" * 40, trust=None)
            else:
                rows = crew.service("restart", [name])
            say({host: dict(row.answer) for host, row in rows.items()})


def say(document: dict[str, Any]) -> None:
    """Write an answer."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


main(*sys.argv[1:])
