"""Which faults are there, what does each need, and what may be said about it?

A fault is a value: its kind, whom it hits, for how long. What is done for it on a host is not here
(`orders`), nor whether a host offers it (`planning`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from aitbc_toolkit.declared import nearest
from aitbc_toolkit.errors import UsageError

LEASE_MIN_S = 1
LEASE_MAX_S = 3600

_KINDS = "aitbc chaos kinds"

Value = int | float | str


@dataclass(frozen=True, slots=True)
class Range:
    """Say which numbers a parameter may be, and which it is unless told."""

    default: int | float
    low: int | float
    high: int | float
    unit: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Say which words a parameter may be; the first unless told."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """Describe one kind of fault; `needs` names what its hosts have to offer.

    In a lab a relay of ours stands in where they do not, if they offer what that needs.
    """

    about: str
    hits: Literal["links", "nodes"]
    needs: tuple[str, ...]
    parameters: Mapping[str, Range | Choice] = field(default_factory=dict)
    relay_needs: tuple[str, ...] = ()


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Say what is broken, for whom, and until when at most.

    Shape: `targets` and the ends of `edges` are names of nodes; from the first of an edge nothing
    arrives at the second. A fault has the one or the other, as its kind wants.
    """

    kind: str
    lease_s: float
    targets: tuple[str, ...] = ()
    edges: frozenset[tuple[str, str]] = frozenset()
    parameters: Mapping[str, Value] = msgspec.field(default_factory=dict)

    def parameter(self, name: str) -> Value:
        """Give what was said about it, or what holds unless told."""
        known = KINDS[self.kind].parameters[name]
        default = known.default if isinstance(known, Range) else known.words[0]
        return self.parameters.get(name, default)

    @property
    def about(self) -> str:
        """Say it in a line."""
        whom = " ".join(self.targets) if self.targets else f"{len(self.edges)} edges"
        more = [f"{name}={value}" for name, value in sorted(self.parameters.items())]
        return " ".join([self.kind, whom, *more, f"for {self.lease_s:g} s"])


_DIRECTIONS = Choice(("both", "a_to_b", "b_to_a", "initiate_only"))
_SIGNALS, _SYSTEMD = ("signals",), ("signals", "systemd")

_LIES = {
    "byz.equivocate": "says something else to every other peer",
    "byz.withhold": "sends no proposal and no vote",
    "byz.amnesia": "forgets what it was locked on",
    "byz.bad-root": "proposes states that are none",
    "byz.replay": "says again what was said",
    "byz.garbage": "sends noise between its messages",
    "byz.selective": "speaks to half of its peers",
    "byz.slander": "proposes evidence that nobody signed",
}

KINDS: Mapping[str, Kind] = {
    "net.cut": Kind("no packet passes an edge", "links", ("nft",), {"direction": _DIRECTIONS}),
    "net.loss": Kind(
        "a share of packets is dropped",
        "links",
        ("nft-random",),
        {"percent": Range(20, 0.1, 100, "%")},
    ),
    "net.dup": Kind(
        "a share of packets arrives twice",
        "links",
        ("nft-dup",),
        {"percent": Range(20, 0.1, 100, "%")},
    ),
    "net.rate": Kind(
        "an edge carries no more than this",
        "links",
        ("nft-mark", "tc-rate"),
        {"kbit": Range(256, 8, 10_000_000, "kbit/s")},
    ),
    "net.reset": Kind("connections are reset, and refused", "links", ("nft-reset",)),
    "net.delay": Kind(
        "packets arrive later",
        "links",
        ("nft-mark", "tc-rate", "tc-delay"),
        {"ms": Range(100, 1, 60_000, "ms")},
        relay_needs=("nft-redirect", "nft-reset", "systemd"),
    ),
    "proc.kill": Kind("killed, and kept down", "nodes", _SIGNALS),
    "proc.restart": Kind("killed; its manager brings it back", "nodes", _SIGNALS),
    "proc.stop": Kind("stopped where it stands (SIGSTOP)", "nodes", _SIGNALS),
    "proc.freeze": Kind("frozen with all its processes", "nodes", ("systemd", "freezer")),
    "cpu.quota": Kind(
        "runs for a share of each tenth of a second",
        "nodes",
        _SYSTEMD,
        {"percent": Range(20, 1, 90, "%")},
    ),
    "mem.limit": Kind(
        "may grow only so much",
        "nodes",
        ("systemd", "prlimit"),
        {"mib": Range(64, 0, 1_000_000, "MiB more than now")},
    ),
    "disk.full": Kind("not a page is free where its data are", "nodes", _SYSTEMD),
    "disk.readonly": Kind("restarted with data that it cannot write", "nodes", _SYSTEMD),
    "clock.jump": Kind(
        "restarted with a clock that is off",
        "nodes",
        ("systemd", "faketime"),
        {"seconds": Range(30, -86_400, 86_400, "s")},
    ),
    "clock.drift": Kind(
        "restarted with a clock that runs faster or slower",
        "nodes",
        ("systemd", "faketime"),
        {"percent": Range(10, -90, 900, "%")},
    ),
    "clock.strobe": Kind(
        "restarted with a clock that jumps there and back",
        "nodes",
        ("systemd", "faketime"),
        {"seconds": Range(30, 1, 86_400, "s"), "period": Range(2, 1, 60, "s")},
    ),
    "wal.truncate": Kind(
        "killed, its log loses its end, kept down",
        "nodes",
        _SYSTEMD,
        {"bytes": Range(100, 1, 1_000_000, "bytes")},
    ),
    "host.reboot": Kind("its host is started anew", "nodes", ("systemd",)),
    **{
        name: Kind(f"restarted as a liar: {about}", "nodes", _SYSTEMD)
        for name, about in _LIES.items()
    },
}

