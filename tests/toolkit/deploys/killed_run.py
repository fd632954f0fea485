"""Run a deploy of a stand-in project that kills itself right after a point of its journal.

A program of its own, so that SIGKILL ends a whole controller: `ROOT POINT COUNT VERB CHOICE`.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import stand_in_hosts

from aitbc_toolkit import identity
from aitbc_toolkit.release.deploy import Request, deploy
from aitbc_toolkit.release.journal import Journal, Point
from aitbc_toolkit.release.request import Choice
from aitbc_toolkit.release.resuming import resume
from aitbc_toolkit.remote import Hosts


def main(root: Path, point: str, count: int, verb: str, choice: Choice) -> None:
    """Deploy until the journal has written a point so many times."""
    write, seen = Journal.write, 0

    def killing(journal: Journal, written: Point, **facts: Any) -> None:
        nonlocal seen
        write(journal, written, **facts)
        seen += written == point
        if seen == count:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.write = killing  # type: ignore[method-assign] # the point of this program
    identity.stranger = lambda *_asked: ""
    Hosts.step = stand_in_hosts.step  # type: ignore[method-assign] # several hosts are one here
    environment = stand_in_hosts.load(root, "dev")
    request = Request(
        checkout=root / "checkout",
        choice=choice,
        prove=lambda _environment: ("0 of 0 checks", ""),
    )
    {"deploy": deploy, "resume": resume}[verb](environment, request, lambda _record: None)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        sys.argv[2],
        int(sys.argv[3]),
        sys.argv[4],
        Choice(**json.loads(sys.argv[5])),
    )
