"""Spam and games with stakes while somebody pays for a place: the payer gets it, and nobody gains.

Names by the thousand, dust at five times what blocks hold, stakes turned over, coins taken back
before an offence is shown. Load follows the heights, so a slow machine is no lighter an attack.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from actors import (
    COIN,
    NOW,
    RULES,
    WAIT_S,
    Actor,
    hand_in,
    named,
    offence,
    registers,
    turns_over,
    until_told,
    until_used,
    wealth,
)
from local_mesh import FAUCET, Mesh, NodeProcess, local_mesh

from aitbc_node.blocks import tx_id
from aitbc_node.keyfiles import OPERATOR_KEY
from aitbc_node.ledger.bonding import StakeUnbond
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Amount
from aitbc_toolkit import keys

pytestmark = pytest.mark.mesh

SYBILS = 1_000
SPAMMERS = 64
OUTPUTS = 60
BLOCKFUL = 6
"""Payments to sixty that a block of two million gas holds."""
TIMES = 5
HEIGHTS = 30
ROUNDS = 3
"""On a busy machine a process may be held for seconds; then it is counted anew."""
WITHIN_BLOCKS = 2
IN_TIME = 0.9
FINAL_S_MAX = 10.0
RIVAL_TIP = 500
"""What every third piece of dust tips per gas: there is somebody to outbid."""


@pytest.fixture
def mesh(tmp_path: Path, eventually: Callable[..., None]) -> Iterator[Mesh]:
    """Run four validators with one long epoch and blocks of the least gas."""
    with local_mesh(tmp_path, eventually, start=False, params=RULES, rich=True) as made:
        for node in made.nodes:
            node.write_config(made.nodes, interval_ms=250)
            node.start()
        made.until_reach(made.nodes)
        made.until_heights(made.nodes, 2)
        yield made


@dataclass
class Sent:
    """Be one payment that was made for a place in the next blocks."""

    id: str
    height: int
    wall_ms: int


class Flood:
    """Be a crowd that hands in, height by height, more than blocks hold."""

    def __init__(self, mesh: Mesh, spammers: Sequence[Actor]) -> None:
        self._mesh = mesh
        self._turns = cycle(spammers)
        self._rivals = cycle((0, 0, RIVAL_TIP))
        self._kept: list[bytes] = []

    def rise(self, node: NodeProcess) -> None:
        """Hand in some blocks' worth of dust; what a node did not answer for goes to the next."""
        for spammer in islice(self._turns, TIMES * BLOCKFUL):
            chain = replace(NOW, tip_price=next(self._rivals))
            outs = (Output(spammer.wallet.account, "AIT", Amount(1)),) * OUTPUTS
            self._kept.append(spammer.signs(Transfer(outs), chain=chain))
        try:
            rows = node.post_txs(self._kept)
        except httpx.HTTPError:
            return
        assert {row["code"] for row in rows} <= {"ok", "duplicate", "nonce"}, rows
        self._kept.clear()


