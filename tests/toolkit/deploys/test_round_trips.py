"""How often a run asks its hosts: each round trip starts Python on every one of them."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from aitbc_toolkit import remote
from aitbc_toolkit.errors import Exit

pytestmark = pytest.mark.integration

Build = Callable[..., Any]
GOES_IN = ["lease"]
GOES_OUT = ["lease-release"]
FOUR_WAVES = ["switch", "disarm"] * 4
ENDS = ["observe", "record"]  # what runs at the end is compared with what was asked for


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Give what hosts were asked since the last time; what nobody was asked does not count.

    Nor do renewals of the lease: time asks for them, on a machine where the run takes long.
    """
    seen: list[str] = []
    step = remote.Hosts.step

    def counted(self: Any, name: str, params: Mapping[str, Any], **more: Any) -> Any:
        seen.extend([name] if params and name != "lease-renew" else [])
        return step(self, name, params, **more)

    def taken() -> list[str]:
        now, seen[:] = list(seen), []
        return now

    monkeypatch.setattr(remote.Hosts, "step", counted)
    return taken


def test_no_run_asks_its_hosts_more_often_than_it_must(
    a_project: Build, asked: Callable[[], list[str]]
) -> None:
    """One for nothing to do; for a change without gates more, of which two for each wave."""
    project = a_project()
    assert project.deploy().exit is Exit.OK
    asked()

    again = project.deploy()
    nothing = asked()
    project.commit("ok", "another build")
    new = project.deploy(gated=False, compared=False)
    forth = asked()
    old = project.rollback(gated=False)
    back = asked()

    assert [each.exit for each in (again, new, old)] == [Exit.OK] * 3
    assert nothing == GOES_IN
    assert forth == [*GOES_IN, "stage", "announce", *FOUR_WAVES, *ENDS, *GOES_OUT]
    assert back == [*GOES_IN, "intact", "announce", *FOUR_WAVES, *ENDS, *GOES_OUT]
