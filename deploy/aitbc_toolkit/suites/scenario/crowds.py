"""What may a scenario file say of who comes, how often, and for how long?

Whether its keys agree with each other is judged in `load_files`.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from aitbc_toolkit.entries import Entry
from aitbc_toolkit.suites.scenario.words import Arrivals, Duration, Name, Rate

Bot = Literal[
    "user",
    "staker",
    "trader",
    "observer",
    "comparer",
    "poller",
    "impatient",
    "overspender",
    "hurried",
    "reconnector",
]
"""Who may wait for every answer."""
Role = Literal[
    Bot,
    "spammer",
    "double-spender",
    "nonce-gapper",
    "malformed",
    "flooder",
    "replayer",
]
"""Who takes part in a load scenario."""
Mix = dict[Literal["transfer", "read"], Annotated[int, Meta(ge=1)]]


class Load(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Say who hands in what while the scenario lasts; the shares of a mix are relative."""

    role: Literal["user"]
    arrivals: Arrivals
    mix: dict[Literal["transfer"], Annotated[int, Meta(ge=1)]]
    lasts: Duration | None = None
    """How long arrivals come, in the files of family load; elsewhere as long as the steps."""
    batch: Annotated[int, Meta(ge=1, le=100)] = 1
    """How many come at once, in the files of family load."""


class Crowd(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Say who comes in one phase of a load scenario: so often, or so many bots that wait."""

    role: Role
    arrivals: Rate | None = None
    bots: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    pause: Duration = "1s"
    """How long a bot rests behind each act."""
    mix: Mix = field(default_factory=dict)
    """What users that are bots do, in relative shares."""
    batch: Annotated[int, Meta(ge=1, le=100)] = 1


class Spawn(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Say how many bots come in all, and in which weights they are of which role."""

    bots: Annotated[int, Meta(ge=1, le=10_000)]
    weights: Annotated[dict[Bot, Annotated[int, Meta(ge=1)]], Meta(min_length=1)]
    pause: Duration = "1s"
    mix: Mix = field(default_factory=dict)


class Phase(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Say what comes for a while; phases follow one upon the other by the clock."""

    phase: Name
    lasts: Duration
    ramp: Duration = "0s"
    """So long the users' rate takes to change from that of the phase before."""
    load: Annotated[list[Crowd], Meta(min_length=1)]
    spawn: Spawn | None = None
