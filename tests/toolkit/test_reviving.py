"""When may a node whose host was lost sign again? Never where it might have signed before."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import pytest
from pretend_nodes import a_block, a_status

from aitbc_node.rpc import schema
from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.release import configuring, reviving
from aitbc_toolkit.release.reviving import Revival
from aitbc_toolkit.release.rolling import Run

NAMES = ("v1", "v2", "v3", "v4")


class FakeMesh:
    """Be four validators of power 1, some silent, and a chain that some of them sign."""

    def __init__(
        self,
        environment: Environment,
        *,
        heights: Sequence[int],
        signers: Collection[str] = (),
        since: Mapping[str, int] = MappingProxyType({}),
        until: int = 1_000_000,
    ) -> None:
        self.environment = environment
        self._heights = dict(zip(NAMES, heights, strict=True))
        self._signers = lambda height: [
            name for name in signers if height >= since.get(name, 0) and height <= until
        ]

    def statuses(self) -> dict[str, schema.Status | None]:
        found: dict[str, schema.Status | None] = {
            name: a_status(name, height) if height else None
            for name, height in self._heights.items()
        }
        self._heights = {name: height and height + 1 for name, height in self._heights.items()}
        return found

    def ask_each(self, names: Sequence[str], *_asked: object) -> dict[str, schema.Validators]:
        shown = {"address": "", "priority": None, "status": "active", "proposer": False}
        rows = [schema.ValidatorView(key=name, power=1, **cast("Any", shown)) for name in NAMES]
        return dict.fromkeys(names, schema.Validators(height=1, total_power=4, validators=rows))

    def blocks(self, first: int, last: int) -> list[schema.BlockView]:
        heights = range(first, last + 1)
        return [a_block(height, signers=self._signers(height - 1)) for height in heights]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Give an environment whose keys are known by the names of their nodes."""
    found = Inventory.load("staging", state=tmp_path)
    found.folder.mkdir(parents=True)
    configuring.remember(found, {name: {"consensus_key": name} for name in NAMES})
    return found


def a_run(environment: Environment, **mesh: Any) -> tuple[Run, list[int]]:
    """Build a run that reads a fake mesh, and keeps from which height on signing began."""
    began: list[int] = []

    def begin(_names: object, _commit: str, *, not_before: int) -> None:
        began.append(not_before)

    run = SimpleNamespace(
        environment=environment,
        mesh=FakeMesh(environment, **mesh),
        crew=SimpleNamespace(begin_signing=begin),
        tell=lambda _record: None,
    )
    return cast("Run", run), began


def test_it_signs_from_three_above_the_tip_that_two_thirds_tell(environment: Environment) -> None:
    """One of the silent may have decided one height more, and voted for the one after that."""
    run, began = a_run(environment, heights=(100, 0, 98, 103), signers=("v1", "v3", "v4"))

    reviving.begin_signing(run, Revival(("v2",), tip=100), "c0ffee")

    (height,) = began
    assert height >= 103 + reviving.ABOVE_TIP
    assert reviving.ABOVE_TIP == 3


def test_with_two_thirds_or_less_nothing_is_known_and_nothing_begins(
    environment: Environment,
) -> None:
    """Two of four answer: one of the silent may be ahead of both by any number of heights."""
    run, began = a_run(environment, heights=(100, 0, 0, 100))

    with pytest.raises(AitbcError, match="v1 v4 = 2 of 4 answer") as refused:
        reviving.begin_signing(run, Revival(("v2",), tip=90), "c0ffee")

    assert refused.value.exit_status is Exit.REFUSED
    assert began == []


def test_a_key_that_still_signs_is_never_started_a_second_time(environment: Environment) -> None:
    """The host was not lost but cut off: its signatures are in new blocks, so it is refused."""
    run, began = a_run(environment, heights=(100, 0, 100, 100), signers=NAMES)

    with pytest.raises(AitbcError, match=r"v2 has signed for height \d+: its key runs somewhere"):
        reviving.begin_signing(run, Revival(("v2",), tip=100), "c0ffee")

    assert began == []


def test_a_twin_that_is_slow_to_sign_is_seen_within_a_rotation(environment: Environment) -> None:
    """Three of four make a block without it: not being in one of them says little."""
    run, began = a_run(
        environment, heights=(100, 0, 100, 100), signers=NAMES, since={"v2": 100 + 3 + 3}
    )

    with pytest.raises(AitbcError, match=r"v2 has signed for height \d+: its key runs somewhere"):
        reviving.begin_signing(run, Revival(("v2",), tip=100), "c0ffee")

    assert began == []


def test_a_vote_that_was_under_way_when_it_died_is_no_twin(environment: Environment) -> None:
    """At the tip that most told it may have decided one height more, and voted for the next."""
    run, began = a_run(environment, heights=(100, 0, 100, 100), signers=NAMES, until=102)

    reviving.begin_signing(run, Revival(("v2",), tip=100), "c0ffee")

    assert len(began) == 1
