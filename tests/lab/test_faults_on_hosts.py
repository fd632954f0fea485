"""Faults on seven real hosts: they bite, they end by themselves, and the hosts are as before."""

import time
from collections.abc import Iterator

import pytest
from breaking import Wait, is_whole, looks, orphaned
from lab_mesh import LabMesh, deployed

from aitbc_sim import edges as algebra
from aitbc_toolkit import faults
from aitbc_toolkit.faults import Fault, units
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.remote import Hosts

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

LEASE_S = 20.0
# What is promised: connected, and nothing left, so long after the end of the lease.
AFTER_S = 2.0
SSH_S = 1.0
TRIES = 3
# The kernels of our labs have no cgroups of version 2 inside a host.
LACKING = {"proc.freeze"}
# At the end of these a node is started, which takes its time.
STARTED = {"clock.jump", "proc.kill"}
OWN_RULES = "nft add table inet own; " + "; ".join(
    f"nft add chain inet own c{n}; nft add rule inet own c{n} tcp dport {n} accept"
    for n in range(1, 51)
)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabMesh]:
    """Give the tests of this file one mesh of seven; what they break is whole again after each."""
    with deployed(tmp_path_factory, "x", hosts=7) as made:
        yield made


@pytest.fixture
def environment(broken: LabMesh, eventually: Wait) -> Iterator[Environment]:
    """Give the mesh with every host as it should be; end what a failed test has left."""
    found = broken.environment
    yield found
    with Hosts(found) as remote:
        faults.heal(found, remote)
        eventually("a whole mesh", lambda: is_whole(looks(found, remote)))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("net.cut", ()),
        ("proc.stop", ("v2",)),
        ("disk.full", ("v3",)),
        ("cpu.quota", ("v4",)),
        ("clock.jump", ("v5",)),
        ("proc.kill", ("v6",)),
        ("net.rate", ("v7",)),
        ("net.delay", ("v1",)),
    ],
)
def test_a_fault_ends_though_its_injector_was_killed(
    environment: Environment, eventually: Wait, kind: str, words: tuple[str, ...]
) -> None:
    """SIGKILL three seconds in; two seconds after the lease all pairs connect, no trace is left.

    What ended a node, or gave it another clock, has it started at the end: that it runs again is
    waited for.
    """
    found = orphaned(environment, kind, *words, lease_s=LEASE_S, wait=eventually)
    with Hosts(environment) as remote:
        during = looks(environment, remote)
        assert found.age_s < LEASE_S, "the machine was too slow to look during the fault"
        assert any(answer["active"] for answer in during.values())
        if kind == "net.cut":
            assert all(all(answer["reached"].values()) for answer in during.values())
        eventually("the end of the lease", lambda: found.age_s >= LEASE_S + AFTER_S)

        after = looks(environment, remote)

        assert not any(answer["active"] for answer in after.values())
        if kind not in STARTED:
            assert is_whole(after), after
        eventually("a whole mesh", lambda: is_whole(looks(environment, remote)))
    print(f"{kind}: whole {found.age_s:.1f} s after its beginning")  # noqa: T201 - measured


def answer_s(broken: LabMesh, host: str) -> float:
    """Measure how long a host takes to be reached over SSH, and to run a command."""
    began = time.monotonic()
    broken.on(host, "true")
    return time.monotonic() - began


def test_ssh_answers_during_full_isolation_and_own_rules_stay(
    broken: LabMesh, environment: Environment
) -> None:
    """The controller is never cut off; fifty rules of the host's own are the same bytes after."""
    broken.on("lab1", "sh", "-ec", OWN_RULES)
    before = broken.on("lab1", "nft", "--stateless", "list", "ruleset")
    names = [each.name for each in environment.instances]
    fault = Fault(kind="net.cut", lease_s=3 * LEASE_S, edges=algebra.apart(names))

    with faults.injected(environment, fault) as told:
        # A busy machine only ever adds: of a few tries the quickest is the host's own.
        took_s = max(
            min(answer_s(broken, host.name) for _ in range(TRIES)) for host in environment.hosts
        )
    after = broken.on("lab1", "nft", "--stateless", "list", "ruleset")
    broken.on("lab1", "nft", "delete", "table", "inet", "own")

    assert before == after
    assert before.count("accept") >= 50
    assert took_s < SSH_S
    assert all(evidence["packets"] > 0 for evidence in told.evidence.values())


