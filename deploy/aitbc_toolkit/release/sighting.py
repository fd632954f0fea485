"""What is told of a mesh while it changes: who goes where, who votes, how do blocks come?

Records for whoever draws a run, told beside it over connections of its own. Nothing is decided by
them: a gate has eyes of its own.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise

from aitbc_node.rpc import schema
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.change import Change
from aitbc_toolkit.release.gates import voting
from aitbc_toolkit.release.history import NOTHING
from aitbc_toolkit.release.lease import Lease
from aitbc_toolkit.release.progress import Tell
from aitbc_toolkit.release.reading import Mesh, tip
from aitbc_toolkit.release.rolling import Run

_LOOK_S = 1.0
# One look that waits for nodes that are down, and the end of it.
_END_S = 5.0


@contextmanager
def watched(run: Run, change: Change) -> Iterator[None]:
    """Tell where every node goes, then what the mesh says of itself until the run is over."""
    tell_course(run, change)
    done = threading.Event()
    args = (run.environment, run.tell, done)
    # A daemon, because a node that hangs must not keep the command from ending.
    thread = threading.Thread(target=_watch, args=args, name="sighting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(_END_S)


def tell_course(run: Run, change: Change) -> None:
    """Tell every node with its host, its power, and from which commit to which it goes."""
    course = change.course
    goals = course.before if change.returning else course.targets
    now = course.targets if change.returning else course.before
    nodes = {
        each.name: {
            "host": each.host,
            "role": each.role,
            "power": each.power,
            "from": now.get(each.name, NOTHING)[0],
            "to": goals.get(each.name, now.get(each.name, NOTHING))[0],
        }
        for each in run.environment.instances
    }
    run.tell(
        {
            "type": "course",
            "action": change.action,
            "environment": run.environment.name,
            "run": run.id,
            "commit": change.commit,
            "waves": [list(wave) for wave in course.order.waves],
            "arrived": list(course.arrived),
            "nodes": nodes,
        }
    )


def tell_lease(tell: Tell, lease: Lease) -> None:
    """Tell when the right to change things ends, unless it is renewed."""
    left_s = round(lease.sure_until_s - time.monotonic(), 1)
    holder = lease.claim.holder
    tell({"type": "lease", "token": lease.token, "holder": holder, "ends_in_s": left_s})


def _watch(environment: Environment, tell: Tell, done: threading.Event) -> None:
    with Mesh(environment) as mesh:
        sight = Sight(mesh, tell)
        while not done.wait(_LOOK_S):
            statuses = mesh.statuses()
            # After the end nothing is told: the last record of a stream is its result.
            if not done.is_set():
                sight.see(statuses)


class Sight:
    """Turn what nodes say into a record whenever there is news in it."""

    def __init__(self, mesh: Mesh, tell: Tell) -> None:
        self._mesh = mesh
        self._tell = tell
        self._height = 0
        self._longest_gap_ms = 0
        self._news: object = None

    def see(self, statuses: Mapping[str, schema.Status | None]) -> None:
        """Take one look at all nodes."""
        known = {name: status for name, status in statuses.items() if status}
        votes = voting(self._mesh.environment, statuses)
        silent = [name for name in statuses if name not in known]
        news = (tip(statuses), votes, silent)
        if news == self._news:
            return
        self._news = news
        newest = max(known, key=lambda name: known[name].height, default="")
        if newest:
            self._measure(newest, known[newest].height)
        self._tell(
            {
                "type": "mesh",
                "height": tip(statuses),
                "age_ms": known[newest].block_age_ms if newest else 0,
                "longest_gap_ms": self._longest_gap_ms,
                "votes": votes,
                "silent": silent,
            }
        )

    def _measure(self, name: str, height: int) -> None:
        """Take the gaps between block times since the last look; the first look only begins."""
        if self._height and height > self._height:
            times = [block.time_ms for block in self._mesh.page(name, self._height)]
            gaps = [after - before for before, after in pairwise(times)]
            self._longest_gap_ms = max([self._longest_gap_ms, *gaps])
        self._height = max(self._height, height)
