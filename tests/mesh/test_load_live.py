"""A swarm against four real node processes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from driven_mesh import environment_of
from local_mesh import local_mesh

from aitbc_toolkit.suites import loads, repertoire, stepping
from aitbc_toolkit.suites.knee import Bounds
from aitbc_toolkit.suites.swarm import Document
from aitbc_toolkit.suites.verdicts import Verdict

pytestmark = [pytest.mark.mesh, pytest.mark.nightly]

_MACHINE = {Verdict.PASS, Verdict.INVALID, Verdict.OBJECTIVE}
"""How soon the swarm and the mesh were says this machine, too; the books say the code."""


def play(
    eventually: Callable[..., None], folder: Path, name: str, *, faster: float, longer: float
) -> tuple[loads.Played, list[Document]]:
    """Run one swarm on a mesh of its own."""
    seconds: list[Document] = []

    def tell(what: str, told: Document) -> None:
        if what == "second":
            seconds.append(told)

    with local_mesh(folder, eventually) as mesh:
        mesh.until_heights(mesh.nodes, 2)
        found = environment_of(mesh, folder / "state")
        record = folder / "run"
        record.mkdir()
        written = repertoire.case(name).written
        asked = loads.wanted(written, seed=5, faster=faster, longer=longer)
        return loads.play(found, asked, record, tell=tell), seconds


def balance(books: Document) -> int:
    """Return what the columns do not explain."""
    ends = ("final", "rejected", "expired", "pending")
    return int(books["sent"] - sum(books[name] for name in ends))


def test_all_that_a_swarm_sends_is_final(tmp_path: Path, eventually: Callable[..., None]) -> None:
    """Sixty transfers over all nodes: each final, every check held, and the record is whole."""
    played, seconds = play(eventually, tmp_path, "load/steady", faster=30.0, longer=2.0)

    told = json.loads((tmp_path / "run" / "result.json").read_text())
    assert told["books"]["sent"] == told["books"]["final"] == 60, told["books"]
    assert balance(told["books"]) == 0
    assert {row["outcome"] for row in told["checks"]} == {"held"}, told["checks"]
    assert played.record.verdict in _MACHINE, told["why"]
    assert seconds
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert verdict["suite"] == "load/steady"
    assert "load run load/steady" in verdict["repro"]


@pytest.mark.parametrize(("name", "rate"), [("load/steady", 200.0), ("load/batches", 500.0)])
def test_books_balance_under_more_load(
    tmp_path: Path, eventually: Callable[..., None], name: str, rate: float
) -> None:
    """Half a minute, singly and in batches: nothing is lost, doubled or left open."""
    played, _ = play(eventually, tmp_path, name, faster=rate, longer=30.0)

    assert played.told is not None
    assert played.told["books"]["pending"] == balance(played.told["books"]) == 0
    assert {row["outcome"] for row in played.told["checks"]} == {"held"}
    assert played.record.verdict in _MACHINE, played.told["why"]


def test_the_knee_of_real_nodes_is_told_in_a_sentence(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Every step's books balance and its checks hold; how far it came says this machine, too."""
    with local_mesh(tmp_path, eventually) as mesh:
        mesh.until_heights(mesh.nodes, 2)
        found = environment_of(mesh, tmp_path / "state")
        record = tmp_path / "run"
        record.mkdir()
        bounds = Bounds(start=100.0, most=800.0)
        looked = stepping.look(found, bounds, record, seed=5, tell=lambda *_: None)

    assert looked.record.verdict in {Verdict.PASS, Verdict.INVALID}, looked.document
    assert looked.found.rate is not None, looked.document
    assert looked.document["sentence"].startswith("The knee ")
    results = sorted(record.glob("steps/*/result.json"))
    assert len(results) == len(looked.found.steps)
    for path in results:
        told = json.loads(path.read_text())
        assert balance(told["books"]) == 0, path
        assert {row["outcome"] for row in told["checks"]} == {"held"}, path


@pytest.mark.parametrize("name", ["load/hostile", "load/steady-mixed"])
def test_attackers_and_bots_get_what_is_theirs(
    tmp_path: Path, eventually: Callable[..., None], name: str
) -> None:
    """Six kinds of attackers get nothing through that they must not, and bots own what they own."""
    played, _ = play(eventually, tmp_path, name, faster=20.0, longer=12.0)

    told = played.told
    assert told is not None
    assert {row["outcome"] for row in told["checks"]} == {"held"}, told["checks"]
    assert told["books"]["pending"] == balance(told["books"]) == 0
    assert not any(row["breaches"] or row["failures"] for row in told["roles"]), told["roles"]
    assert told["roles"]
    assert all(row["sent"] for row in told["roles"]), told["roles"]
    assert played.record.verdict in _MACHINE, told["why"]
