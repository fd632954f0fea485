"""What does somebody try who wants to crowd others out, or to be many?

Who pays for a place has one soon, whatever others hand in; and names alone give no vote. Do not add
games with stakes: `bonding.py`.
"""

import itertools
import statistics
from collections.abc import Mapping

from aitbc_node.ledger.enrolment import ValidatorPut
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.transfers import OUTPUT_GAS, TRANSFER_GAS, Output, Transfer
from aitbc_node.types import Amount
from aitbc_toolkit.suites.scenario.desk import COIN, Desk, Order, Person, Signed
from aitbc_toolkit.suites.scenario.ledger import TAKEN
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict

DUST_OUTPUTS = 60
DUST_GAS = TRANSFER_GAS + (DUST_OUTPUTS - 1) * OUTPUT_GAS
FUNDS = 50 * COIN
AWHILE = 10
"""Blocks more, for what came late."""
_TWENTIETHS = 20


def crowd(parameters: Mapping[str, int]) -> dict[str, int]:
    """Name who hands in dust, and who pays for a place."""
    dust = {f"spammer {place}": FUNDS for place in range(parameters["spammers"])}
    return {**dust, "payer 0": FUNDS}


def spam(desk: Desk, order: Order) -> None:
    """Hand in, block by block, `times` what a block holds, at the floor; one tips for a place.

    How long it waits for its block is recorded: `t_paid_p95`. Each time it must get one by when
    all the dust could have had its own.
    """
    (payer,), turns = desk.named("payer"), itertools.cycle(desk.named("spammer"))
    blockful = max(1, desk.ledger.pace().block_gas // DUST_GAS)
    count = order.parameters["times"] * blockful
    waited: list[float] = []
    due: dict[str, float] = {}
    full = 0
    for _ in range(order.parameters["blocks"]):
        dust = [desk.signed(each, _dust(each)) for each in itertools.islice(turns, count)]
        paid = desk.signed(payer, _one(payer), tip_price=order.parameters["tip"])
        rows = [(desk.dice.choice(order.whom), each.raw) for each in (*dust, paid)]
        told = desk.ledger.hand_in(rows)
        full += told.count(TAKEN) > blockful + 1
        due[paid.id] = desk.clock.now()
        desk.until_height(desk.ledger.height() + 1)
        waited += _ended(desk, due)
    if not full:
        raise ScenarioError(Verdict.INVALID, "blocks had room all the time: nobody was crowded out")
    for _ in range(order.parameters["times"] * order.parameters["blocks"] + AWHILE):
        if not due:
            break
        desk.until_height(desk.ledger.height() + 1)
        waited += _ended(desk, due)
    if due:
        why = f"{len(due)} payments with a tip are in no block, though all dust had room meanwhile"
        raise ScenarioError(Verdict.LIVENESS, why)
    p95 = statistics.quantiles([*waited, waited[-1]], n=_TWENTIETHS, method="inclusive")[-1]
    desk.records["t_paid_p95"] = p95


def sybils(parameters: Mapping[str, int]) -> dict[str, int]:
    """Name the many who are one."""
    return {f"sybil {place}": COIN for place in range(parameters["names"])}


def many_names(desk: Desk, _order: Order) -> None:
    """Register a validator for each name, without a coin behind it: none of them votes."""
    acts: list[Signed] = []
    for each in desk.named("sybil"):
        signer = desk.ledger.stranger(each.name)
        proof = possession_proof(desk.ledger.chain().chain_id, each.account, signer)
        acts.append(desk.signed(each, ValidatorPut(key=signer.public_key, proof=proof)))
    desk.carried_out(acts)
    pace = desk.ledger.pace()
    desk.until_height(pace.epoch_of(desk.ledger.height()) + 1)
    vote = len({each.account for each in desk.named("sybil")} & desk.ledger.votes().keys())
    desk.require("names do not vote", f"{len(acts)} registered, {vote} vote", met=not vote)


def _ended(desk: Desk, due: dict[str, float]) -> list[float]:
    """Take out what is in a block, and tell how long each took."""
    done = [each for each in due if desk.ledger.fate(each)]
    return [desk.clock.now() - due.pop(each) for each in done]


def _dust(each: Person) -> Transfer:
    return Transfer((Output(each.account, NATIVE, Amount(1)),) * DUST_OUTPUTS)


def _one(each: Person) -> Transfer:
    return Transfer((Output(each.account, NATIVE, Amount(1)),))
