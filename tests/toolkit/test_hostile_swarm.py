"""Attackers are refused, what must not be taken is found out, and honest users hardly notice."""

from pathlib import Path
from typing import Any

import pytest
from fake_mesh import HOSTILE_BUGS
from pretend_swarm import a_fake_mesh, a_swarm, an_order, is_believed

from aitbc_load.attacks import MALFORMED, Attacker
from aitbc_load.identities import Identity, identity
from aitbc_load.orders import Terms
from aitbc_node.codes import Code
from aitbc_node.ledger.policy import address_of, single_key

ROLES = ("spammer", "double-spender", "nonce-gapper", "malformed", "flooder", "replayer")


def hostile(folder: Path, ports: list[int], *, rate: float = 8.0) -> dict[str, Any]:
    """Run a phase without attackers and one with every kind of them."""
    folder.mkdir()
    parts = [{"role": role, "rate": rate} for role in ROLES]
    phases = [
        {"name": "alone", "for_s": 1.0, "rate": 60.0},
        {"name": "attacked", "for_s": 2.0, "rate": 60.0, "parts": parts},
    ]
    order = an_order(folder, ports, rate=60.0, for_s=3.0, phases=phases, drain_s=60.0)
    return a_swarm(order, []).run()


def test_the_ledger_refuses_what_is_malformed(fake_mesh: Any) -> None:
    """What attackers hand in is wrong for a real ledger, in one way each, and it is refused."""
    ledger = fake_mesh.ledger
    height = len(ledger.finals)
    terms = Terms(
        chain_id=ledger.state.chain.chain_id,
        hrp="aitd",
        height=height,
        ttl_blocks=50,
        interval_ms=500,
        gas_price_max=1_000_000,
    )
    faucet = single_key(fake_mesh.faucet.public_key)
    payer = Identity(fake_mesh.faucet, faucet, address_of(faucet))
    attacker = Attacker(payer, 0, terms, identity(7, 0, 0))

    refused = {what: ledger.take(make(attacker, "")).code for what, make in MALFORMED.items()}

    assert Code.OK not in refused.values(), refused
    assert set(refused.values()) > {Code.E_MALFORMED, Code.E_SIGNATURE, Code.E_NONCE}
    assert len(ledger.finals) == height
    assert ledger.take(attacker.transfer(0)).code == Code.OK


@pytest.mark.proves("B9")
def test_attackers_are_refused_and_that_is_no_error(tmp_path: Path) -> None:
    """Six kinds strike a mesh that keeps the rules: all is held, and honest books balance."""
    with a_fake_mesh(strict=True) as ports:
        result = hostile(tmp_path / "run", ports)

    assert {each["outcome"] for each in result["checks"]} == {"held"}, result["checks"]
    assert result["verdict"] == "PASS" or not is_believed(result), result["why"]
    assert result["books"]["final"] == result["books"]["sent"] == 180
    roles = {each["role"]: each for each in result["roles"]}
    assert set(roles) == set(ROLES)
    assert not any(each["breaches"] for each in roles.values())
    replayer = roles.pop("replayer")
    assert replayer["sent"] + replayer["dropped"] > 0  # there may have been nothing final to replay
    assert all(each["sent"] > 0 for each in roles.values())
    assert roles["malformed"]["taken"] == roles["flooder"]["taken"] == 0
    assert roles["malformed"]["refusals"].keys() >= {"malformed", "signature", "wrong-chain"}
    assert roles["nonce-gapper"]["taken"] > 0 == roles["nonce-gapper"]["in_blocks"]
    assert roles["double-spender"]["in_blocks"] <= roles["double-spender"]["sent"] / 2
    assert [each["is_attacked"] for each in result["phases"]] == [False, True]
    assert [each["asked"] for each in result["phases"]] == [60, 120]
    assert [each["to_final"]["count"] for each in result["phases"]] == [60, 120]
    assert result["harm_p99"] > 0


@pytest.mark.nightly
@pytest.mark.proves("B9")
@pytest.mark.parametrize("bug", HOSTILE_BUGS)
def test_a_mesh_that_falls_for_an_attack_is_caught(tmp_path: Path, bug: str) -> None:
    """Whatever is taken and must not be, or lies in blocks too often, is a violation."""
    with a_fake_mesh(strict=True, bug=bug) as ports:
        result = hostile(tmp_path / bug, ports)

    caught_by = "wallets_agree" if bug == "overcharges" else "attacks_refused"
    assert result["verdict"] == "SAFETY"
    assert any(why.startswith(caught_by) for why in result["why"]), result["why"]
