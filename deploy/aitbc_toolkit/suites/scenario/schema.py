"""What may a scenario file say? Every key with its type, its bounds and its default.

Whether the keys of one file agree with each other, and on which line each stands, is judged in
`loading`; what a target or a length of time means is in `targets` and `quantities`.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from aitbc_toolkit.entries import Entry
from aitbc_toolkit.suites.scenario.crowds import Load, Phase
from aitbc_toolkit.suites.scenario.wanted import AllVote, Condition
from aitbc_toolkit.suites.scenario.words import (
    Behaviour,
    Duration,
    Megabytes,
    Name,
    Percent,
    Targets,
    Value,
)


class Requires(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Say what a mesh must offer, or the scenario does not start on it."""

    validators_min: Annotated[int, Meta(ge=1)] = 1
    full_min: Annotated[int, Meta(ge=0)] = 0
    faults: list[str] = field(default_factory=list)  # for readers: all of its steps are required


class Blast(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Say how much of a mesh one scenario may break at a time."""

    power: Percent = "100%"
    nodes: Annotated[int, Meta(ge=0)] | None = None


class Budget(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Say how long a scenario may take, and how much it may break for how long."""

    wall: Duration = "5m"
    lease_max: Duration = "10m"
    blast: Blast = Blast()


class Validators(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Say who votes in a simulated mesh; without powers, all alike."""

    count: Annotated[int, Meta(ge=1, le=64)] = 4
    power: list[Annotated[int, Meta(ge=1)]] = field(default_factory=list)
    liars: dict[Name, Behaviour] = field(default_factory=dict)
    """Who breaks the rules from the first block on, and how."""

    @property
    def names(self) -> list[str]:
        """Name those who vote."""
        return [f"v{place + 1}" for place in range(len(self.power) or self.count)]


class Parameters(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Say how quick a simulated mesh is."""

    block_interval: Duration = "500ms"
    round_timeout: Duration = "1s"
    epoch_blocks: Annotated[int, Meta(ge=2, le=1000)] = 20
    absence_blocks: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Who misses nine tenths of so many blocks is jailed; 0 is nobody."""
    block_gas: Annotated[int, Meta(ge=2_000_000, le=10**12)] = 50_000_000
    reward_pool: Annotated[int, Meta(ge=0, le=10**12)] = 0


class Network(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Describe the mesh that the simulator makes; a live one is as it is."""

    validators: Validators = Validators()
    spares: Annotated[int, Meta(ge=0, le=20)] = 0
    """How many nodes, `s1` and so on, have a key that nobody has registered yet."""
    full: Annotated[int, Meta(ge=0, le=1000)] = 0
    params: Parameters = Parameters()

    @property
    def names(self) -> list[str]:
        """Name all nodes of the simulated mesh."""
        twins = [f"{name}-twin" for name, kind in self.validators.liars.items() if kind == "twin"]
        full = [f"f{place + 1}" for place in range(self.full)]
        return [*self.validators.names, *full, *(f"s{n + 1}" for n in range(self.spares)), *twins]


class Groups(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Cut the nodes into groups, by shares of the voting power or of their number."""

    by: Literal["power", "count"]
    parts: Annotated[list[Percent], Meta(min_length=2)]
    pick: Literal["seeded", "in_order"] = "seeded"


class Between(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Say whom a cut divides: one of these."""

    groups: Groups | None = None
    isolate: Targets | None = None
    """These, together, from all the others."""
    sides: Annotated[list[Targets], Meta(min_length=2)] | None = None
    """Every node of one of these from every node of the others; who is in none keeps all ways."""
    ways: list[Annotated[str, Meta(pattern=r"^[^ >]+>[^ >]+\Z")]] | None = None
    """Exactly these, each from one node to another: `v1>v2`."""
    shape: Literal["majorities_ring", "leader_isolated", "bridge"] | None = None


class Prove(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Say how a cut is proved, for who reads the file: every one is, and so."""

    counter_gt: Literal[0] = 0
    probe: Literal["cross_peers_fail"] = "cross_peers_fail"
    within: Literal["5s"] = "5s"


class FaultStep(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Begin a fault, whose end the target enforces."""

    id: Name = ""
    fault: str
    on: Targets | None = None
    between: Between | None = None
    direction: Literal["both", "a_to_b", "b_to_a", "initiate_only"] = "both"
    lease: Duration
    parameters: dict[str, Value] = field(default_factory=dict)
    prove: Prove | None = None

    @property
    def differences(self) -> dict[str, Value]:
        """Tell how it differs from the plain fault of its kind, whomever it hits."""
        if self.direction == "initiate_only":  # the others are other edges
            return {**self.parameters, "direction": self.direction}
        return dict(self.parameters)


class ExpectStep(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Require, while a fault lasts, what follows from who can vote together."""

    expect: Literal["auto"]
    during: Name


class WaitEndStep(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Wait until a fault has ended, and see that nothing of it is left."""

    wait_end: Name


class ActStep(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Let somebody do something that nodes and ledger are there for, and wait until it is done."""

    act: str
    on: Targets = "all"
    """At which nodes, or about which."""
    sides: list[Targets] = field(default_factory=list)
    """On which two sides at once, for acts that contradict themselves."""
    parameters: dict[str, Annotated[int, Meta(ge=1)]] = field(default_factory=dict)


class EventuallyStep(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Require that each of these comes to be, in this order."""

    eventually: Annotated[list[Condition], Meta(min_length=1)]


class PauseStep(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Let time pass, so that what comes next begins as late as it did once."""

    pause: Duration


class SwarmStep(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Break one validator after the other, drawn from the seed, also several at a time."""

    swarm: Annotated[list[str], Meta(min_length=1)]
    """Kinds of faults."""
    lasts: Duration
    at_once: Annotated[int, Meta(ge=1)] = 2
    lease: tuple[Duration, Duration]
    rest: tuple[Duration, Duration]


Step = FaultStep | ActStep | ExpectStep | WaitEndStep | EventuallyStep | PauseStep | SwarmStep
STEPS: dict[str, type[Step]] = {
    "fault": FaultStep,
    "act": ActStep,
    "expect": ExpectStep,
    "wait_end": WaitEndStep,
    "eventually": EventuallyStep,
    "pause": PauseStep,
    "swarm": SwarmStep,
}
"""Which key makes a step which kind."""


class Objective(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Bound what was recorded: a value itself, or how it grows over a dimension of the matrix.

    A growth is measured from `floor` on where the least is less: twice nothing is nothing.
    """

    max: Duration | int | float | None = None
    min: Duration | int | float | None = None
    of: Name = ""
    over: Name = ""
    floor: Duration | int | float = 0


class Pcap(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Say when packets are taken along, and how much of them from all hosts together."""

    on: Literal["failure", "always"] = "failure"
    limit: Megabytes = "5MB"


class Packets(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Have hosts listen while a case is played."""

    pcap: Pcap


class Written(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Hold a scenario as its file says it, for one choice of the matrix; steps apart."""

    scenario: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*/[a-z0-9][a-z0-9-]*\Z")]
    about: Annotated[str, Meta(min_length=10, max_length=200)]
    proves: list[str] = field(default_factory=list)
    tags: list[Name] = field(default_factory=list)
    """What every second of a load run is marked with, in the files of family load."""
    backends: Annotated[list[Literal["sim", "dev", "lab", "hosts"]], Meta(min_length=1)]
    requires: Requires = Requires()
    budget: Budget = Budget()
    network: Network = Network()
    seed: Literal["auto"] = "auto"
    """It is `--seed`, or drawn and told."""
    matrix: dict[Name, list[Value]] = field(default_factory=dict)
    nightly: dict[Name, list[Value]] = field(default_factory=dict)
    """More values of the matrix, for the tier that may take hours."""
    load: list[Load] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    """In place of `load`, in the files of family load."""
    steady: list[Condition] = field(default_factory=list)
    always: list[Name] = field(default_factory=list)
    """Names every invariant, for who reads the file, or none: all are always judged."""
    must_report: list[Name] = field(default_factory=list)
    """Invariants that are broken on purpose: the scenario passes only if each is told broken."""
    objectives: dict[Name, Objective] = field(default_factory=dict)
    collect: list[Literal["journals", "metrics", "fault_log"] | Packets] = field(
        default_factory=list
    )
    """What is taken along from live nodes even where it passes; packets say themselves when."""
    spoils: Annotated[int, Meta(ge=0, le=2)] = 0
    """How a live mesh is afterwards: as before, warier for a while (1), or less for good (2)."""

    @property
    def pcap(self) -> Pcap | None:
        """Tell what packets are asked for."""
        return next((each.pcap for each in self.collect if isinstance(each, Packets)), None)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one run of a scenario: its file with one choice of the matrix put in."""

    written: Written
    steps: tuple[Step, ...]
    choice: dict[str, Value]
    is_nightly: bool

    @property
    def broken_by(self) -> list[tuple[str, dict[str, Value]]]:
        """List the kinds of faults that it begins, each with how it differs from a plain one."""
        found: list[tuple[str, dict[str, Value]]] = []
        for step in self.steps:
            match step:
                case FaultStep():
                    found.append((step.fault, step.differences))
                case SwarmStep(swarm=kinds):
                    found += [(kind, {}) for kind in kinds]
        return found

    @property
    def steady(self) -> list[Condition]:
        """List what must hold before anything is broken: also that nobody is about to come back."""
        return [*self.written.steady, *([Condition(all_vote=AllVote())] if self.broken_by else [])]

    @property
    def acts(self) -> tuple[ActStep, ...]:
        """List what somebody does in it."""
        return tuple(step for step in self.steps if isinstance(step, ActStep))

    @property
    def name(self) -> str:
        """Name the run: `partition/quorum-loss[30s]`."""
        chosen = ",".join(str(value) for value in self.choice.values())
        return f"{self.written.scenario}[{chosen}]" if chosen else self.written.scenario
