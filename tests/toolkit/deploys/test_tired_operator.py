"""A tired operator cannot hurt the mesh: what would stop it is refused, and says the sum.

The commands are found in their tree: a new one has to be put into one of the sets below.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from command_tree import COMMANDS

from aitbc_toolkit import paths
from aitbc_toolkit.cli import main
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.release import backup

pytestmark = pytest.mark.integration

# Each way in which a command takes nodes away, as it is typed.
TAKES_NODES_AWAY = (
    "deploy dev",
    "deploy dev --only v1 --on-failure continue",
    "keys rotate v1 -e dev",
    "keys rotate v1 --node-key -e dev",
    "node restart v1 -e dev",
    "node stop v1 -e dev",
    "restore v1 -e dev",
    "rollback dev",
    "up dev",
)
# Asked for by the name of the whole: there is no power to keep, and nobody does it by accident.
ENDS_THE_WHOLE = {"down", "lab destroy", "lab down"}
# The operator's own words on a host, and nodes that a measurement makes for itself.
SOMEBODY_ELSES = {
    "benchmark all",
    "benchmark deploy",
    "benchmark throughput",
    "lab exec",
    "lab shell",
}
# Takes nodes away on purpose, never more power than its cap: `test_faults.py` shows the refusal.
BREAKS_ON_PURPOSE = {"chaos run"}
# Changes who votes from the next epoch on: refused with the sum by those who vote now, as
# `test_cli_validator.py` shows for each.
CHANGES_WHO_VOTES = {
    "validator add",
    "validator leave",
    "validator register",
    "validator remove",
    "validator unstake",
}
# Changes something, but stops no process of a node: files, records, rights, one more host, and what
# the ledger itself holds below a third of the power in one epoch.
KEEPS_NODES_RUNNING = {
    "account new",
    "account policy",
    "approve",
    "asset burn",
    "asset define",
    "asset mint",
    "endpoint publish",
    "endpoint withdraw",
    "message ask",
    "message publish",
    "audit anchor",
    "backup",
    "bootstrap",
    "chaos heal",
    "config import",
    "config set",
    "drift",
    "economics claim",
    "economics stake",
    "economics unstake",
    "env switch",
    "genesis build",
    "grant add",
    "grant revoke",
    "keys backup",
    "keys new",
    "keys revoke",
    "lab up",
    "load baseline judge",
    "load baseline keep",
    "load compare",
    "load knee",
    "load master",
    "load run",
    "load worker",
    "locks update",
    "network recover",
    "node start",
    "proposal submit",
    "proposal vote",
    "release cut",
    "release finalize",
    "repos sync",
    "trust add rule",
    "trust add signer",
    "trust remove",
    "tx send",
    "tx submit",
    "validator return",
    "validator rotate",
    "validator set",
    "validator slash",
    "validator stake",
    "validator unjail",
    "validator announce",
}
READS = {
    "benchmark generator",
    "benchmark ledger",
    "benchmark performance",
    "account show",
    "alerts list",
    "alerts rules",
    "alerts show",
    "alerts test",
    "alerts watch",
    "approvals",
    "asset show",
    "audit show",
    "audit verify",
    "chaos kinds",
    "chaos plan",
    "chaos status",
    "config export",
    "config get",
    "config view",
    "diagnose consensus",
    "diagnose network",
    "economics gas-price",
    "economics rewards",
    "economics stakes",
    "economics stats",
    "endpoint resolve",
    "message watch",
    "env list",
    "env show",
    "genesis check",
    "grant list",
    "history",
    "hooks",
    "keys show",
    "lab list",
    "load baseline list",
    "load list",
    "load status",
    "locks check",
    "network health",
    "network partition",
    "network peers",
    "network topology",
    "network status",
    "node list",
    "node logs",
    "node metrics",
    "node status",
    "phases",
    "plan",
    "preflight",
    "proposal list",
    "proposal show",
    "release show",
    "release verify",
    "report list",
    "report open",
    "report show",
    "sim replay",
    "sim run",
    "sim shrink",
    "sim sweep",
    "status",
    "test",
    "trace",
    "trust list",
    "trust verify",
    "tx show",
    "tx wait",
    "validate",
    "validator list",
    "validator rewards",
    "validator show",
}
KEPT = [
    ENDS_THE_WHOLE,
    SOMEBODY_ELSES,
    BREAKS_ON_PURPOSE,
    CHANGES_WHO_VOTES,
    KEEPS_NODES_RUNNING,
    READS,
]

Build = Callable[..., Any]


def command_of(line: str) -> str:
    """Find the command that a line begins with."""
    return next(name for path in COMMANDS if f"{line} ".startswith(f"{(name := ' '.join(path))} "))


def test_every_command_is_known_by_what_it_does_to_voting_power() -> None:
    """A new one fails here until somebody has said, and shown, what it takes away."""
    guarded = {command_of(line) for line in TAKES_NODES_AWAY}
    known = [*guarded, *(name for group in KEPT for name in group)]

    assert sorted(known) == sorted(" ".join(path) for path in COMMANDS)


def run(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Type a command; return its status and what it said."""
    status = main.run(line.split())
    shown = capsys.readouterr()
    return status, shown.out + shown.err


def processes(project: Any) -> Mapping[str, int]:
    """Tell the process of each node."""
    return {name: told["pid"] for name, told in project.services().items()}


def keep_a_backup(project: Any) -> None:
    """Write a backup of v1; only its hash is looked at before the guard."""
    folder = backup.folder_of(project.environment) / "20260101T000000Z"
    folder.mkdir(parents=True)
    (folder / "v1.tar.gz").write_bytes(b"data")
    known = {"file": "v1.tar.gz", "sha256": hashlib.sha256(b"data").hexdigest()}
    (folder / backup.INDEX).write_text(json.dumps({"archives": {"v1": known}}))


@pytest.fixture
def project(a_project: Build, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a mesh that the command line finds, with a release to go back to."""
    found = a_project()
    monkeypatch.setattr(paths, "inventories", lambda: found.root / "inventories")
    monkeypatch.setattr(paths, "state_root", lambda *_override: found.root / "state")
    monkeypatch.delenv("AITBC_ENV", raising=False)
    assert found.deploy().exit is Exit.OK
    found.commit("ok", "a second build")
    assert found.deploy(gated=False, compared=False).exit is Exit.OK
    keep_a_backup(found)
    return found


def test_power_that_the_mesh_needs_is_taken_away_by_no_command(
    project: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stake has gathered at v1 since the genesis: all four vote, and yet v1 cannot be spared.

    Status 20, the sum, and every process still there; others go, and who means it may use force.
    """
    project.move_power({"v1": 5, "v2": 1, "v3": 1, "v4": 1})
    before = processes(project)

    for line in TAKES_NODES_AWAY:
        status, said = run(line, capsys)

        assert status == Exit.REFUSED, f"{line}: {status}\n{said}"
        assert "total 8, quorum is more than 2/3: at least 6 (told by v" in said, f"{line}:\n{said}"
        assert "3*3 = 9 <= 2*8 = 16" in said, f"{line}:\n{said}"
        assert "nothing, on no host" in said, f"{line}:\n{said}"
        assert processes(project) == before, line
    spared = run("node stop v2 -e dev", capsys)
    halted = run("node stop v1 -e dev --force", capsys)
    what = "the mesh has no quorum now: it makes no blocks"
    assert (spared[0], what in spared[1]) == (Exit.OK, False)
    assert (halted[0], what in halted[1]) == (Exit.OK, True)
    assert not project.services()["v1"]["active"]
