"""When is a node healthy after a switch? When it votes, not when its port is open.

A validator passes when it is at the tip and its own precommits stand in the commits of consecutive
heights; a full node when it is at the tip and moves with it. A service that keeps crashing fails
within seconds, with the last lines that it wrote. Do not undo anything here.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aitbc_node.rpc import schema
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release.ailing import Crashes, lines
from aitbc_toolkit.release.progress import Awaited, Tell
from aitbc_toolkit.release.reading import Mesh, tip

HEIGHTS = 3

_GATE_S = 20.0
_GATE_INTERVALS = 20
# Two rounds that fail take up to 8 s with the default time-outs.
_STALL_S = 10.0
_STALL_INTERVALS = 4
_POLL_S = 0.1
# How long a node may say nothing before its service is looked at, and how often then.
_SILENCE_S = 1.5
# Each further node that is started at the same time, for some share a machine; two looks, which a
# service that keeps crashing takes, come well before the deadline for however many.
_SILENCE_EACH_S = 0.5
_SILENCE_S_MAX = 4.0
# A restart takes longer than this; so may a look at a slow node, which is the same process still.
_DOUBT_S = 0.7
# A disk may heal meanwhile; what keeps a node from voting for longer needs an operator.
_TROUBLE_S = 3.0
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
    votes_needed: bool
    answered_at: float
    first_answer_s: float = 0.0
    troubled_at: float = 0.0
    is_doubted: bool = False
    after: int = -1
    """The height that the node had reached or signed before it came back; older votes are no
    proof that it votes now."""
    key: str = ""
    voted: set[int] = field(default_factory=set)
    last: schema.Status | None = None

    def see(self, status: schema.Status | None, *, now: float, began: float) -> None:
        """Take one answer, or its absence."""
        self.last = status
        if status is None:
            return
        self.is_doubted |= self.after >= 0 and now - self.answered_at > _DOUBT_S
        self.answered_at = now
        self.troubled_at = (self.troubled_at or now) if status.trouble else 0.0
        if self.after < 0:
            self.first_answer_s = self.first_answer_s or now - began
            signed = status.sign_state.height if status.sign_state else 0
            self.after = max(status.height, signed)
            self.key = status.validator or ""

    def forget(self) -> None:
        """Begin anew: votes of a life that has ended prove nothing."""
        self.after, self.voted, self.last = -1, set(), None

    def count(self, commits: Mapping[int, frozenset[str]]) -> None:
        """Take the commits that blocks carry, by height."""
        if self.after >= 0:
            self.voted |= {
                height for height in commits if height > self.after and self.key in commits[height]
            }

    def passes(self, height: int) -> bool:
        """Tell whether the node has shown enough, when the mesh is at `height`."""
        if self.last is None or self.last.syncing or self.last.height < height - _LAG_MAX:
            return False
        if self.is_doubted:
            return False
        if self.votes_needed:
            return consecutive(self.voted) >= HEIGHTS
        return self.last.height >= self.after + HEIGHTS

    def doing(self, height: int) -> str:
        """Say how far it is while it is waited for."""
        if self.last is None:
            return "no answer yet"
        if self.last.height < height - _LAG_MAX or self.last.syncing:
            return f"at height {self.last.height:,} of {height:,}"
        moved = consecutive(self.voted) if self.votes_needed else self.last.height - self.after
        verb = "voted in" if self.votes_needed else "followed"
        return f"{verb} {min(moved, HEIGHTS)} of {HEIGHTS} heights"

    def reason(self, height: int, waited_s: float) -> str:
        """Say why it has not passed, with the numbers on both sides."""
        if self.last is None:
            return f"did not answer on its RPC port within {waited_s:.0f} s"
        if self.last.trouble:
            return f"takes no part: {self.last.trouble}"
        if self.last.height < height - _LAG_MAX or self.last.syncing:
            return f"is at height {self.last.height:,}, the tip is {height:,}"
        if self.votes_needed:
            count = consecutive(self.voted)
            last = f"height {max(self.voted):,}" if self.voted else "before its restart"
            return f"voted in {count} of {HEIGHTS} consecutive heights, last {last}"
        return f"did not move on from height {self.last.height:,}"


class _Commits:
    """Collect whose precommits the mesh's own blocks carry, from the gate's first look on."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._read = -1

    def new(
        self, statuses: Mapping[str, schema.Status | None], *, judged: Collection[str]
    ) -> dict[int, frozenset[str]]:
        """Read the blocks since the last look, from a node that is not judged where there is one.

        The block of a height carries the commit of the height before it.
        """
        known = {name: status.height for name, status in statuses.items() if status}
        if not known:
            return {}
        name = max(known, key=lambda each: (known[each], each not in judged))
        if self._read < 0:
            self._read = max(0, known[name] - 1)
        blocks = self._mesh.page(name, self._read + 1)
        if not blocks:
            return {}
        self._read = blocks[-1].height
        return {block.height - 1: frozenset(block.last_commit.signers) for block in blocks}


