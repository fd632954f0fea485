"""Which nodes does a run have, who holds which key, and which of them lie?

Validators come first, then full nodes, then spare ones with a key that has no vote yet, then the
second nodes of those whose key runs twice. Do not add what happens to them: `world.py`.
"""

import random
from collections.abc import Sequence

from aitbc_node.consensus.timeouts import Timeouts
from aitbc_node.ledger.genesis import Genesis
from aitbc_node.machine import MachineConfig
from aitbc_sim.byzantine import Plot, Tongue
from aitbc_sim.clocks import WallClock
from aitbc_sim.founding import consensus_key, spare_key
from aitbc_sim.host import Host
from aitbc_sim.names import peer_of
from aitbc_sim.nodes import Process
from aitbc_sim.options import Options
from aitbc_sim.testing import FakeSigner

BRANCHES = 30
"""A node has at most 50 links: a validator of 16 has 15 to the others."""


def cast(host: Host[Process], genesis: Genesis, dice: random.Random) -> list[Process]:
    """Make all nodes of a run, none of them running."""
    options = host.options
    plot = Plot(_sides(options))
    holders = _holders(options)
    behaviours = dict(options.byzantine)
    nodes = []
    for index, (signer, validator) in enumerate(holders):
        kind = behaviours.get(validator)
        clock = WallClock(
            skew_ms=dice.randint(-options.wall_skew_ms, options.wall_skew_ms),
            drift_ppm=dice.randint(-options.wall_drift_ppm, options.wall_drift_ppm),
        )
        process = Process(
            host,
            index,
            genesis=genesis,
            config=_config(options, index, count=len(holders), votes=signer is not None),
            signer=signer,
            dice=dice,
            clock=clock,
            liar=Tongue(kind, signer, plot, dice) if kind and signer else None,
        )
        if options.upgrades:  # some builds are new before the rules are
            process.knows += dice.randrange(2)
        nodes.append(process)
    return nodes


def _holders(options: Options) -> list[tuple[FakeSigner | None, int]]:
    """List what each node votes with, and which validator of the genesis it is; -1 is none."""
    founders = [(consensus_key(index), index) for index in range(len(options.powers))]
    twins = [founders[index] for index, kind in options.byzantine if kind == "twin"]
    full = [(None, -1)] * options.full_nodes
    return [*founders, *full, *((spare_key(i), -1) for i in range(options.spares)), *twins]


def _config(options: Options, index: int, *, count: int, votes: bool) -> MachineConfig:
    return MachineConfig(
        role="validator" if votes else "full",
        block_interval_ms=options.interval_ms,
        timeouts=Timeouts(
            propose_ms=options.timeout_ms,
            vote_ms=options.timeout_ms,
            delta_ms=options.timeout_ms // 2,
            cap_ms=4 * options.timeout_ms,
        ),
        snapshot_blocks=options.state_every,
        snapshot_distance=options.state_distance,
        bootstrap=tuple(
            (peer_of(other), f"node{other}:8600")
            for other in _known(options, index, count=count)
            if other != index
        ),
    )


def _known(options: Options, index: int, *, count: int) -> Sequence[int]:
    """List whom a node can dial: everybody, or in a large mesh those above it in a tree.

    Shape: with one uplink each validator has up to `BRANCHES` full nodes below it, and so have
    these; a second uplink leads elsewhere in the same row.
    """
    validators = len(options.powers)
    if not options.uplinks:
        return range(count)
    if index < validators:
        return range(validators)
    place = index - validators
    first_row = validators * BRANCHES
    above = range(validators) if place < first_row else range(validators, validators + first_row)
    return [above[(place + 7 * uplink) % len(above)] for uplink in range(options.uplinks)]


def _sides(options: Options) -> dict[bytes, int]:
    """Divide the honest nodes in two halves, each of which is told something else by liars."""
    count = len(options.powers) + options.full_nodes
    honest = [index for index in range(count) if index not in options.liars]
    return {peer_of(index): place % 2 for place, index in enumerate(honest)}
