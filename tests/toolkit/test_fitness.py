"""What the last two gates of a deploy ask of a live mesh."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from pretend_nodes import a_status

from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import fitness
from aitbc_toolkit.release.reading import Mesh

pytestmark = pytest.mark.unit

NAMES = ("v1", "v2", "v3", "v4")


def a_mesh(*, down: str = "", money: bool | None = True, lonely: str = "") -> Mesh:
    """Build a mesh at height 100; `money` is what every node finds of it, None for no answer."""
    statuses = {name: None if name == down else a_status(name, 100) for name in NAMES}
    if lonely:
        statuses[lonely] = cast("Any", SimpleNamespace(**_fields(lonely), peers=0))

    def ask(instance: Any, route: str, _shape: object) -> Any:
        if route != "/economics" or money is None or instance.name == down:
            return None
        return SimpleNamespace(conserved=money or instance.name != "v3", height=100)

    made = SimpleNamespace(
        environment=Inventory.load("staging"),
        statuses=lambda: statuses,
        ask=ask,
        ask_each=lambda names, *_asked: dict.fromkeys(names),
    )
    return cast("Mesh", made)


def _fields(name: str) -> dict[str, Any]:
    told = a_status(name, 100)
    return {field: getattr(told, field) for field in told.__struct_fields__ if field != "peers"}


def states(checks: list[Any]) -> dict[str, str]:
    """Write checks as their items and states."""
    return {f"{each.item} {each.host}".strip(): each.state for each in checks}


def test_money_that_one_node_finds_made_or_lost_closes_the_gate() -> None:
    """Every node is asked; the one that finds it is named."""
    found = states(fitness.economics(a_mesh(money=False)))

    assert found == {
        "conservation v1": "pass",
        "conservation v2": "pass",
        "conservation v3": "fail",
        "conservation v4": "pass",
    }


def test_economics_that_nobody_tells_of_are_not_available() -> None:
    """An older release has no such answer; that is never called passed."""
    assert states(fitness.economics(a_mesh(money=None))) == {"economics": "n.a."}


def test_a_node_without_peers_or_a_mesh_without_quorum_closes_the_gate() -> None:
    """A node that is not needed may be down while the others have a quorum."""
    assert states(fitness.peers_and_finality(a_mesh())) == {"peers": "pass", "finality": "pass"}
    assert states(fitness.peers_and_finality(a_mesh(lonely="v2")))["peers"] == "fail"
    assert states(fitness.peers_and_finality(a_mesh(down="v2")))["peers"] == "fail"
    needed = fitness.peers_and_finality(a_mesh(down="v2"), needed=("v1", "v3", "v4"))
    assert states(needed) == {"peers": "pass", "finality": "pass"}
