"""What does somebody try who wants to spend the same money twice?

Each act names what must hold of the ledger afterwards. Do not add how it is handed in: `desk.py`.
"""

from collections import Counter
from collections.abc import Mapping

from aitbc_node.codes import Code
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Address, Amount
from aitbc_toolkit.suites.scenario.desk import AGAIN_S, COIN, WITHIN_S, Desk, Dispute, Order
from aitbc_toolkit.suites.scenario.ledger import TAKEN
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict
from aitbc_toolkit.suites.waiting import Look

UNITS = 1_000
AWHILE = 3
"""Blocks in which something would have happened."""


def spenders(parameters: Mapping[str, int]) -> dict[str, int]:
    """Name who spends twice."""
    return {f"spender {place}": COIN for place in range(parameters["pairs"])}


def double_spend(desk: Desk, order: Order) -> None:
    """Sign two payments with the same nonce, and hand one in on each side at the same time."""
    first, second = order.sides
    for spender in desk.named("spender"):
        nonce = spender.nonce
        payees = [_payee(desk, f"{spender.name} {nonce}", side) for side in ("one", "other")]
        made = [desk.signed(spender, _pays(payee), nonce=nonce) for payee in payees]
        at = desk.dice.choice(first), desk.dice.choice(second)
        desk.disputes.append(
            Dispute(spender, nonce, (made[0], made[1]), (payees[0], payees[1]), at)
        )
    told = desk.ledger.hand_in(_rows(desk.disputes))
    _require_tried(told, may_refuse=bool(order.parameters["no_quorum"]))
    desk.clock.found("handed in twice", f"nodes said {_counts(told)}", met=True)


def one_wins(desk: Desk, _order: Order) -> None:
    """Require of each pair of payments that exactly one is made, whoever took the other one."""
    due_at = desk.clock.now()

    def look() -> Look[None]:
        nonlocal due_at
        left = [
            each
            for each in desk.disputes
            if desk.ledger.holding(each.spender.account).nonce <= each.nonce
        ]
        if left and desk.clock.now() >= due_at:
            desk.ledger.hand_in(_rows(left))
            due_at = desk.clock.now() + AGAIN_S
        return Look(not left, None, f"{len(left)} of {len(desk.disputes)} are undecided")

    desk.clock.until("one of each two payments made", look, within_s=WITHIN_S)
    for each in desk.disputes:
        _judge(desk, each)
    desk.disputes.clear()


def replay(desk: Desk, order: Order) -> None:
    """Hand in at every node what is final already: nobody pays a second time."""
    again = [each for each in desk.done if each.by.name.startswith("spender")]
    if not again:
        raise ScenarioError(Verdict.INVALID, "nothing was final that could be replayed")
    people = {each.by.name: each.by for each in again}
    before = {name: desk.ledger.holding(each.account) for name, each in people.items()}
    places = {each.id: desk.ledger.fate(each.id) for each in again}
    desk.ledger.hand_in([(node, each.raw) for node in order.whom for each in again])
    desk.until_height(desk.ledger.height() + AWHILE)
    after = {name: desk.ledger.holding(each.account) for name, each in people.items()}
    moved = [name for name in people if before[name][1:] != after[name][1:]]
    moved += [name for name, place in places.items() if desk.ledger.fate(name) != place]
    told = f"{len(again)} payments replayed at {len(order.whom)} nodes"
    desk.require("replay", f"{told}, moved: {' '.join(moved) or 'nothing'}", met=not moved)


def hasty(_parameters: Mapping[str, int]) -> dict[str, int]:
    """Name who leaves a nonce out."""
    return {"hasty": COIN}


def nonce_gap(desk: Desk, order: Order) -> None:
    """Hand in the second and third transaction of an account; they wait for the first."""
    person = desk.people["hasty"]
    first, *ahead = [
        desk.signed(person, _pays(_payee(desk, person.name, str(place)))) for place in range(3)
    ]
    desk.ledger.hand_in([(order.whom[0], each.raw) for each in ahead])
    desk.until_height(desk.ledger.height() + AWHILE)
    early = [each.id[:12] for each in ahead if desk.ledger.fate(each.id)]
    desk.require("nonce gap", f"made before their turn: {early or 'none'}", met=not early)
    fates = desk.final([first, *ahead])
    places = [(fate.height, fate.place) for fate in fates]
    desk.require("in turn", f"blocks and places {places}", met=places == sorted(places))


def _judge(desk: Desk, each: Dispute) -> None:
    """Require that one payment is in a block and the other in none, and that money moved once."""
    fates = [desk.ledger.fate(payment.id) for payment in each.payments]
    made = [payment for payment, fate in zip(each.payments, fates, strict=True) if fate]
    arrived = sorted(desk.ledger.holding(payee).owned for payee in each.payees)
    told = f"{each.spender.name}: {len(made)} of two payments made, {arrived} arrived"
    desk.require("one wins", told, met=len(made) == 1 and arrived == [0, UNITS])
    desk.done += made


def _require_tried(told: list[str], *, may_refuse: bool) -> None:
    """Require that both sides were asked, and one took some: else nobody has tried anything.

    Where no side has a quorum, refusals may say so: both are handed in again when one has.
    Raises: ScenarioError (invalid).
    """
    for side, codes in (("first", told[::2]), ("second", told[1::2])):
        if not any(codes):
            raise ScenarioError(Verdict.INVALID, f"nobody of the {side} side answered")
        if may_refuse and not {TAKEN, Code.E_NO_QUORUM} & set(codes):
            why = f"the {side} side neither took any nor had no quorum: {_counts(codes)}"
            raise ScenarioError(Verdict.INVALID, why)
    if not may_refuse and TAKEN not in told:
        why = f"no node took any of two payments: nodes said {_counts(told)}"
        raise ScenarioError(Verdict.INVALID, why)


def _counts(told: list[str]) -> str:
    return ", ".join(f"{code or 'nothing'} {count}x" for code, count in Counter(told).items())


def _rows(disputes: list[Dispute]) -> list[tuple[str, bytes]]:
    return [
        (node, payment.raw)
        for each in disputes
        for node, payment in zip(each.at, each.payments, strict=True)
    ]


def _payee(desk: Desk, name: str, which: str) -> Address:
    return desk.ledger.someone(f"payee {which} of {name}").account


def _pays(payee: Address) -> Transfer:
    return Transfer((Output(payee, NATIVE, Amount(UNITS)),))