def pay_for_a_place(mesh: Mesh, node: NodeProcess, payer: Actor, height: int) -> Sent:
    """Pay as the node's own estimate says is fast."""
    priced = mesh.read(node, "/fees/estimate")
    tip = min(priced["tip_prices"]["fast"], priced["fast"])
    chain = replace(NOW, max_gas_price=priced["fast"], tip_price=tip)
    raw = payer.signs(Transfer((Output(payer.wallet.account, "AIT", Amount(1)),)), chain=chain)
    sent = Sent(tx_id(raw).hex(), height, time.time_ns() // 1_000_000)
    hand_in(mesh, [raw], at=node)
    return sent


def fates(mesh: Mesh, sent: Sequence[Sent]) -> list[tuple[int, float]]:
    """Wait for all payments; return how many blocks and seconds later each was in one."""
    node, found = mesh.nodes[0], list[tuple[int, float]]()
    for each in sent:
        told: list[Any] = []

        def is_final(each: Sent = each, told: list[Any] = told) -> bool:
            told[:] = [node.get(f"/tx/{each.id}") or {}]
            return told[0].get("status") == "committed"

        mesh.eventually(f"payment {each.id[:8]} in a block", is_final, deadline_s=WAIT_S)
        height = told[0]["height"]
        mesh.until_heights([node], height + 1)
        # A block has the time of the votes on the one before it.
        final_ms = mesh.read(node, f"/blocks/{height + 1}")["time_ms"]
        found.append((height - each.height, (final_ms - each.wall_ms) / 1_000))
    return found


def one_round(mesh: Mesh, flood: Flood, payer: Actor) -> tuple[float, float]:
    """Flood for some heights; return which share came in time, and 95 of 100 payments' seconds."""
    sent, height = list[Sent](), mesh.top(mesh.nodes)
    nodes = cycle(mesh.nodes)
    while len(sent) < HEIGHTS:
        mesh.until_heights(mesh.nodes[:1], height + 1)
        height = mesh.top(mesh.nodes)
        flood.rise(next(nodes))
        sent.append(pay_for_a_place(mesh, next(nodes), payer, height))
    late = fates(mesh, sent)
    in_time = sum(blocks <= WITHIN_BLOCKS for blocks, _ in late) / len(late)
    seconds = sorted(took for _, took in late)
    return in_time, seconds[len(seconds) * 95 // 100]


def crowd_of_names(mesh: Mesh, faucet: Actor) -> list[Actor]:
    """Let a thousand fresh keys register and bond, and see that this gives no vote."""
    sybils = [named(f"sybil {place}") for place in range(SYBILS)]
    fund(mesh, faucet, sybils, 3 * COIN)
    hand_in(mesh, [each.signs(*registers(each)) for each in sybils])
    node, last = mesh.nodes[0], sybils[0]

    def is_used() -> bool:
        return all(
            (node.get(f"/state/accounts/{each.address}") or {}).get("nonce") == 1
            for each in (last, *sybils)
        )

    mesh.eventually("a thousand names in blocks", is_used, deadline_s=4 * WAIT_S)
    until_told(mesh, "sybil", mesh.nodes)
    crowd = {each.address for each in sybils}
    rows = mesh.read(node, "/state/validators")["validators"]
    assert {row["next_power"] for row in rows if row["address"] in crowd} <= {0}
    assert mesh.read(node, "/status")["total_power"] == len(mesh.nodes)
    return sybils


def fund(mesh: Mesh, faucet: Actor, actors: Sequence[Actor], amount: int) -> None:
    """Give each of these so much."""
    outs = [Output(each.wallet.account, "AIT", Amount(amount)) for each in actors]
    parts = [tuple(outs[first : first + 100]) for first in range(0, len(outs), 100)]
    hand_in(mesh, [faucet.signs(Transfer(part)) for part in parts])
    until_used(mesh, faucet)


def race_for_a_bond(mesh: Mesh, mallory: Actor) -> None:
    """Take everything back before the own offence is shown: half of it is lost nevertheless."""
    node, racer = mesh.nodes[0], mesh.nodes[-1]
    operator = Actor(keys.read(racer.folder / "keys" / OPERATOR_KEY))
    hand_in(mesh, [operator.signs(StakeUnbond(operator.wallet.account, Amount(COIN)))])
    until_used(mesh, operator)
    hand_in(mesh, [mallory.signs(offence(racer))])
    until_told(mesh, "nothing-at-stake", mesh.nodes)
    stakes = mesh.read(node, f"/state/accounts/{operator.address}/stakes")
    assert (stakes["bonded"], stakes["unbonding"]) == ("0", str(COIN // 2))


def refusal_of_the_floor(mesh: Mesh, payer: Actor) -> str:
    """Offer no more for gas than it cost before the flood; return what a node says."""
    floor = replace(NOW, max_gas_price=RULES.gas_base_price)
    body = Transfer((Output(payer.wallet.account, "AIT", Amount(1)),))
    (row,) = mesh.nodes[0].post_txs([payer.signs(body, chain=floor)])
    return row["code"]


@pytest.mark.proves("E27", "E29")
@pytest.mark.nightly  # a thousand names alone fill sixty blocks
def test_who_pays_gets_a_place_and_nobody_gains_by_spam_or_stake(
    mesh: Mesh, record_property: Callable[[str, object], None]
) -> None:
    """Nine of ten `fast` payments are in one of the next two blocks, p95 is within ten seconds."""
    faucet, mallory, payer = Actor(FAUCET), named("mallory"), named("payer")
    spammers = [named(f"spammer {place}") for place in range(SPAMMERS)]
    fund(mesh, faucet, [mallory, payer, *spammers], 90 * COIN)

    sybils = crowd_of_names(mesh, faucet)
    hand_in(mesh, [mallory.signs(act) for act in turns_over(mesh)])
    until_told(mesh, "stake-grinding", mesh.nodes)
    race_for_a_bond(mesh, mallory)
    flood, rounds = Flood(mesh, spammers), list[tuple[float, float]]()
    while len(rounds) < ROUNDS:
        rounds.append(one_round(mesh, flood, payer))
        if rounds[-1][0] >= IN_TIME and rounds[-1][1] <= FINAL_S_MAX:
            break
    assert refusal_of_the_floor(mesh, payer) == "fee"

    told = "; ".join(f"{share:.0%} in two blocks, p95 {p95:.1f} s" for share, p95 in rounds)
    print(told)  # noqa: T201 - measured
    record_property("paid", told)
    assert rounds[-1][0] >= IN_TIME, told
    assert rounds[-1][1] <= FINAL_S_MAX, told
    reward = COIN // 2 * RULES.evidence_reporter_bps // 10_000
    assert wealth(mesh, mallory) < 90 * COIN + reward
    for actor, had in [(each, 90 * COIN) for each in spammers] + [(sybils[0], 3 * COIN)]:
        assert wealth(mesh, actor) < had
    mesh.common_root(mesh.nodes)
    assert mesh.read(mesh.nodes[0], "/audit")["violations"] == []
