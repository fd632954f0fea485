"""When is a node healthy after a switch? When it votes, not when its port is open.

A validator passes when it is at the tip and its own precommits stand in the commits of consecutive
heights; a full node when it is at the tip and moves with it. A service that keeps crashing fails
at once, with the last lines that it wrote. Do not undo anything here.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aitbc_node.rpc import schema
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.reading import Mesh, tip

HEIGHTS = 3

_POLL_S = 0.1
# How long a node may say nothing before its service is looked at, and how often then.
_SILENCE_S = 1.5
_CRASHES = 2
_LOG_CHARS = 160
_LOG_LINES = 3
_LAG_MAX = 1

Watch = Callable[[Sequence[str]], Mapping[str, Mapping[str, Any]]]
"""Tell the state of services by node, with the newest log lines; reads only."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Hold what a gate saw; `failed` maps each node that did not pass to the reason."""

    failed: Mapping[str, str]
    restart_ms: Mapping[str, int]
    took_s: float

    @property
    def passed(self) -> bool:
        """Tell whether every node passed."""
        return not self.failed


@dataclass(slots=True)
class _Node:
    """Follow one node from its restart on."""

    name: str
    since: int
    votes_needed: bool
    answered_at: float = 0.0
    first_answer_s: float = 0.0
    voted: set[int] = field(default_factory=set)
    first_height: int = -1
    last: schema.Status | None = None

    def see(self, status: schema.Status | None, *, now: float, began: float) -> None:
        """Take one answer, or its absence."""
        self.last = status
        if status is None:
            return
        self.answered_at = now
        self.first_answer_s = self.first_answer_s or now - began
        if self.first_height < 0:
            self.first_height = status.height
        if status.last_voted_height > self.since:
            self.voted.add(status.last_voted_height)

    def passes(self, height: int) -> bool:
        """Tell whether the node has shown enough, when the mesh is at `height`."""
        if self.last is None or self.last.syncing or self.last.height < height - _LAG_MAX:
            return False
        if self.votes_needed:
            return consecutive(self.voted) >= HEIGHTS
        return self.last.height >= self.first_height + HEIGHTS

    def reason(self, height: int, deadline_s: float) -> str:
        """Say why it has not passed, with the numbers on both sides."""
        if self.last is None:
            return f"did not answer on its RPC port within {deadline_s:.0f} s"
        if self.last.height < height - _LAG_MAX or self.last.syncing:
            return f"is at height {self.last.height:,}, the tip is {height:,}"
        if self.votes_needed:
            count = consecutive(self.voted)
            last = self.last.last_voted_height
            return f"voted in {count} of {HEIGHTS} consecutive heights, the last was {last:,}"
        return f"did not move on from height {self.last.height:,}"


def pass_gate(
    mesh: Mesh,
    names: Iterable[str],
    *,
    since: Mapping[str, int],
    watch: Watch,
    deadline_s: float,
) -> Verdict:
    """Wait until every named node has shown that it takes part, or until one cannot.

    `since` is the last height that each had voted in before it was restarted.
    """
    began = time.monotonic()
    environment = mesh.environment
    nodes = {
        name: _Node(
            name,
            since=since.get(name, 0),
            votes_needed=environment.instance(name).role == "validator",
            answered_at=began,
        )
        for name in names
    }
    looked_at = began
    crashes: Counter[str] = Counter()
    while True:
        statuses = mesh.statuses()
        now = time.monotonic()
        height = tip(statuses)
        for node in nodes.values():
            node.see(statuses[node.name], now=now, began=began)
        waiting = [node for node in nodes.values() if not node.passes(height)]
        failed: dict[str, str] = {}
        silent = [node.name for node in waiting if now - node.answered_at > _SILENCE_S]
        if silent and now - looked_at > _SILENCE_S:
            looked_at = now
            failed = crashing(watch(silent), crashes)
        if not failed and now - began > deadline_s:
            failed = _late(waiting, height=height, watch=watch, deadline_s=deadline_s)
        if failed or not waiting:
            restart_ms = {node.name: int(node.first_answer_s * 1000) for node in nodes.values()}
            return Verdict(failed, restart_ms, took_s=now - began)
        time.sleep(_POLL_S)


def consecutive(heights: Iterable[int]) -> int:
    """Count the longest run of consecutive heights."""
    known = set(heights)
    longest = 0
    for start in known:
        if start - 1 not in known:
            end = start
            while end in known:
                end += 1
            longest = max(longest, end - start)
    return longest


def crashing(services: Mapping[str, Mapping[str, Any]], crashes: Counter[str]) -> dict[str, str]:
    """Find services that have given up or keep crashing, and say what they wrote last.

    `crashes` counts over the looks of one gate: one crash may be bad luck, two are a loop. systemd
    counts restarts itself; of supervisord we only see that a program is being held back.
    """
    found = {}
    for name, service in services.items():
        crashes[name] += service["word"] == "backoff"
        count = max(crashes[name], int(service["restarts"]))
        if not service["failed"] and count < _CRASHES:
            continue
        what = "has stopped" if service["failed"] else "keeps crashing"
        found[name] = f"{what} ({service['word']}, status {service['status']})" + _lines(service)
    return found


def quorum(power: int, total: int) -> bool:
    """Tell whether this much power is more than two thirds of the whole."""
    return 3 * power > 2 * total


def voting(environment: Environment, statuses: Mapping[str, schema.Status | None]) -> list[str]:
    """List the validators that answer, are at the tip, and have voted just now."""
    height = tip(statuses)
    found = []
    for each in environment.validators:
        status = statuses.get(each.name)
        if status is None or status.syncing or height == 0:
            continue
        if status.height >= height - _LAG_MAX and status.last_voted_height >= height - HEIGHTS:
            found.append(each.name)
    return found


def _late(
    waiting: Sequence[_Node], *, height: int, watch: Watch, deadline_s: float
) -> dict[str, str]:
    services = watch([node.name for node in waiting])
    return {
        node.name: node.reason(height, deadline_s) + _lines(services.get(node.name, {}))
        for node in waiting
    }


def _lines(service: Mapping[str, Any]) -> str:
    lines = [str(line)[:_LOG_CHARS] for line in service.get("log", [])][-_LOG_LINES:]
    return "".join(f"\n    {line}" for line in lines)
