"""Which faults come one upon the other in a swarm, and what must hold between them?

Kind, victim, lease and pause are drawn from the seed. Whenever nothing is broken the chain must go
on: what a swarm has worn down shows there. Leases are short: on a busy machine one may be over
before its hosts have proved it, and the next is drawn, as it is where a host refuses what cannot
come upon what lasts (two rates on one link); a swarm of which half came to nothing shows nothing.
Do not break anything here: `engine.py` does.
"""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.faults import TooLate
from aitbc_toolkit.suites.scenario.quantities import seconds
from aitbc_toolkit.suites.scenario.schema import Between, FaultStep, SwarmStep
from aitbc_toolkit.suites.scenario.wanted import AllAtTip, Condition, HeightsAdvance
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

WITHIN = "60s"


class Act(NamedTuple):
    """Begin a fault after a pause."""

    rest_s: float
    fault: FaultStep


class Player(Protocol):
    """Be an engine that plays."""

    def now(self) -> float:
        """Return the seconds of the mesh's clock."""

    def let_pass(self, length_s: float) -> None:
        """Let time pass."""

    def begin(self, step: FaultStep) -> None:
        """Break something. Raises: TooLate, when it is healed; AitbcError (refused)."""

    def mark(self) -> None:
        """Begin to count blocks and seconds anew."""

    def wait_end(self, name: str) -> None:
        """Wait for the end of a fault."""

    def lasting(self) -> Sequence[tuple[str, float]]:
        """Name the faults that last, with the moments when they end."""

    def wait_for(self, condition: Condition) -> None:
        """Wait until something has come to be."""


def acts(step: SwarmStep, dice: random.Random) -> Iterator[Act]:
    """Draw one fault after the other, without an end."""
    number = 0
    while True:
        number += 1
        kind = dice.choice(step.swarm)
        lease_s = dice.uniform(*map(seconds, step.lease))
        victim = "unhit(1)"
        is_link = kind.startswith("net.")
        fault = FaultStep(
            id=f"swarm-{number}",
            fault=kind,
            lease=f"{lease_s:.1f}s",
            on=None if is_link else victim,
            between=Between(isolate=victim) if is_link else None,
        )
        yield Act(dice.uniform(*map(seconds, step.rest)), fault)


def play(step: SwarmStep, player: Player, dice: random.Random) -> str:
    """Break things for as long as the step says, so many at a time at the most; tell how many.

    Raises: ScenarioError (invalid) where nothing was, or half of it was over too soon.
    """
    until, count, late, refused = player.now() + seconds(step.lasts), 0, 0, 0
    for act in acts(step, dice):
        player.let_pass(act.rest_s)
        _end_due(player)
        if player.now() >= until:
            break
        if len(player.lasting()) < step.at_once:
            count += 1
            try:
                player.begin(act.fault)
            except TooLate:
                late += 1
                player.mark()
            except AitbcError as failure:
                # Where nothing lasts, it is the mesh that cannot be given this kind at all.
                if failure.exit_status != Exit.REFUSED or not player.lasting():
                    raise
                count -= 1
                refused += 1
    if not count:
        raise ScenarioError(Verdict.INVALID, f"no fault was begun in {step.lasts}")
    told = f"{count} faults" + (f", {late} over before they were proved" if late else "")
    told += f", {refused} refused upon others" if refused else ""
    if 2 * late >= count:
        raise ScenarioError(Verdict.INVALID, told)
    for name, _ in player.lasting():
        player.wait_end(name)
    _require_progress(player)
    return told


def _end_due(player: Player) -> None:
    """See that what is over has left nothing; when all is, the chain goes on."""
    due = [name for name, ends_at in player.lasting() if ends_at <= player.now()]
    for name in due:
        player.wait_end(name)
    if due and not player.lasting():
        _require_progress(player)


def _require_progress(player: Player) -> None:
    player.wait_for(Condition(heights_advance=HeightsAdvance(by=1, within=WITHIN)))
    player.wait_for(Condition(all_at_tip=AllAtTip(lag=1, within=WITHIN)))
