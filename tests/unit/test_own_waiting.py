"""What clients gave to a node is remembered while it waits, at a cost that stays the same."""

import pytest

from aitbc_node import intake
from aitbc_node.intake import Intake
from aitbc_sim.citizens import a_payment
from aitbc_sim.pump import Pump


def test_what_waits_is_looked_through_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """More may wait than is remembered at first: then not each further one costs a look at all."""
    monkeypatch.setattr(intake, "OWN_MAX", 10)
    names = [f"citizen{number}" for number in range(4)]
    pump = Pump(rich=names).start()
    pump.run_to(2)
    looks = []
    forget = Intake._forget_final
    monkeypatch.setattr(Intake, "_forget_final", lambda self: (looks.append(1), forget(self)))

    raws = [a_payment(name, "bob", 1, nonce=nonce) for name in names for nonce in range(40)]
    outcomes = pump.outcomes(0, *raws)

    assert outcomes == ["ok"] * len(raws)
    assert len(looks) == 4  # at 11, 23, 47 and 95 of 160
    assert len(list(pump.machine(0)._intake.own_waiting())) == len(raws)


def test_what_is_final_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many have waited at once, what is remembered falls back to the usual bound."""
    monkeypatch.setattr(intake, "OWN_MAX", 10)
    pump = Pump().start()
    pump.run_to(2)

    for nonce in range(0, 60, 5):
        pump.outcomes(0, *(a_payment("alice", "bob", 1, nonce=nonce + each) for each in range(5)))
        pump.run_to(max(pump.heights()) + 2)

    assert len(pump.machine(0)._intake._own) <= 2 * 10


def test_what_many_left_behind_is_forgotten_though_little_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A burst that waited raises the bound; with the next blocks it falls again."""
    monkeypatch.setattr(intake, "OWN_MAX", 10)
    names = [f"citizen{number}" for number in range(4)]
    pump = Pump(rich=names).start()
    pump.run_to(2)

    pump.outcomes(0, *(a_payment(name, "bob", 1, nonce=n) for name in names for n in range(40)))
    pump.run_to(max(pump.heights()) + 4)

    assert len(pump.machine(0)._intake._own) <= 10
