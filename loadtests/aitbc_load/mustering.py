"""Who takes part in a run beside the honest transfers, with which accounts and how much money?

They follow from the plan alone. Pure. Do not add what anybody does.
"""

from dataclasses import dataclass

from aitbc_load.arrivals import Arrivals, Course
from aitbc_load.attacks import ATTACKS, GAP_MAX, ORDERED, REPLAYER
from aitbc_load.identities import Identity, identities
from aitbc_load.orders import Part, Phase, Plan, Terms
from aitbc_load.rings import RATE_PER_ACCOUNT
from aitbc_load.sharing import bots_most
from aitbc_load.signing import cost_max
from aitbc_node.ledger.assets import ASSET_GAS
from aitbc_node.ledger.bonding import STAKE_GAS
from aitbc_node.ledger.definitions import DEFINE_GAS

_SPARE = 4
_ACT_S = 0.1
"""No bot does more than ten things a second."""
STAKER = "staker"
STAKE_MAX = 2_000_000
"""Twice the least bond that a chain asks for unless told otherwise."""
TRADER = "trader"
BURST = 10
"""So many transfers a trader hands in behind each other."""
RECONNECTOR = "reconnector"
COMPARER = "comparer"
"""Asks bots of other workers what their nodes hold."""
MISUSING = frozenset({"poller", "impatient", "overspender", "hurried", RECONNECTOR})
"""Bots that keep the rules and use a mesh badly: anti-patterns of honest clients."""
PAYING = frozenset({"user", STAKER, TRADER}) | MISUSING - {RECONNECTOR}
"""Roles of bots that have an account each."""
LEGITIMATE, ADVERSARIAL, ANTI_PATTERN = "legitimate", "adversarial", "anti-pattern"
_WAITING_MAX = {"nonce-gapper": GAP_MAX + 1, "malformed": 1}
"""How much of one account may wait at a time, of roles that never pay."""


@dataclass(frozen=True, slots=True)
class Member:
    """Be one account of a role. Units: `amount` in base units, 0 where it needs none."""

    role: str
    who: Identity
    amount: int


def course_of(plan: Plan) -> Course:
    """Lay out when honest transactions are due."""
    before = 0.0
    found = []
    for phase in phases_of(plan):
        found.append(Arrivals(phase.rate, phase.for_s, plan.batch, before, phase.ramp_s))
        before = phase.rate
    return Course(found)


def phases_of(plan: Plan) -> tuple[Phase, ...]:
    """List the phases; a plan without any is one."""
    return plan.phases or (Phase(name="all", for_s=plan.for_s, rate=plan.rate),)


def attackers_of(plan: Plan, worker: int, terms: Terms, *, turn: int = 0) -> list[Member]:
    """Make the accounts of those who break the rules; the same plan and turn make the same."""
    found: list[Member] = []
    for role in ATTACKS:
        rates = [(part.rate, phase.for_s) for phase, part in _parts(plan) if part.role == role]
        if rates:
            count = _accounts(role, max(rate for rate, _ in rates))
            blows = sum(rate * for_s for rate, for_s in rates)
            amount = _turns(role, blows / count) * cost_max(terms)
            members = identities(plan.seed, worker, count, role=role, turn=turn)
            found += [Member(role, who, amount) for who in members]
    return found


@dataclass(frozen=True, slots=True)
class Recruit:
    """Be one bot of a phase, `place`, with an account where its role has one. Units: base units."""

    place: int
    part: Part
    who: Identity | None
    amount: int
    seed: str
    spare: int = 0
    """It begins only where so many of its kind are taken over of lost workers; 0 always begins."""


def recruits_of(plan: Plan, worker: int, terms: Terms, *, turn: int = 0) -> list[Recruit]:
    """Make every bot of every phase, each for that phase only."""
    found: list[Recruit] = []
    for place, phase in enumerate(plan.phases):
        for part in phase.parts:
            if part.bots or part.all_bots:
                has_account = part.role in PAYING
                role = f"{part.role}-{place}"
                most = part.bots + bots_most(part, plan)
                count = most * has_account
                people = identities(plan.seed, worker, count, role=role, turn=turn)
                amount = _bot_money(part, phase, terms)
                for number in range(most):
                    who = people[number] if has_account else None
                    seed = f"{plan.seed}/{worker}/{role}/{number}"
                    spare = max(0, number - part.bots + 1)
                    found.append(Recruit(place, part, who, amount * has_account, seed, spare))
    return found


def _bot_money(part: Part, phase: Phase, terms: Terms) -> int:
    """Return what the acts of one bot take at most; it waits for a block in each of them."""
    acts = int(phase.for_s / max(part.pause_s, _ACT_S)) + _SPARE
    if part.role == STAKER:
        return acts * (cost_max(terms, gas=STAKE_GAS) + STAKE_MAX)
    if part.role == TRADER:
        own_asset = cost_max(terms, gas=DEFINE_GAS) + cost_max(terms, gas=ASSET_GAS)
        return acts * BURST * cost_max(terms) + own_asset
    return acts * cost_max(terms)


def roles_of(plan: Plan) -> list[str]:
    """List the attacking roles of a plan, each once."""
    known = (*ATTACKS, REPLAYER)
    return [role for role in known if any(part.role == role for _, part in _parts(plan))]


def family_of(role: str) -> str:
    """Name the family of a role: whoever breaks the rules, or uses a mesh badly, or neither."""
    if role in {*ATTACKS, REPLAYER}:
        return ADVERSARIAL
    return ANTI_PATTERN if role in MISUSING else LEGITIMATE


def is_attacked(phase: Phase) -> bool:
    """Tell whether anybody breaks the rules in a phase, or uses the mesh badly."""
    return any(family_of(part.role) != LEGITIMATE for part in phase.parts)


def _parts(plan: Plan) -> list[tuple[Phase, Part]]:
    return [(phase, part) for phase in plan.phases for part in phase.parts]


def _accounts(role: str, rate: float) -> int:
    """Return how many accounts strike at a rate; junk and the malformed need no turns."""
    return -(-int(rate) // int(RATE_PER_ACCOUNT)) or 1 if role in ORDERED else 1


def _turns(role: str, blows: float) -> int:
    """Return how many transactions an account may have to pay for."""
    if role in ORDERED:
        return int(blows) + _SPARE
    return _WAITING_MAX.get(role, 0)
