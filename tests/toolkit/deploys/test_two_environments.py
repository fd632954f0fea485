"""Two environments on one machine: side by side, and one ends without the other noticing."""

import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from socket import socket
from typing import Any

import pytest

from aitbc_toolkit.errors import AitbcError, Exit
from aitbc_toolkit.release import meshing, state

pytestmark = pytest.mark.integration

Build = Callable[..., Any]
PORT = re.compile(r"(?<= = )\d{4,5}(?=[, ])")


def other_ports(text: str) -> dict[str, str]:
    """Map every port of an inventory to one that nobody has."""
    with ExitStack() as held:
        found = {}
        for port in set(PORT.findall(text)):
            other = held.enter_context(socket())
            other.bind(("127.0.0.1", 0))
            found[f" = {port}"] = f" = {other.getsockname()[1]}"
        return found


def test_a_copy_that_shares_is_refused_before_any_host(a_project: Build) -> None:
    """`beta` copied from `dev` as it is would take its keys: nothing is made for it."""
    project = a_project(rollout="all")
    beta = project.copy_environment("beta", changes={})

    with pytest.raises(AitbcError, match="it would share with another environment") as refused:
        project.deploy("beta")

    assert refused.value.exit_status is Exit.REFUSED
    assert not Path(beta.hosts[0].layout.base).exists()


@pytest.mark.proves("E72")
def test_two_environments_run_beside_each_other(a_project: Build) -> None:
    """Both are deployed to this machine; the end of one is nothing to the other."""
    project = a_project(rollout="all")
    text = (project.root / "inventories/dev/inventory.toml").read_text()
    changes = {**other_ports(text), "[instances.v": "[instances.b", ".aitbc/dev": ".aitbc/beta"}
    beta = project.copy_environment("beta", changes=changes)

    done = [project.deploy("dev"), project.deploy("beta")]

    assert [each.exit for each in done] == [Exit.OK, Exit.OK], [each.error for each in done]
    dev_now, beta_now = state.look(project.environment), state.look(beta)
    assert (dev_now.votes, beta_now.votes) == (4, 4)
    keys = {
        str(each.paths.keys) for name in ("dev", "beta") for each in project.load(name).instances
    }
    assert len(keys) == 8
    assert all(any(Path(folder).iterdir()) for folder in keys)

    meshing.down(project.environment, project.records.append, wipe=True)

    assert state.look(project.environment).votes == 0
    assert state.look(beta).votes == 4
