"""Strangers mean harm to real nodes: they are thrown out, they pay, and the others go on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from local_mesh import Mesh, local_mesh
from rogue_sockets import WAYS
from under_attack import Watch, attacker, memory_mib

Eventually = Callable[..., None]
Record = Callable[[str, object], None]

WINDOW_S = 10.0
ROUNDS = range(3, 15)
MORE_MIB_MAX = 128
INTERVAL_MS = 250


@contextmanager
def counting_mesh(folder: Path, eventually: Eventually, interval_ms: int) -> Iterator[Mesh]:
    """Have a mesh that counts by source on this machine, too, as it does everywhere else."""
    with local_mesh(folder, eventually, start=False) as mesh:
        for node in mesh.nodes:
            nobody = 'free_networks = ["::1/128"]'
            node.write_config(mesh.nodes, more=nobody, interval_ms=interval_ms)
        mesh.start()
        mesh.until_heights(mesh.nodes, 3)
        yield mesh


def test_a_forger_is_banned_and_still_is_when_the_node_comes_back(
    tmp_path: Path, eventually: Eventually
) -> None:
    """The one false signature is enough; the restart is no amnesty; the others make blocks.

    Meanwhile another node has all other kinds of harm done to it at once: who sends junk is banned
    there, who says nothing is hung up on, and its memory is bounded.
    """
    with counting_mesh(tmp_path, eventually, 100) as mesh:
        victim, other = mesh.nodes[:2]
        before_mib = memory_mib(other)
        with attacker(victim, "forge") as rogue, attacker(other, "all") as crowd:
            crowd.switch(on=True)
            rogue.switch(on=True)
            eventually("a link", lambda: rogue.said("up"), deadline_s=90)
            eventually("a ban", lambda: rogue.said("banned here"), deadline_s=90)
            kept = victim.folder / "data" / "bans"
            eventually("the ban on disk", kept.exists, deadline_s=60)

            assert victim.stop() == 0
            before = len(rogue.lines)
            victim.start()
            eventually(
                "the next refusal",
                lambda: rogue.said("banned here", after=before),
                deadline_s=60,
            )

            assert not rogue.said("up", after=before)
            mesh.grow(mesh.nodes, 3)
            for what in ("banned here", "hung up on"):
                eventually(what, lambda what=what: crowd.said(what), deadline_s=90)
            figures = crowd.end()
        more_mib = memory_mib(other, "VmHWM") - before_mib

    print(figures, f"{more_mib:.0f} MiB more")  # noqa: T201 - measured
    assert more_mib < MORE_MIB_MAX


LEAST: dict[str, tuple[dict[str, int], Sequence[str]]] = {
    "junk": ({"frames": 1, "bans": 1}, ["banned here"]),
    "pings": ({"frames": 100_000, "bans": 1}, ["banned here"]),
    "keys": ({"keys": 1_000, "linked": 1}, ["its network"]),
    "half-open": ({"half open": 10_000}, ["hung up on"]),
    "slow": ({}, [f"cut: {way}" for way in (*WAYS, "peer")]),
}
"""What each kind of attack has to come to, and what is to become of it."""
WHOLE_ROW = pytest.param("junk", marks=pytest.mark.proves("E19"))


@pytest.mark.nightly
@pytest.mark.parametrize("kind", [WHOLE_ROW, "pings", "keys", "half-open", "slow"])
def test_an_attack_is_borne(
    tmp_path: Path,
    eventually: Eventually,
    record_property: Record,
    kind: str,
) -> None:
    """Blocks come less than half later, clients wait less than twice as long, memory is bounded.

    5,000 frames a second, of nonsense or of pings, from one address; 1,000 new keys from one
    network; 10,000 connections that say nothing; and slow readers and writers of all kinds.
    """
    least, lines = LEAST[kind]
    with counting_mesh(tmp_path, eventually, INTERVAL_MS) as mesh:
        victim = mesh.nodes[0]
        watch = Watch(mesh, victim)
        before_mib = memory_mib(victim)
        with attacker(victim, kind) as rogue:
            watch.take_turns(rogue, WINDOW_S, rounds=ROUNDS)
            rogue.switch(on=True)
            for line in lines:
                eventually(line, lambda line=line: rogue.said(line), deadline_s=120)
            figures = rogue.end()
        more_mib = memory_mib(victim, "VmHWM") - before_mib
        mesh.grow(mesh.nodes, 3)
        mesh.common_root(mesh.nodes)

    told = {**watch.told(), **figures, "more_mib": round(more_mib)}
    print(kind, told)  # noqa: T201 - measured
    for name, value in told.items():
        record_property(name, value)
    assert all(figures[what] >= count for what, count in least.items()), figures
    assert more_mib < MORE_MIB_MAX
    assert watch.is_borne, told