@dataclass(slots=True)
class _Finality:
    """Watch that the mesh as a whole goes on: green hosts are no comfort when no block comes."""

    height: int = -1
    since: float = 0.0

    def idle_s(self, height: int, *, now: float) -> float:
        """Take the newest height; return for how long there has been none above it."""
        if height > self.height:
            self.height, self.since = height, now
        return now - self.since


@dataclass(frozen=True, slots=True)
class Limits:
    """Say how long a gate waits: for its nodes, and, on a mesh that was live, for any block."""

    deadline_s: float
    stall_s: float = math.inf


def patience(environment: Environment, *, live: bool) -> Limits:
    """Give a node as long as a start and a bad run of rounds may take, a live mesh less."""
    interval_s = environment.chain.block_interval_ms / 1000
    stall_s = _STALL_S + _STALL_INTERVALS * interval_s if live else math.inf
    return Limits(_GATE_S + _GATE_INTERVALS * interval_s, stall_s)


def pass_gate(
    mesh: Mesh,
    names: Collection[str],
    *,
    watch: Watch,
    limits: Limits,
    processes: Mapping[str, int] | None = None,
    answer_is_enough: bool = False,
    tell: Tell = lambda _record: None,
) -> Verdict:
    """Wait until every named node has shown that it takes part, or until one cannot.

    Where a mesh has no quorum anyway, an answer may be enough. `processes` are those that were
    started for this.
    """
    lives = dict(processes or {})
    began = looked_at = time.monotonic()
    silence_s = min(_SILENCE_S + _SILENCE_EACH_S * (len(names) - 1), _SILENCE_S_MAX)
    nodes = [
        _Node(name, mesh.environment.instance(name).role == "validator", answered_at=began)
        for name in names
    ]
    commits, crashes, finality = _Commits(mesh), Crashes(), _Finality()
    awaited = Awaited(tell)
    while True:
        statuses = mesh.statuses()
        now, height = time.monotonic(), tip(statuses)
        new = commits.new(statuses, judged=names)
        for node in nodes:
            node.see(statuses[node.name], now=now, began=began)
            node.count(new)
        _end_lives(nodes, lives, watch)
        waiting = [
            node for node in nodes if not (node.last if answer_is_enough else node.passes(height))
        ]
        words = {node.name: node.doing(height) for node in nodes}
        awaited.see(words, now=now, ends_in_s=began + limits.deadline_s - now)
        failed: dict[str, str] = {}
        silent = [node.name for node in waiting if now - node.answered_at > silence_s]
        if silent and now - looked_at > silence_s:
            looked_at = now
            failed = crashes.found(watch(silent))
        lost = [each for each in waiting if 0 < each.troubled_at < now - _TROUBLE_S]
        if lost and not failed:
            failed = _late(lost, height=height, watch=watch, waited_s=now - began)
        idle_s = finality.idle_s(height, now=now)
        if waiting and not failed and (now - began > limits.deadline_s or idle_s > limits.stall_s):
            waited_s = min(limits.deadline_s, now - began)
            failed = _late(waiting, height=height, watch=watch, waited_s=waited_s)
            if idle_s > limits.stall_s:
                stall = f"the mesh made no block for {idle_s:.0f} s; "
                failed = {name: stall + reason for name, reason in failed.items()}
        if failed or not waiting:
            restart_ms = {node.name: int(node.first_answer_s * 1000) for node in nodes}
            return Verdict(failed, restart_ms, took_s=now - began)
        time.sleep(_POLL_S)


def _end_lives(nodes: Sequence[_Node], lives: dict[str, int], watch: Watch) -> None:
    """Forget what nodes have shown that are another process by now; silence may be slowness."""
    doubted = {node.name: node for node in nodes if node.is_doubted}
    for name, service in (watch(list(doubted)) if doubted else {}).items():
        if service["pid"] != lives.get(name):
            doubted[name].forget()
        doubted[name].is_doubted = False
        lives[name] = service["pid"]


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
    waiting: Sequence[_Node], *, height: int, watch: Watch, waited_s: float
) -> dict[str, str]:
    services = watch([node.name for node in waiting])
    return {
        node.name: node.reason(height, waited_s) + lines(services.get(node.name, {}))
        for node in waiting
    }
