"""The dead-man's switch on real hosts: the controller dies, or is cut off, behind a switch."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bad_releases
import pytest
from lab_mesh import LabMesh, deployed

from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import arming, gates, state, watching
from aitbc_toolkit.release.reading import Mesh, Pace

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

# What a reverting host may take on top of the switch's own time.
REVERT_S = 5.0
# Two failed rounds; more than that is a mesh that has stopped.
GAP_MS_MAX = 8_000


class Hosts(LabMesh):
    """Four hosts whose nodes are watched while nobody leads a run any more."""

    def runs(self) -> dict[str, str]:
        """Ask every host which release its node runs, whatever its RPC says."""
        rows = state.look(self.environment).nodes
        return {row.name: row.release for row in rows}

    def votes(self) -> int:
        return state.look(self.environment).votes

    def pace(self, first: int) -> Pace:
        with Mesh(self.environment) as mesh:
            found = mesh.pace(first, self.height())
        assert found is not None
        return found

    def after_s(self) -> float:
        """Work out what a wave of this environment is armed with."""
        with Mesh(self.environment) as mesh:
            proof_s = watching.watchdog(mesh).patience_s
        gate_s = gates.patience(self.environment, live=True).deadline_s
        after_s = arming.after_s(gate_s, proof_s=proof_s)
        guard = arming.guard(
            self.environment, (), {}, after_s=after_s, drains=True, app_version=None
        )
        return guard.after_s

    @contextmanager
    def controller(self, ref: str) -> Iterator["subprocess.Popen[str]"]:
        """Run a deploy elsewhere; whatever is left of it is ended with the block."""
        script = str(Path(__file__).with_name("deploy_runner.py"))
        words = [self.environment.name, str(self.places.state), str(self.checkout), ref]
        child = subprocess.Popen(
            [sys.executable, script, *words], stdout=subprocess.PIPE, text=True, process_group=0
        )
        try:
            yield child
        finally:
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Give the tests of this file one mesh: each leaves it as whole as it was."""
    with deployed(tmp_path_factory, "b", Hosts) as made:
        yield made


def await_gate(child: "subprocess.Popen[str]", wave: int) -> None:
    """Read what a deploy says until a wave is switched and restarted, and stands at its gate."""
    assert child.stdout is not None
    records = map(json.loads, child.stdout)
    for record in records:
        if record.get("place", "").startswith(f"wave {wave}/"):
            break
    if not any(record["type"] == "gate" for record in records):
        pytest.fail(f"the deploy ended before the gate of wave {wave}")


def test_check_11_a_controller_that_dies_leaves_nothing_unproved(
    hosts: Hosts, eventually: Callable[..., None]
) -> None:
    """SIGKILL after the restart with a release that does not vote: the host takes it back."""
    good, height = hosts.runs(), hosts.height()
    bad = bad_releases.commit(hosts.checkout, "answers but does not vote")
    within_s = hosts.after_s() + REVERT_S

    with hosts.controller(bad) as child:
        await_gate(child, 1)
        os.killpg(child.pid, signal.SIGKILL)
        assert bad in hosts.runs().values()
        eventually("the host to revert", lambda: hosts.runs() == good, deadline_s=within_s)
    eventually("all to vote", lambda: hosts.votes() == 4, deadline_s=30)

    assert hosts.pace(height).longest_gap_ms <= GAP_MS_MAX


@contextmanager
def cut_off(environment: Environment) -> Iterator[None]:
    """Let nothing of this machine reach the hosts; they reach each other all the same."""
    table = f"aitbc_test_{os.getpid()}"
    rules = "".join(f"ip daddr {host.address} drop; " for host in environment.hosts)
    chain = f"chain out {{ type filter hook output priority 0; {rules}}}"
    subprocess.run(
        ["nft", "-f", "-"], input=f"table inet {table} {{ {chain}; }}\n", text=True, check=True
    )
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "inet", table], check=True)


def test_check_11_a_controller_that_is_cut_off_in_wave_2_costs_one_wave(
    hosts: Hosts, eventually: Callable[..., None]
) -> None:
    """Wave 1 was proved and stays, wave 2 goes back by itself, and the chain never stalls."""
    good, height = hosts.runs(), hosts.height()
    new = bad_releases.commit(hosts.checkout, "unsigned")
    within_s = hosts.after_s() + REVERT_S

    with hosts.controller(new) as child:
        await_gate(child, 2)
        with cut_off(hosts.environment):
            until = time.monotonic() + within_s
            eventually("its time", lambda: time.monotonic() > until, deadline_s=within_s + 5)

    after = hosts.runs()
    assert list(after.values()).count(new) == 1, after
    assert [name for name in good if after[name] not in {new, good[name]}] == []
    assert hosts.pace(height).longest_gap_ms <= GAP_MS_MAX
