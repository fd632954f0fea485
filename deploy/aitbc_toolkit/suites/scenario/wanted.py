"""What may a scenario file wait for? Every condition with its bounds and its default.

How a mesh is looked at for it is in `conditions`.
"""

from typing import Annotated

from msgspec import Meta

from aitbc_toolkit.entries import Entry
from aitbc_toolkit.suites.scenario.words import Duration, Name, Percent, Targets


class HeightsAdvance(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Require so many new blocks on every node that is named."""

    by: Annotated[int, Meta(ge=1)]
    within: Duration = "60s"
    on: Targets = "all"


class AllAtTip(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Require that every node is at most so many blocks behind the highest."""

    lag: Annotated[int, Meta(ge=0)] = 1
    within: Duration = "60s"
    on: Targets = "all"


class Punished(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Require that the ledger finds exactly these guilty of signing twice."""

    on: Targets
    within: Duration = "60s"


class RateBack(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Require, in the files of family load, that such a share of what is due becomes final."""

    share: Percent = "90%"
    over: Duration = "5s"
    within: Duration = "60s"


class Overlay(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Require that links between all nodes are neither few nor make long ways."""

    degree_min: Annotated[int, Meta(ge=1)]
    diameter_max: Annotated[int, Meta(ge=1)]
    within: Duration = "60s"


class Voting(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Require that exactly these nodes have a vote on the next block."""

    on: Targets
    within: Duration = "60s"


class AllVote(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Require that each of these has voted on a block since the last fault began or ended.

    Who was started anew listens first, and is one voter less until it has done so. Who has no vote
    is not waited for.
    """

    on: Targets = "role:validator"
    within: Duration = "60s"


class Condition(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Say what must come to be; `record` keeps the seconds that it took since the last fault."""

    heights_advance: HeightsAdvance | None = None
    all_at_tip: AllAtTip | None = None
    punished: Punished | None = None
    rate_back: RateBack | None = None
    overlay: Overlay | None = None
    voting: Voting | None = None
    all_vote: AllVote | None = None
    record: Name = ""

    @property
    def on(self) -> Targets:
        """Tell whom it is about; nobody by name, where it is about the mesh."""
        named = self.heights_advance, self.all_at_tip, self.punished, self.voting, self.all_vote
        return next((each.on for each in named if each is not None), [])
