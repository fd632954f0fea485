"""A host that starts anew: it is seen to go, it comes back as another boot, or it is told."""

import dataclasses
import socket
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from aitbc_toolkit import faults
from aitbc_toolkit.cli import chaos
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.faults import Fault, kinds, orders, planning, rebooting
from aitbc_toolkit.faults.sites import Site
from aitbc_toolkit.inventory import Environment, Host, Inventory
from aitbc_toolkit.remote import Row

REBOOT = Fault(kind="host.reboot", lease_s=30, targets=("v1",))
OFFERS = {need for kind in kinds.KINDS.values() for need in (*kind.needs, *kind.relay_needs)}
LOOK = {
    "offers": dict.fromkeys(OFFERS, ""),
    "addresses": [],
    "device": "eth0",
    "library": "",
    "processes": {f"v{n}": 4711 for n in range(1, 11)},
    "active": [],
}


@pytest.fixture
def environment() -> Environment:
    """Allow to break ten hosts that are not there."""
    found = Inventory.load("production")
    rules = msgspec.structs.replace(found.rules, chaos_allowed=True)
    return dataclasses.replace(found, rules=rules)


class Rebooting:
    """Be hosts that answer to the end of a fault as they are told to, one after the other."""

    def __init__(self, *ends: dict[str, Any]) -> None:
        self.ends = list(ends)

    def step(
        self, step: str, params: Mapping[str, Mapping[str, Any]], *, deadline_s: int
    ) -> dict[str, Row]:
        assert deadline_s > 0
        answer: dict[str, Any] = {"fault-look": LOOK, "fault-inject": {"boot": "old"}}.get(step, {})
        if step == "fault-end":
            answer = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        assert step != "fault-prove", "who starts anew cannot be asked"
        return {
            name: Row(name, ok="error" not in answer, answer=answer, took_ms=1) for name in params
        }


def back(boot: str) -> dict[str, Any]:
    """Be the answer of a host that is up."""
    return {"boot": boot, "residue": [], "active": [], "healed": []}


SILENT = {"error": "unreachable: timed out", "kind": "unreachable"}


def injected(environment: Environment, remote: Rebooting) -> faults.Told:
    """Start a host anew, and wait for its end."""
    with faults.injected(environment, REBOOT, remote=remote) as told:  # type: ignore[arg-type]  # as much of it as a fault needs
        pass
    return told


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hosts be gone as soon as they are looked at."""
    monkeypatch.setattr(rebooting, "_refusal", lambda _host: "shut: refused")


@pytest.mark.usefixtures("gone")
def test_it_is_waited_for_until_it_answers_as_another_boot(environment: Environment) -> None:
    """Silence, and the boot of before, are no end; both boots are told."""
    remote = Rebooting(SILENT, back("old"), back("new"))

    told = injected(environment, remote)

    assert told.residue == {}
    assert told.bitten_at
    assert told.evidence == {"node1": {"way in": "shut: refused", "boot": "old, then new"}}
    assert chaos._evidence(told.evidence["node1"]) == "way in: shut: refused; boot: old, then new"
    assert remote.ends == [back("new")]


@pytest.mark.usefixtures("gone")
@pytest.mark.parametrize(
    ("end", "said"),
    [(back("old"), "its boot is that of before"), (SILENT, "unknown: unreachable")],
)
def test_one_that_does_not_come_back_anew_is_left_behind(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, end: dict[str, Any], said: str
) -> None:
    """It may have lost its network only, or be lost: no pass either way."""
    monkeypatch.setattr(rebooting, "BACK_S", 0.2)

    with pytest.raises(faults.Residue, match=said) as verdict:
        injected(environment, Rebooting(end))

    assert verdict.value.exit_status is Exit.UNHEALED


def test_one_that_still_takes_connections_has_not_gone(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said of a mesh whose host stayed."""
    monkeypatch.setattr(rebooting, "_refusal", lambda _host: "")
    for name in ("GONE_S", "BACK_S"):
        monkeypatch.setattr(rebooting, name, 0.2)

    with pytest.raises(faults.Residue, match=r"does not bite within 0.2 s(.|\n)*that of before"):
        injected(environment, Rebooting(back("old")))


def test_a_door_that_is_shut_is_seen(environment: Environment) -> None:
    """A real socket: open first, then nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        host = dataclasses.replace(environment.hosts[0], address="127.0.0.1", ssh_port=port)
        assert rebooting._refusal(host) == ""

    assert "shut: " in rebooting._refusal(host)


def test_the_order_leaves_time_for_its_answer() -> None:
    """The manager starts the host anew a moment later; an end that comes first calls it off."""
    found = planned(REBOOT, Inventory.load("production").hosts[0])

    assert found.do[0].startswith("systemd-run --quiet --collect --on-active=0.3s ")
    assert found.do[0].endswith(" systemctl reboot")
    assert found.undo == f"systemctl stop {found.do[0].partition('--unit=')[2].split()[0]}.timer"


def planned(fault: Fault, host: Host) -> orders.Order:
    """Write the order of one host."""
    environment = Inventory.load("production")
    own = [each for each in environment.on(host.name) if each.name in fault.targets]
    return orders.write(Site(environment, host, fault, "12345678", LOOK, {}, targets=own))


def test_a_liar_is_the_release_with_another_program(environment: Environment) -> None:
    """The command of the node, but for the program and the lie; its end takes that back."""
    fault = Fault(kind="byz.bad-root", lease_s=30, targets=("v1",))

    found = planned(fault, environment.hosts[0])

    (do,) = found.do
    assert "\nExecStart=\nExecStart=/bin/sh -c " in do
    assert "-P -m aitbc_sim.live_liars bad-root run --config " in do
    assert "rm -f /run/systemd/system/" in found.undo
    assert found.proofs == (
        {"what": "lying", "node": "v1", "words": ["aitbc_sim.live_liars", "bad-root"]},
    )


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("host.reboot", "two", "v2 would go down with it: name all of its nodes"),
        ("host.reboot", "local", "the toolkit itself runs on it"),
        ("byz.withhold", "full", "v1 has no vote to lie with"),
    ],
)
def test_what_must_not_be_hit_is_spared(
    environment: Environment, kind: str, change: str, said: str
) -> None:
    """A machine that is not alone, that of the operator, and a node without a vote."""
    first, second, *_ = environment.instances
    host = environment.hosts[0]
    if change == "two":
        second = dataclasses.replace(second, host=host.name)
    elif change == "local":
        host = dataclasses.replace(host, connector="local")
    else:
        first = dataclasses.replace(first, power=0)
    changed = dataclasses.replace(
        environment, hosts=(host, *environment.hosts[1:]), instances=(first, second)
    )
    fault = Fault(kind=kind, lease_s=30, targets=("v1",))
    site = Site(changed, host, fault, "12345678", LOOK, {}, targets=[first])

    assert planning._refusal(site) == said
