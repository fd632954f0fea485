"""Attacks on the economy of a chain of real processes: nothing is gained, and each is named.

Of the drivers E29a to E29e those that nodes can tell apart; what else an attack could win is shown
against the rules in `tests/unit/ledger/test_attacks.py`, and under load in `test_stake_games_live`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from actors import (
    COIN,
    RULES,
    WAIT_S,
    Actor,
    are_used,
    hand_in,
    named,
    offence,
    registers,
    told,
    turns_over,
    until_told,
    until_used,
    wealth,
)
from local_mesh import FAUCET, Mesh, local_mesh

from aitbc_node.incidents import REGISTRATIONS_MAX
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Amount

pytestmark = pytest.mark.mesh

SPAM = 16


def until_spam_is_told(mesh: Mesh, spammer: Actor) -> None:
    """Fill block after block until every node names it: one in between may have come empty."""

    def is_told() -> bool:
        if all(told(node, "gas-manipulation") >= 1 for node in mesh.validators):
            return True
        if are_used(mesh, spammer):
            hand_in(mesh, [spammer.signs(*fills(spammer)) for _ in range(SPAM)])
        return False

    mesh.eventually("attack.gas-manipulation on every node", is_told, deadline_s=WAIT_S)


@pytest.fixture
def mesh(tmp_path: Path, eventually: Callable[..., None]) -> Iterator[Mesh]:
    """Run four validators with one long epoch and small blocks; a follower is not started."""
    with local_mesh(tmp_path, eventually, full=1, start=False, params=RULES, rich=True) as made:
        for node in made.validators:
            node.start()
        made.until_reach(made.validators)
        made.until_heights(made.validators, 2)
        yield made


@pytest.mark.proves("E29")
def test_attacks_gain_nothing_and_are_named(mesh: Mesh) -> None:
    """Names without stake, stake turned over, two votes at once, blocks filled, a false history."""
    faucet, mallory, spammer = Actor(FAUCET), named("mallory"), named("spammer")
    sybils = [named(f"sybil {place}") for place in range(REGISTRATIONS_MAX + 1)]
    outs = [Output(each.wallet.account, "AIT", Amount(3 * COIN)) for each in sybils]
    outs += [Output(each.wallet.account, "AIT", Amount(90 * COIN)) for each in (mallory, spammer)]
    hand_in(mesh, [faucet.signs(Transfer(tuple(outs)))])
    until_used(mesh, faucet)
    victim = mesh.validators[3]
    operator = mesh.read(mesh.nodes[0], f"/state/validators/{victim.public['operator_address']}")

    hand_in(mesh, [each.signs(*registers(each)) for each in sybils])
    until_told(mesh, "sybil", mesh.validators)
    hand_in(mesh, [mallory.signs(act) for act in turns_over(mesh)])
    until_told(mesh, "stake-grinding", mesh.validators)
    hand_in(mesh, [mallory.signs(offence(victim))])
    until_told(mesh, "nothing-at-stake", mesh.validators)
    until_spam_is_told(mesh, spammer)
    until_used(mesh, *sybils, mallory, spammer)

    rows = mesh.read(mesh.nodes[0], "/state/validators")["validators"]
    crowd = {each.address for each in sybils}
    assert {row["next_power"] for row in rows if row["address"] in crowd} <= {0}
    assert all(wealth(mesh, each) < 3 * COIN for each in sybils)
    reward = COIN // 2 * RULES.evidence_reporter_bps // 10_000
    assert wealth(mesh, mallory) < 90 * COIN + reward
    assert wealth(mesh, spammer) < 90 * COIN
    punished = mesh.read(mesh.nodes[0], f"/state/validators/{operator['address']}")
    assert (punished["status"], punished["next_power"]) == ("jailed", 0)
    assert int(punished["bonded"]) == int(operator["bonded"]) // 2
    mesh.common_root(mesh.validators)
    assert mesh.read(mesh.nodes[0], "/audit")["violations"] == []

    follower = mesh.nodes[-1]
    follower.write_config(
        mesh.nodes, more=f'[sync]\ntrusted_height = 2\ntrusted_hash = "{"ab" * 32}"\n'
    )
    follower.start()
    until_told(mesh, "long-range", [follower])
    assert mesh.read(follower, "/status")["height"] == 1


def fills(actor: Actor) -> list[Body]:
    """Buy nearly all the gas of a block with payments to oneself."""
    outs = tuple(Output(actor.wallet.account, "AIT", Amount(1)) for _ in range(60))
    return [Transfer(outs)] * 6