@pytest.mark.parametrize("kind", sorted(set(faults.KINDS) - LACKING))
def test_every_kind_bites_and_leaves_nothing(environment: Environment, kind: str) -> None:
    """Each host proves it, for a lease of no whole seconds; a heal before the end is as clean."""
    names = [each.name for each in environment.instances]
    edges = algebra.isolate("v1", names)
    fault = Fault(kind=kind, lease_s=120.7, targets=("v1",))
    if faults.KINDS[kind].hits == "links":
        fault = Fault(kind=kind, lease_s=120.7, edges=edges)

    with faults.injected(environment, fault) as told:
        assert told.bitten_at

    print(f"{kind}: {told.evidence}")  # noqa: T201 - measured
    assert "not measured" not in str(told.evidence)
    assert told.residue == {}


@pytest.mark.parametrize("kind", sorted(LACKING))
def test_what_this_kernel_lacks_is_refused_with_the_reason(
    environment: Environment, kind: str
) -> None:
    """Nothing was changed for it."""
    fault = Fault(kind=kind, lease_s=20, targets=("v1",))
    with Hosts(environment) as remote:
        found = faults.plan(environment, fault, remote)

    assert found.refusals, "this kernel has it: let the test of every kind cover it"
    assert all(each.strip() for each in found.refusals.values())


def test_faults_overlap_and_each_ends_alone(environment: Environment, eventually: Wait) -> None:
    """A node that stands still inside a cut: the cut heals first, then the node goes on."""
    names = [each.name for each in environment.instances]
    cut = Fault(kind="net.cut", lease_s=600, edges=algebra.isolate("v1", names))
    stop = Fault(kind="proc.stop", lease_s=600, targets=("v2",))
    with Hosts(environment) as remote, faults.injected(environment, stop, remote=remote):
        with faults.injected(environment, cut, remote=remote) as told:
            pass
        during = looks(environment, remote)
        assert [each["kind"] for each in during["lab2"]["active"]] == ["proc.stop"]
        assert told.residue == {}

    with Hosts(environment) as remote:
        eventually("a whole mesh", lambda: is_whole(looks(environment, remote)))


def test_planted_faults_turn_prover_and_picture_red(
    broken: LabMesh, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill that kills nobody is not bitten; a stop that nobody wakes is residue."""
    stop = Fault(kind="proc.stop", lease_s=60, targets=("v1",))
    real = units.Units.signal
    with monkeypatch.context() as planted:
        planted.setattr(units.Units, "signal", lambda *_: "true")
        with (
            pytest.raises(faults.NotBitten, match="is in state S"),
            faults.injected(environment, stop),
        ):
            pytest.fail("the block of a fault that does not bite is never entered")
    with monkeypatch.context() as planted:
        planted.setattr(
            units.Units,
            "signal",
            lambda self, node, signal: real(self, node, signal) if signal == "STOP" else "true",
        )
        planted.setattr(units.Units, "impatient", lambda *_: "true")
        with (
            pytest.raises(faults.Residue, match="stopped process"),
            faults.injected(environment, stop),
        ):
            pass
        with pytest.raises(faults.Residue), faults.injected(environment, stop):
            pytest.fail("a host with residue takes no fault")

    broken.on("lab1", "systemctl", "kill", "-s", "CONT", environment.instance("v1").paths.unit)
    broken.on("lab1", "systemctl", "service-watchdogs", "yes")
