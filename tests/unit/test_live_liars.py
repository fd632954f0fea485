"""Machines of a process that lie: what they say is heard, and the honest go on with one chain."""

from contextlib import suppress
from unittest.mock import patch

import pytest

from aitbc_node import startup
from aitbc_node.errors import PeerFault
from aitbc_node.machine import Machine
from aitbc_sim import pump as pumping
from aitbc_sim.byzantine import mind_of
from aitbc_sim.live_liars import LIVE, Alternating, Liar, lying
from aitbc_sim.pump import Pump

LIAR = 3


class Patient(Pump):
    """Be a pump that takes down who signed what, and is not shocked by it, nor by noise."""

    def _watch(self, payload: bytes) -> None:
        with suppress(AssertionError, PeerFault):
            super()._watch(payload)


def with_a_liar(behaviour: str) -> Patient:
    """Run three honest validators and one that lies, with the machine that a process has."""
    pump = Patient()
    kind = type("Planted", (Liar,), {"behaviour": behaviour})
    with mind_of(behaviour), patch.object(pumping, "Machine", kind):
        pump.start(LIAR)
    pump.start(0, 1, 2)
    return pump


@pytest.mark.parametrize("behaviour", LIVE)
def test_the_honest_go_on_beside_each_liar(behaviour: str) -> None:
    """Eight blocks, one chain, and none of the honest is hurt."""
    pump = with_a_liar(behaviour)

    reached = pump.run(lambda: min(pump.heights()[:LIAR]) >= 8, limit_ms=120_000)

    assert reached, pump.heights()
    assert all(len(ids) == 1 for ids in pump.blocks.values())


def test_one_that_withholds_signs_nothing_that_is_heard() -> None:
    """Others hear no vote of it, and it hears theirs."""
    pump = with_a_liar("withhold")
    pump.run(lambda: min(pump.heights()) >= 5, limit_ms=120_000)

    assert not [place for place in pump.signed if place[0] == LIAR]


def test_one_with_two_tongues_is_caught() -> None:
    """Two votes of it for one place are on the wire, and the honest note it."""
    pump = with_a_liar("equivocate")
    caught = pump.run(
        lambda: all(node.notes["consensus.equivocation"] for node in pump.nodes[:LIAR]),
        limit_ms=120_000,
    )

    assert caught
    assert min(pump.heights()[:LIAR]) < 4  # at once, not by the chance of a late link
    assert [ids for place, ids in pump.signed.items() if place[0] == LIAR and len(ids) > 1]


def test_every_other_peer_hears_the_second_tongue() -> None:
    """Whoever is spoken to, both are heard; and each peer always hears the same one."""
    plot = Alternating()
    peers = [bytes((n,)) * 32 for n in range(4)]

    sides = [plot.side(peer) for peer in peers]  # type: ignore[arg-type]

    assert sorted(sides) == [0, 0, 1, 1]
    assert [plot.sides(peer) for peer in peers] == [(side, 1 - side) for side in sides]  # type: ignore[arg-type]
    assert [plot.side(peer) for peer in peers] == sides  # type: ignore[arg-type]


def test_a_process_makes_liars_only_while_it_is_told_to() -> None:
    """What is planted ends with its block; a twin is no thing of one process."""
    with lying("withhold"):
        assert issubclass(startup.Machine, Liar)
        assert startup.Machine.behaviour == "withhold"

    assert startup.Machine is Machine
    with pytest.raises(AssertionError, match="lies like that"), lying("twin"):
        pass
