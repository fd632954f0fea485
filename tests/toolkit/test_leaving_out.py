"""May a rollback go without hosts that do not answer? Judged before anything is switched."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release import rollback
from aitbc_toolkit.release.powers import Powers
from aitbc_toolkit.release.waves import Seen

TEN = Powers({"v1": 4, "v2": 3, "v3": 2, "v4": 1}, total=10, told_by="v1")
NAMES = frozenset(TEN.of)


def without_v2(*, voting: frozenset[str], active: frozenset[str] = NAMES) -> set[str]:
    """Ask with the host of v2 gone, where every node has a host of its own."""
    found = Inventory.load("staging")
    instances = tuple(replace(each, host=each.name) for each in found.instances)
    environment = replace(found, instances=instances)
    crew = SimpleNamespace(absent={"v2": "unreachable"})
    run = cast("Any", SimpleNamespace(environment=environment, crew=crew))
    return set(rollback._left_out(run, Seen(active, voting, 100, TEN)))


def test_a_node_that_runs_and_does_not_vote_is_not_counted_on() -> None:
    """Refused at the start and not in the middle: without v2 the mesh would hang on v4."""
    assert without_v2(voting=NAMES) == {"v2"}

    with pytest.raises(AitbcError, match="too much voting power does not answer") as refused:
        without_v2(voting=NAMES - {"v4"})

    assert refused.value.exit_status is Exit.REFUSED


def test_a_node_that_is_down_comes_first_and_counts() -> None:
    """It votes again before the next one is touched."""
    assert without_v2(voting=NAMES - {"v4"}, active=NAMES - {"v4"}) == {"v2"}


def test_without_a_quorum_the_way_back_is_not_refused() -> None:
    """Nobody votes, for the release is bad: those that are left may by the one before."""
    assert without_v2(voting=frozenset()) == {"v2"}
