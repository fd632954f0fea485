"""What is refused for want of room costs no look at all that its account has waiting."""

import pytest

from aitbc_node.mempool import Mempool
from aitbc_node.verifying import Verifying
from aitbc_sim.citizens import a_payment
from aitbc_sim.pump import Pump

WAITING = [a_payment("alice", "bob", 1, nonce=nonce) for nonce in range(4)]
NEXT = a_payment("alice", "bob", 1, nonce=4)
TAKEN = a_payment("alice", "bob", 2, nonce=3)


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Keep the nonces before which was summed."""
    asked: list[int] = []
    promised = Mempool.promised

    def noted(pool: Mempool[object], sender: bytes, *, before_nonce: int) -> int:
        asked.append(before_nonce)
        return promised(pool, sender, before_nonce=before_nonce)

    monkeypatch.setattr(Mempool, "promised", noted)
    return asked


@pytest.mark.parametrize(
    ("is_full", "raw", "code"), [(False, TAKEN, "nonce"), (True, NEXT, "mempool-full")]
)
def test_a_refusal_for_want_of_room_sums_nothing(
    sums: list[int], monkeypatch: pytest.MonkeyPatch, code: str, raw: bytes, *, is_full: bool
) -> None:
    """A nonce that is taken, and a node that verifies enough: both are told without the sum."""
    pump = Pump(rich=["alice"]).start()
    pump.run_to(2)
    assert pump.outcomes(0, *WAITING) == ["ok"] * 4
    assert sums, "what is taken is judged by the sum"
    sums.clear()
    monkeypatch.setattr(Verifying, "is_full", is_full)
    intake = pump.machine(0)._intake
    monkeypatch.setattr(intake, "_swept_height", intake._chain.height)

    refused = intake._admit(raw)

    assert getattr(refused, "code", None) == code
    assert sums == []
