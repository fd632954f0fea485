"""A node without any data joins a long chain."""

import pytest
from msgspec.structs import replace

from aitbc_node.canonical import encode
from aitbc_node.gossip.messages import Finals, decode_message
from aitbc_sim.pump import Pump

HEIGHT = 10_000


@pytest.mark.proves("E10")
def test_a_newcomer_verifies_ten_thousand_commits_past_a_liar() -> None:
    """It reaches the head of 10,000 blocks; a peer that feeds bad blocks is banned on the way."""
    pump = Pump((1,), followers=2)
    pump.start(0, 1)
    pump.run_to(HEIGHT, limit_ms=10**8)
    liars: list[int] = []

    def falsify(source: int, target: int, payload: bytes) -> bytes:
        message = decode_message(payload)
        if target != 2 or not isinstance(message, Finals) or (liars and source not in liars):
            return payload
        liars.append(source)
        first, *rest = message.blocks
        header = replace(first.block.header, time_ms=first.block.header.time_ms + 1)
        bad = replace(first, block=replace(first.block, header=header))
        return encode(Finals((bad, *rest)))

    pump.tamper = falsify
    pump.start(2)
    assert pump.run(lambda: pump.machine(2).view.height >= HEIGHT, limit_ms=120_000)
    pump.settle()

    banned = pump.nodes[liars[0]].id
    assert len(liars) == 1
    assert banned not in {peer.id for peer in pump.machine(2).view.peers()}
    assert len(pump.roots()) == 1
