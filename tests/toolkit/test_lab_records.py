"""Records of a lab: what is written is what is read, and mistakes are named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from aitbc_toolkit import processes
from aitbc_toolkit.errors import AitbcError, UsageError
from aitbc_toolkit.lab import claims
from aitbc_toolkit.lab.model import Lab, LabHost, LabSpec, Limits, from_json, to_json
from aitbc_toolkit.lab.places import Places

pytestmark = pytest.mark.unit


def a_host(name: str, number: int) -> LabHost:
    """Build a host whose addresses end in `number`."""
    return LabHost(
        name=name,
        machine=f"67b6e4-{name}",
        ipv4=f"10.213.0.{number}",
        ipv6=f"fd5a:17bc:6c61::{number}",
        port=22,
        key=Path("/state/labs/try/root_ed25519"),
        host_key=f"ssh-ed25519 {name}",
    )


def a_lab() -> Lab:
    """Build a lab with a forge."""
    return Lab(
        name="try",
        tag="67b6e4",
        slot=0,
        bridge="al-try-67b6e4",
        folder=Path("/state/labs/try"),
        limits=Limits(cpu_percent=50),
        hosts=(a_host("lab1", 11), a_host("lab2", 12)),
        forge=a_host("forge", 2),
    )


def a_claim(places: Places, tag: str = "67b6e4", slot: int = 0) -> claims.Claim:
    """Build a claim that we answer for ourselves."""
    return claims.Claim(
        tag=tag,
        name="try",
        folder=places.lab("try"),
        slot=slot,
        bridge=f"al-try-{tag}",
        machines=(f"{tag}-lab1",),
        cgroups=(Path("/sys/fs/cgroup/pids/aitbc-lab") / tag,),
        holder=processes.this_process(),
    )


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Keep every root in a folder of the test."""
    return Places(state=tmp_path / "state", cache=tmp_path / "cache", run=tmp_path / "run")


def test_lab_reads_back_as_it_was_written() -> None:
    """`lab.json` holds the whole lab."""
    assert from_json(to_json(a_lab())) == a_lab()


@pytest.mark.parametrize(
    "damage",
    [
        lambda fields: fields.pop("bridge"),
        lambda fields: fields.update(format=2),
        lambda fields: fields.update(color="red"),
        lambda fields: fields["hosts"][0].pop("ipv4"),
    ],
    ids=["missing", "other-version", "unknown", "host-without-address"],
)
def test_damaged_lab_file_is_an_error_of_ours(damage: object) -> None:
    """A `lab.json` that this version did not write ends in one line, not in a traceback."""
    fields = json.loads(to_json(a_lab()))
    assert callable(damage)
    damage(fields)

    with pytest.raises(AitbcError, match=r"lab\.json is not readable"):
        from_json(json.dumps(fields))


def test_torn_lab_file_is_an_error_of_ours() -> None:
    """Half a `lab.json` is named as such."""
    with pytest.raises(AitbcError, match=r"lab\.json is not readable"):
        from_json(to_json(a_lab())[:50])


@pytest.mark.parametrize("name", ["", "Lab", "1st", "a/b", "..", "a" * 17, "a b", "-x"])
def test_name_that_could_not_be_a_path_is_refused(name: str) -> None:
    """A lab's name is a part of paths and interface names."""
    with pytest.raises(UsageError, match="lab name"):
        LabSpec(name)


@pytest.mark.parametrize("hosts", [-1, 0, 65])
def test_impossible_number_of_hosts_is_refused(hosts: int) -> None:
    """At least one host, and no more than there are addresses."""
    with pytest.raises(UsageError, match="1 to 64 possible"):
        LabSpec("try", hosts)


def test_unknown_host_is_refused_with_the_known_ones() -> None:
    """The hint names the hosts that there are."""
    with pytest.raises(UsageError, match="no host 'lab3'") as refusal:
        a_lab().host("lab3")

    assert "lab1, lab2, forge" in refusal.value.hint


def test_git_reaches_the_forge_with_the_labs_own_configuration() -> None:
    """One URL serves hosts and controller; only the ssh configuration differs."""
    assert a_lab().git_url == "ssh://git@forge/srv/git/aitbc.git"
    assert a_lab().git_environment == {"GIT_SSH_COMMAND": "ssh -F /state/labs/try/ssh_config"}


def test_claim_reads_back_as_it_was_written(places: Places) -> None:
    """What one command claims, the next one sees."""
    claim = a_claim(places)
    claims.write_claim(places, claim)

    assert claims.read_claim(places, claim.tag) == claim
    assert claims.read_claims(places) == (claim,)


@pytest.mark.parametrize("left", ["", '{"tag": "67b6e4"}', "[1]", '{"tag": '])
def test_claim_that_a_power_loss_tore_counts_as_none(places: Places, left: str) -> None:
    """No lab survives a power loss, so its torn claim must not stop the next one."""
    claims.write_claim(places, a_claim(places))
    (places.claims / "67b6e4.json").write_text(left)

    assert claims.read_claim(places, "67b6e4") is None
    assert claims.read_claims(places) == ()


def test_dropped_claim_is_gone_and_may_be_dropped_again(places: Places) -> None:
    """Clearing is idempotent."""
    claim = a_claim(places)
    claims.write_claim(places, claim)

    claims.drop_claim(places, claim)
    claims.drop_claim(places, claim)

    assert claims.read_claims(places) == ()


def test_claim_of_a_dead_process_is_stale(places: Places) -> None:
    """Neither the pid of another start time nor that of another boot keeps a lab alive."""
    claim = a_claim(places)
    us = processes.this_process()

    assert not claim.stale
    assert replace(claim, holder=replace(us, start=us.start + 1)).stale
    assert replace(claim, holder=replace(us, boot="another")).stale
    assert replace(claim, holder=replace(us, pid=2**22 + 1)).stale


def test_slots_are_given_once(places: Places) -> None:
    """Two labs never share a network, and a gap is filled."""
    held = [a_claim(places, tag=f"00000{slot}", slot=slot) for slot in (0, 1, 3)]

    assert claims.free_slot(held, used=[]) == 2


def test_network_that_the_machine_uses_is_left_alone(places: Places) -> None:
    """An address of any other interface takes its slot out of the game."""
    held = [a_claim(places)]

    assert claims.free_slot(held, used=["192.0.2.2", "10.213.1.77"]) == 2


def test_no_free_slot_is_a_refusal(places: Places) -> None:
    """When all networks are taken, the operator is told how to see them."""
    held = [a_claim(places, tag=f"{slot:06x}", slot=slot) for slot in range(250)]

    with pytest.raises(AitbcError, match="250 lab networks") as refusal:
        claims.free_slot(held, used=[])

    assert refusal.value.hint == "aitbc lab list"


def test_holder_takes_over_only_what_is_still_there(places: Places) -> None:
    """A holder that comes after the reaper must not bring the claim back."""
    begun = a_claim(places)
    claims.write_claim(places, begun)
    claims.drop_claim(places, begun)

    with pytest.raises(AitbcError, match="has ended"):
        claims.take_over(places, begun, holder=processes.this_process())

    assert claims.read_claims(places) == ()


def test_holder_answers_for_the_lab_after_it_took_over(places: Places) -> None:
    """From then on its life decides."""
    begun = a_claim(places)
    claims.write_claim(places, begun)

    claims.take_over(places, begun, holder=processes.this_process())

    taken = claims.read_claim(places, begun.tag)
    assert taken is not None
    assert taken.held
