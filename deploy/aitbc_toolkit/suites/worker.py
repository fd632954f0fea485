"""What does one worker of a shared suite do? It has a mesh of its own, and plays what it is told.

`python -m aitbc_toolkit.suites.worker ENVIRONMENT FOLDER SEED`: a name of a part comes in by line,
its result goes out by line; the end of the names is the end of the worker. Do not share out here:
`crew.py`.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec

from aitbc_toolkit import lab, paths
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory, canonical_name
from aitbc_toolkit.lab_record import name_of
from aitbc_toolkit.release import meshing
from aitbc_toolkit.release.deploy import Request
from aitbc_toolkit.suites import catalogue, claiming, playing, showing
from aitbc_toolkit.suites.crew import READY
from aitbc_toolkit.suites.timeline import Timeline

Tell = Callable[[Mapping[str, object]], None]


def tell(record: Mapping[str, object]) -> None:
    """Say what is done to a lab beside the results."""
    sys.stderr.write(json.dumps(record, default=str) + "\n")


def main(name: str, folder: Path, seed: int, names: BinaryIO, results: BinaryIO) -> None:
    """Play until there is nothing more to play."""
    with ExitStack() as stack:
        environment = None
        if name != showing.SIMULATED:
            own, what = canonical_name(name), "a worker of aitbc test"
            stack.enter_context(claiming.sole(own, what, state=paths.state_root()))
            environment = stack.enter_context(own_lab(name))
        timeline = stack.enter_context(Timeline(folder))
        player = playing.player_of(stack, environment, seed)
        _send(results, READY)
        while line := names.readline():
            (part,) = catalogue.parts(line.decode().strip())
            result = playing.play_part(player, part, timeline)
            _send(results, msgspec.json.encode(result, enc_hook=str) + b"\n")


@contextmanager
def own_lab(name: str, tell: Tell = tell) -> Iterator[Environment]:
    """Have a lab with a mesh; afterwards it is as before: up, down, or not there, whatever happens.

    Raises: AitbcError where it does not come up.
    """
    before = _states().get(name_of(name))
    try:
        if before != "up":
            done = meshing.up(name, Request(), tell, owner_pid=os.getpid())
            if done.exit is not Exit.OK:
                raise AitbcError(done.error, hint=done.hint, exit_status=done.exit)
        yield Inventory.load(name)
    finally:
        if before != "up":
            heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                _clear_up(name, tell, end=lab.take_down if before else lab.destroy)
            finally:
                signal.signal(signal.SIGINT, heard)


def _clear_up(name: str, tell: Tell, *, end: Callable[[str], object]) -> None:
    """Take a lab down that is there; what fails in it is told, and hides no error before it."""
    own = name_of(name)
    for each in (partial(meshing.down_by_name, name, tell, wipe=True), partial(end, own)):
        try:
            if own in _states():
                each()
        except (AitbcError, OSError) as failure:
            tell({"event": "not cleared up", "environment": name, "error": str(failure)})


def _states() -> dict[str, str]:
    return {each.lab.name: each.state for each in lab.list_labs()}


def _send(results: BinaryIO, line: bytes) -> None:
    results.write(line)
    results.flush()


if __name__ == "__main__":
    # Who started the run may have ignored Ctrl-C, as a shell does behind `&`; that is inherited.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whoever prints is no result
        try:
            main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.stdin.buffer, out)
        except AitbcError as failure:
            sys.exit(f"error: {failure.message}\nhint: {failure.hint}")
