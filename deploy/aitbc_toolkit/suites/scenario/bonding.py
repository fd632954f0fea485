"""What do people do with coins behind validators, and what may come of it?

No coin is lost and none is won but what the chain pays for blocks; what is taken back comes at its
height, and what was bonded in an epoch earns nothing of it. Do not add who votes: `electing.py`.
"""

import itertools
from collections.abc import Mapping

from aitbc_node.codes import Code
from aitbc_node.ledger.bonding import StakeBond, StakeUnbond
from aitbc_node.ledger.rewards import RewardClaim
from aitbc_node.types import Address, Amount
from aitbc_toolkit.suites.scenario.desk import COIN, Desk, Order, Person
from aitbc_toolkit.suites.scenario.ledger import Holding
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict
from aitbc_toolkit.suites.waiting import Look

FEES = COIN // 2
"""What a few acts may cost at the most."""
MATURES_S = 600.0


def stakers(parameters: Mapping[str, int]) -> dict[str, int]:
    """Name who bonds, with what for."""
    given = parameters["coins"] * COIN + FEES
    return {f"staker {place}": given for place in range(parameters["people"])}


def bond(desk: Desk, order: Order) -> None:
    """Let each staker put coins behind one of these validators, in turn."""
    acts = [
        desk.signed(each, StakeBond(operator, Amount(order.parameters["coins"] * COIN)))
        for each, operator in _behind(desk, order)
    ]
    desk.carried_out(acts)
    _require_books(desk, f"{len(acts)} bonded")


def unbond(desk: Desk, order: Order) -> None:
    """Let each staker take everything back; none of it is at hand before its time."""
    people = _behind(desk, order)
    coins = Amount(order.parameters["coins"] * COIN)
    desk.carried_out([desk.signed(each, StakeUnbond(operator, coins)) for each, operator in people])
    early = [each.name for each, _ in people if not desk.ledger.holding(each.account).returning]
    desk.require("not paid early", f"at hand at once: {early or 'nothing'}", met=not early)
    _require_books(desk, "on its way back")
    desk.votes_as_before()


def matured(desk: Desk, _order: Order) -> None:
    """Require that what is on its way back comes at the height that the ledger has told."""
    seen = {each.name: desk.ledger.holding(each.account) for each in desk.named("staker")}

    def look() -> Look[None]:
        for each in desk.named("staker"):
            now = desk.ledger.holding(each.account)
            _require_due(each, seen[each.name], now, desk)
            seen[each.name] = now
        left = [name for name, holding in seen.items() if holding.returning]
        height = max((holding.height for holding in seen.values()), default=0)
        return Look(not left, None, f"height {height}, {len(left)} wait for their coins")

    desk.clock.until("every coin back", look, within_s=MATURES_S)
    _require_books(desk, "every coin came at its height")


def farmer(_parameters: Mapping[str, int]) -> dict[str, int]:
    """Name who wants to be paid for what was never at stake."""
    return {"farmer 0": 2 * COIN + FEES}


def farm(desk: Desk, order: Order) -> None:
    """Bond within an epoch and claim right behind it: nothing was earned, and nothing is paid.

    An epoch later as much has been earned as the chain pays, which may be nothing.
    """
    pace, person = desk.ledger.pace(), desk.people["farmer 0"]
    operator = desk.ledger.operator(order.whom[0])
    (bonded,) = desk.carried_out([desk.signed(person, StakeBond(operator, Amount(COIN)))])
    ends = pace.epoch_of(bonded.height)
    desk.until_height(ends)
    (claimed,) = desk.final([desk.signed(person, RewardClaim(operator))])
    if claimed.height > ends + pace.epoch_blocks:
        raise ScenarioError(Verdict.INCONCLUSIVE, "the claim came an epoch too late to show it")
    told = f"bonded at {bonded.height}, claimed at {claimed.height}: {claimed.code}"
    desk.require("nothing farmed", told, met=claimed.code == Code.E_STATE)
    desk.until_height(ends + pace.epoch_blocks)
    (later,) = desk.final([desk.signed(person, RewardClaim(operator))])
    earned = next((row[-1] for row in later.events if row[0] == "reward.claim"), "0")
    desk.clock.found("paid for what was at stake", f"{earned} an epoch later", met=True)
    desk.carried_out([desk.signed(person, StakeUnbond(operator, Amount(COIN)))])
    _require_books(desk, "nothing was farmed")


def _behind(desk: Desk, order: Order) -> list[tuple[Person, Address]]:
    """Put each staker behind one of the validators, in turn."""
    operators = itertools.cycle([desk.ledger.operator(name) for name in order.whom])
    return list(zip(desk.named("staker"), operators, strict=False))


def _require_due(each: Person, before: Holding, now: Holding, desk: Desk) -> None:
    """Require that coins come when they mature, all of them, and neither sooner nor later."""
    late = [row for row in now.returning if row.counted_until and row.matures <= now.height]
    gone = before.returning if not now.returning else ()
    early = [row for row in gone if row.matures > now.height]
    paid = sum(row.amount for row in gone)
    short = bool(gone) and now.owned - before.owned != paid
    if late or early or short:
        told = f"{each.name} at height {now.height}: before {before}, now {now}"
        desk.require("paid at its height", told, met=False)


def _require_books(desk: Desk, told: str) -> None:
    """Require that nobody has lost a coin, or won one that no block paid."""
    most = desk.ledger.pace().reward_per_block * (desk.ledger.height() - desk.began + 1)
    people = [*desk.named("staker"), *desk.named("farmer")]
    more = {
        each.name: desk.ledger.holding(each.account).wealth - (each.given - each.fees)
        for each in people
    }
    wrong = {name: units for name, units in more.items() if not 0 <= units <= most}
    desk.require("every coin explained", f"{told}; unexplained: {wrong or 'none'}", met=not wrong)
