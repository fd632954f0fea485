"""Who says which data a build reads, when the host that is asked first says nothing?"""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.remote import Row

pytestmark = pytest.mark.unit

BUILD = {"data_versions": [1, 2], "app_version": 4}


class Builds:
    """Stand in for hosts on which one build lies; those in `mute` cannot make it tell."""

    def __init__(self, mute: set[str]) -> None:
        self.mute = mute
        self.asked: list[tuple[str, str]] = []

    def step(
        self, step: str, params: Mapping[str, Mapping[str, Any]], *, deadline_s: float
    ) -> dict[str, Row]:
        """Answer for every host that is asked."""
        assert deadline_s > 25, "a build has that long to tell, and is then mute"
        rows = {}
        for host, each in params.items():
            commits = each["asked"] if step == "intact" else each["commits"]
            told = {commit: {} if host in self.mute else BUILD for commit in commits}
            self.asked += [(step, host)] if commits else []
            rows[host] = Row(host, ok=True, answer={"versions": told}, took_ms=0)
        return rows


def ask(mute: set[str]) -> tuple[Builds, dict[str, Mapping[str, Any]]]:
    """Let a return of every node be judged."""
    environment = Inventory.load("staging")
    builds = Builds(mute)
    places = {each.name: ("c0ffee", "1") for each in environment.instances}
    crew = Crew(environment, cast("Any", builds))
    return builds, crew.intact(places, verb="rollback", versions=True)


def test_one_host_tells_for_all() -> None:
    """Where nothing was edited the build is the same everywhere: one is asked, once."""
    environment = Inventory.load("staging")

    builds, told = ask(set())

    assert builds.asked == [("intact", environment.hosts[0].name)]
    assert told == {each.name: BUILD for each in environment.instances}


def test_where_the_first_host_says_nothing_the_others_are_asked() -> None:
    """A process that is late on one host leaves no node unjudged."""
    environment = Inventory.load("staging")
    first = environment.hosts[0].name
    assert len(environment.hosts) > 1

    builds, told = ask({first})

    assert builds.asked[1:] == [("versions", each.name) for each in environment.hosts]
    assert told == {each.name: BUILD for each in environment.instances}


def test_a_build_that_tells_nowhere_is_mute() -> None:
    """A build without that command: nothing is made up for it, and nobody is refused by it."""
    environment = Inventory.load("staging")

    _builds, told = ask({each.name for each in environment.hosts})

    assert told == {each.name: {} for each in environment.instances}