_ON_THE_HOST = {"disk.full", "proc.stop", "proc.freeze", "host.reboot"}
"""These fill the disk of a host, let none of its watchdogs bite, or end all that runs there."""


def grips(kind: str) -> bool:
    """Tell whether a fault has a node's process in its hands, which no second one may have."""
    return KINDS[kind].hits == "nodes" and kind != "disk.full"


def is_wide(kind: str) -> bool:
    """Tell whether everything on a host feels a fault, other meshes included."""
    return KINDS[kind].hits == "links" or kind in _ON_THE_HOST


def lies(kind: str) -> str:
    """Name how a fault lets a node break the rules; empty where it does not."""
    family, _, behaviour = kind.partition(".")
    return behaviour if family == "byz" else ""


_LATER = "no host offers a mechanism for it"
_BY_DEPLOY = "that is a verb of the toolkit, not a fault: a scenario runs it as a step"
REFUSED: Mapping[str, str] = {
    "proc.oom": "a limit of memory does not end a node by the kernel's hand; mem.limit denies it",
    "disk.slow": "needs a device of its own below the data, which hosts do not have",
    "wal.lose_unsynced": "a kernel keeps what was written; the simulator loses it",
    "swarm": "a mix is drawn by the scenario engine out of the other kinds",
    "byz.twin": "a second node of one key: no key leaves its host; the simulator has such nodes",
    "chain": _BY_DEPLOY,
    "deploy": _BY_DEPLOY,
    "agent": _LATER,
    "econ": _LATER,
}


def judge(fault: Fault) -> None:
    """Refuse what makes no sense, whatever the mesh is.

    Raises: UsageError with the nearest kind or parameter.
    """
    why = REFUSED.get(fault.kind) or REFUSED.get(fault.kind.partition(".")[0])
    if why:
        raise UsageError(f"{fault.kind} cannot be injected: {why}", hint=_KINDS)
    kind = KINDS.get(fault.kind)
    if kind is None:
        near = nearest(fault.kind, KINDS)
        raise UsageError(
            f"unknown fault {fault.kind!r}" + (f", the nearest is {near}" if near else ""),
            hint=_KINDS,
        )
    if not LEASE_MIN_S <= fault.lease_s <= LEASE_MAX_S:
        raise UsageError(
            f"a lease of {fault.lease_s:g} s: from {LEASE_MIN_S} s to {LEASE_MAX_S} s are allowed",
            hint="aitbc chaos run ... --for 20",
        )
    if kind.hits == "links" and (fault.targets or not fault.edges):
        raise UsageError(f"{fault.kind} hits edges between nodes, and none was named", hint=_KINDS)
    if kind.hits == "nodes" and (fault.edges or not fault.targets):
        raise UsageError(f"{fault.kind} hits nodes, and none was named", hint=_KINDS)
    for name, value in fault.parameters.items():
        judge_parameter(fault.kind, name, value)


def judge_parameter(kind: str, name: str, value: Value) -> None:
    """Refuse what a kind of fault does not know, or not so. Raises: UsageError."""
    known = KINDS[kind].parameters
    if name not in known:
        near = nearest(name, known)
        raise UsageError(
            f"{kind} knows no {name!r}" + (f", the nearest is {near}" if near else ""),
            hint=f"it knows {', '.join(known) or 'no parameter'}",
        )
    match known[name]:
        case Choice(words=words):
            if value not in words:
                raise UsageError(
                    f"{kind} {name}={value}: it is one of {', '.join(words)}", hint=_KINDS
                )
        case Range(low=low, high=high, unit=unit):
            if isinstance(value, str) or not low <= value <= high:
                raise UsageError(
                    f"{kind} {name}={value}: from {low:g} to {high:g} {unit}", hint=_KINDS
                )
