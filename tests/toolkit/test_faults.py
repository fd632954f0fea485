"""What a fault may be, whom it hits, and what its hosts are told: all of it without a host."""

import dataclasses
import itertools
import random
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from aitbc_sim import edges as algebra
from aitbc_toolkit import faults
from aitbc_toolkit.errors import AitbcError, Exit, UsageError
from aitbc_toolkit.faults import Cap, Fault, Seen, aiming, kinds, links, packets, sites, targets
from aitbc_toolkit.inventory import Environment, Inventory
from aitbc_toolkit.remote import Row

pytestmark = pytest.mark.unit

SEEN = Seen({"v1": 1, "v2": 1, "v3": 1, "v4": 1, "f1": 0}, order=["v2", "v3", "v4", "v1"])
OFFERS = dict.fromkeys(
    {need for kind in kinds.KINDS.values() for need in (*kind.needs, *kind.relay_needs)}, ""
)


def breakable(name: str = "production") -> Environment:
    """Load an environment and allow to break it."""
    found = Inventory.load(name)
    rules = msgspec.structs.replace(found.rules, chaos_allowed=True)
    return dataclasses.replace(found, rules=rules)


class PretendRemote:
    """Answer a look as hosts do that offer everything but what is `lacking`."""

    def __init__(self, environment: Environment, lacking: Mapping[str, str] | None = None) -> None:
        self.environment = environment
        self.lacking = lacking or {}
        self.queue = ""
        self.active: dict[str, list[dict[str, Any]]] = {}
        self.silent: set[str] = set()
        self.steps: list[str] = []

    def step(
        self, step: str, params: Mapping[str, Mapping[str, Any]], *, deadline_s: int
    ) -> dict[str, Row]:
        assert deadline_s > 0
        self.steps.append(step)
        return {
            name: Row(name, ok=name not in self.silent, answer=self.look(name), took_ms=1)
            for name in params
        }

    def look(self, host: str) -> dict[str, Any]:
        return {
            "offers": OFFERS | self.lacking,
            "addresses": [self.environment.host(host).address, "172.17.0.1"],
            "device": "eth0",
            "queue": self.queue,
            "library": "/lib/libfaketime.so.1",
            "processes": {each.name: 4711 for each in self.environment.on(host)},
            "active": self.active.get(host, []),
            "residue": [],
        }


@pytest.fixture
def remote() -> PretendRemote:
    """Give ten hosts that offer everything."""
    return PretendRemote(breakable())


def planned(fault: Fault, *, lacking: Mapping[str, str] | None = None) -> faults.Plan:
    """Plan a fault on ten hosts with a node each."""
    environment = breakable()
    return faults.plan(environment, fault, PretendRemote(environment, lacking))  # type: ignore[arg-type] - as much of it as a plan needs


def of(kind: str, **parameters: Any) -> Fault:
    """Make a fault that hits v1, or everything between v1 and the others."""
    if kinds.KINDS[kind].hits == "nodes":
        return Fault(kind=kind, lease_s=20, targets=("v1",), parameters=parameters)
    cut = algebra.isolate("v1", [f"v{n}" for n in range(1, 11)])
    return Fault(kind=kind, lease_s=20, edges=cut, parameters=parameters)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(kind="net.cutt", lease_s=5), "unknown fault 'net.cutt', the nearest is net.cut"),
        (Fault(kind="byz.twin", lease_s=5), "byz.twin cannot be injected: a second node"),
        (Fault(kind="net.cut", lease_s=5), "net.cut hits edges between nodes, and none was named"),
        (Fault(kind="proc.stop", lease_s=5), "proc.stop hits nodes, and none was named"),
        (Fault(kind="proc.stop", lease_s=0.5, targets=("v1",)), "a lease of 0.5 s"),
        (of("cpu.quota", percnt=5), "knows no 'percnt', the nearest is percent"),
        (of("cpu.quota", percent=95), "cpu.quota percent=95: from 1 to 90 %"),
        (of("net.cut", direction="up"), "net.cut direction=up: it is one of both, a_to_b"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_nearest_name(fault: Fault, said: str) -> None:
    """Nothing is asked of any host for it."""
    with pytest.raises(UsageError) as refused:
        kinds.judge(fault)

    assert said in str(refused.value)


def test_every_kind_of_the_vocabulary_is_injected_or_refused_with_a_reason() -> None:
    """No word of it is simply unknown."""
    vocabulary = (
        "net.cut net.loss net.rate net.delay net.dup net.reset proc.kill proc.stop proc.freeze "
        "proc.restart proc.oom host.reboot cpu.quota mem.limit disk.full disk.slow disk.readonly "
        "wal.truncate wal.lose_unsynced clock.jump clock.drift clock.strobe byz.twin chain.join "
        "byz.equivocate deploy.upgrade agent.dies econ.spam swarm"
    )
    for kind in vocabulary.split():
        known = kind in kinds.KINDS
        why = kinds.REFUSED.get(kind) or kinds.REFUSED.get(kind.partition(".")[0])
        assert known != bool(why), kind


def test_an_inventory_has_to_allow_chaos() -> None:
    """Production and staging do not; dev and lab do."""
    environment = Inventory.load("production")

    with pytest.raises(AitbcError) as refused:
        links.judge(environment, of("proc.kill"), Cap())

    assert refused.value.exit_status is Exit.DENIED
    assert not Inventory.read("staging").environment.chaos_allowed
    assert Inventory.read("dev").environment.chaos_allowed
    assert Inventory.read("lab").environment.chaos_allowed


@pytest.mark.parametrize(
    ("cap", "said"),
    [
        (Cap(nodes=1), "2 nodes hit, allowed 1"),
        (Cap(power_percent=19), "20 % of the power hit, allowed 19"),
        (Cap(minutes=0.25), "0.33 minutes of lease, allowed 0.25"),
    ],
)
def test_nothing_above_the_cap_is_planned(cap: Cap, said: str) -> None:
    """Both numbers are told; a cap that is just met lets the fault pass."""
    fault = Fault(kind="proc.kill", lease_s=20, targets=("v1", "v2"))

    with pytest.raises(AitbcError) as refused:
        links.judge(breakable(), fault, cap)

    assert said in str(refused.value)
    assert refused.value.exit_status is Exit.REFUSED
    assert links.judge(breakable(), fault, Cap(2, 20, 0.34)).power == 2


@pytest.mark.parametrize(
    ("edges", "hit"),
    [
        (algebra.isolate("v1", [f"v{n}" for n in range(1, 11)]), 1),
        (algebra.deafen("v3", [f"v{n}" for n in range(1, 11)]), 1),
        (algebra.split([[f"v{n}" for n in range(1, 6)], [f"v{n}" for n in range(6, 11)]]), 5),
        (algebra.apart([f"v{n}" for n in range(1, 11)]), 9),
        (frozenset({("v1", "v2")}), 1),
    ],
)
def test_a_cut_hits_whoever_the_strongest_part_loses(edges: links.Edges, hit: int) -> None:
    """The power of a cut is what is left outside."""
    fault = Fault(kind="net.cut", lease_s=20, edges=edges)

    assert len(links.radius(breakable(), fault).nodes) == hit


def test_two_nodes_of_a_host_are_cut_together_or_not_at_all() -> None:
    """Packets of one host look the same, and those inside it are seen by nobody."""
    staging = Inventory.load("staging")
    names = [each.name for each in staging.instances]

    whole = links.between_hosts(staging, algebra.split([names[:2], names[2:]]))

    assert whole == {("localhost", "aitbc1"), ("aitbc1", "localhost")}
    with pytest.raises(AitbcError, match="have several nodes, and v4-v2 would be cut too"):
        links.between_hosts(
            staging, frozenset(algebra.split([names[:2], names[2:]]) - {("v4", "v2")})
        )
    with pytest.raises(AitbcError, match="v1 v2 share host localhost"):
        links.between_hosts(staging, algebra.isolate("v1", names))
    with pytest.raises(UsageError, match="has no node 'v9'"):
        links.between_hosts(staging, frozenset({("v1", "v9")}))


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("v3", 1),
        ("leader", 1),
        ("next_leader", 1),
        ("role:validator", 4),
        ("role:full", 1),
        ("any(2)", 2),
        ("power(<1/3)", 1),
        ("power(=f)", 1),
        ("power(=1/2)", 2),
        ("component(a)", 2),
    ],
)
def test_words_mean_nodes(word: str, count: int) -> None:
    """The same seed draws the same ones."""
    seen = dataclasses.replace(SEEN, groups={"a": ("v1", "v4")})

    found = targets.resolve([word], seen, random.Random(7))  # noqa: S311 - repeatable on purpose

    assert len(found) == count
    assert found == targets.resolve([word], seen, random.Random(7))  # noqa: S311 - the same draw


def test_leaders_are_those_of_now() -> None:
    """The next leader is the one after."""
    dice = random.Random(0)  # noqa: S311 - repeatable on purpose

    assert targets.resolve(["leader", "next_leader"], SEEN, dice) == ("v2", "v3")
    with pytest.raises(AitbcError, match="leader means no node now"):
        targets.resolve(["leader"], Seen({"v1": 1}), dice)
    for word, said in (
        ("v44", "the nearest is v4"),
        ("any(9)", "from 1 to 5"),
        ("role:king", "no node has role"),
        ("power(>1)", "it is power"),
        ("component(z)", "no split has a part"),
    ):
        with pytest.raises(UsageError, match=said):
            targets.resolve([word], SEEN, dice)
    with pytest.raises(AitbcError, match="the nearest group has 1 of 4"):
        targets.resolve(["power(=1/3)"], SEEN, dice)


def test_a_command_line_says_who_is_parted_from_whom() -> None:
    """Bars part groups, a shape needs none, and a direction makes a cut one-sided."""
    voters = ["v1", "v2", "v3", "v4"]

    def edges(*words: str, **more: Any) -> algebra.Edges[str]:
        return aiming.aim("net.cut", words, SEEN, lease_s=20, **more).edges

    assert edges("v1 | v2 v3") == algebra.split([["v1"], ["v2", "v3"]])
    assert edges("v1", "|", "v2") == algebra.split([["v1"], ["v2"]])
    assert edges("v1") == algebra.isolate("v1", SEEN.powers)
    assert edges("v1", settings=["direction=a_to_b"]) == algebra.mute("v1", SEEN.powers)
    assert edges("v1", settings=["direction=b_to_a"]) == algebra.deafen("v1", SEEN.powers)
    assert edges(*voters, shape="apart") == algebra.apart(voters)
    assert len(edges(*voters, shape="majorities-ring")) == 4
    with pytest.raises(UsageError, match="v1 cannot be on two sides"):
        edges("v1 | v1 v2")
    with pytest.raises(UsageError, match="who is parted from whom"):
        edges()
    with pytest.raises(UsageError, match="no group holds more than half"):
        edges(shape="majority")
    with pytest.raises(UsageError, match="hits nodes: no groups"):
        aiming.aim("proc.kill", ["v1 | v2"], SEEN, lease_s=20)
    with pytest.raises(UsageError, match="that is no number"):
        aiming.aim("cpu.quota", ["v1"], SEEN, lease_s=20, settings=["percent=ten"])
    drawn = {
        aiming.aim("proc.kill", ["any(1)"], SEEN, lease_s=20, seed=n).targets for n in range(40)
    }
    assert len(drawn) == len(SEEN.powers)


def test_a_plan_shows_the_edges_and_the_exact_words_of_each_host() -> None:
    """A cut is made at both ends, SSH first, by elements that the kernel drops at the end."""
    found = planned(of("net.cut"))
    words = {each.host: each for each in found.orders}

    assert set(words) == {f"node{n}" for n in range(1, 11)}
    text = words["node2"].do[0]
    elements = " elements = { 192.0.2.11 timeout 20000ms };"
    assert text.splitlines() == [
        "flock /run/lock/production_chaos nft -f - <<'END'",
        "table inet production_chaos {",
        f"  set in_{found.id}_4 {{ type ipv4_addr; flags timeout;{elements} }}",
        f"  set in_{found.id}_6 {{ type ipv6_addr; flags timeout; }}",
        f"  chain in_{found.id} {{",
        "    type filter hook prerouting priority -400; policy accept;",
        "    tcp dport 22 accept",
        "    tcp sport 22 accept",
        f"    ip saddr @in_{found.id}_4 counter drop",
        f"    ip6 saddr @in_{found.id}_6 counter drop",
        "  }",
        f"  set out_{found.id}_4 {{ type ipv4_addr; flags timeout;{elements} }}",
        f"  set out_{found.id}_6 {{ type ipv6_addr; flags timeout; }}",
        f"  chain out_{found.id} {{",
        "    type filter hook output priority -400; policy accept;",
        "    tcp dport 22 accept",
        "    tcp sport 22 accept",
        f"    ip daddr @out_{found.id}_4 counter drop",
        f"    ip6 daddr @out_{found.id}_6 counter drop",
        "  }",
        "}",
        "END",
    ]
    assert "172.17.0.1" not in text
    lines = found.to_lines()
    assert "  v1 -> v10 v2 v3 v4 v5 v6 v7 v8 v9" in lines
    assert "1 node with 1 of 10 power (10 %)" in lines[0]
    assert found.to_document()["edges"] == sorted(map(list, found.fault.edges))


@pytest.mark.parametrize("kind", sorted(kinds.KINDS))
def test_every_kind_has_an_end_and_a_proof_on_every_host(kind: str) -> None:
    """No order goes out that nothing undoes, or of which nobody would see whether it bites."""
    for each in planned(of(kind)).orders:
        assert each.do
        assert all(text.strip() for text in each.do)
        assert each.undo.strip()
        assert "$" not in each.undo
        assert each.proofs, each.host


@pytest.mark.parametrize("kind", sorted(kinds.KINDS))
def test_a_host_that_lacks_a_mechanism_says_so(kind: str) -> None:
    """The plan shows which, and why; nothing is sent there."""
    for need in kinds.KINDS[kind].needs:
        found = planned(of(kind), lacking={need: "not in this kernel"})

        assert found.orders == ()
        assert found.refusals["node1"] == f"{need}: not in this kernel"
        assert "node1: refused: " in "\n".join(found.to_lines())


@pytest.mark.parametrize("kind", ["net.rate", "net.delay"])
def test_a_queue_of_the_hosts_own_is_no_place_for_a_fault(kind: str) -> None:
    """Also not that of another fault; what the plan removes at the end is named by its handle."""
    environment = breakable()
    remote = PretendRemote(environment)
    free = planned(of(kind))
    remote.queue = "htb 1:"

    found = faults.plan(environment, of(kind), remote)  # type: ignore[arg-type] - as much of it as a plan needs

    assert found.refusals["node1"] == "eth0 has a queue already: htb 1:"
    handle = f"{int(free.id[:4], 16):x}"
    assert all(
        f"tc qdisc del dev eth0 root handle {handle}:\n" in each.undo for each in free.orders
    )
    assert not packets.names_a_queue("0000abcd")
    assert not packets.names_a_queue("ffffabcd")


def active(kind: str, *nodes: str) -> dict[str, Any]:
    """Tell of a fault that goes on, as a host does."""
    return {"id": "f1", "kind": kind, "about": f"{kind} now", "targets": nodes, "nodes": nodes}


def test_the_cap_is_over_all_that_is_broken(remote: PretendRemote) -> None:
    """Two faults of 30 % are 60 %; a node that both hit counts once."""
    remote.active = {"node9": [active("proc.kill", "v8", "v9", "v10")]}
    fault = Fault(kind="proc.stop", lease_s=20, targets=("v1",))
    again = Fault(kind="disk.full", lease_s=20, targets=("v9",))

    with pytest.raises(AitbcError, match="40 % of the power hit, allowed 33") as refused:
        faults.plan(remote.environment, fault, remote, cap=Cap(power_percent=33))  # type: ignore[arg-type] - as much of it as a plan needs

    assert refused.value.exit_status is Exit.REFUSED
    assert "v10 v8 v9 broken already" in refused.value.message
    for each, percent in ((fault, 40), (again, 30), (fault, 100)):
        cap = Cap(power_percent=percent)
        assert faults.plan(remote.environment, each, remote, cap=cap).orders  # type: ignore[arg-type] - as above
    with pytest.raises(AitbcError, match="4 nodes hit, allowed 3"):
        faults.plan(remote.environment, fault, remote, cap=Cap(nodes=3))  # type: ignore[arg-type] - as above


def test_a_silent_host_counts_as_broken(remote: PretendRemote) -> None:
    """It reboots, or is frozen: its nodes are below the cap with the others, or not."""
    remote.silent = {"node7"}
    fault = Fault(kind="proc.stop", lease_s=20, targets=("v1",))

    with pytest.raises(AitbcError, match="20 % of the power hit, allowed 19") as refused:
        faults.plan(remote.environment, fault, remote, cap=Cap(power_percent=19))  # type: ignore[arg-type] - as much of it as a plan needs

    assert "(with v7 broken already)" in refused.value.message
    assert faults.plan(remote.environment, fault, remote, cap=Cap(nodes=2)).orders  # type: ignore[arg-type] - as above
    assert faults.plan(remote.environment, fault, remote).orders  # type: ignore[arg-type] - as above


@pytest.mark.parametrize(
    ("kind", "other", "refused"),
    [
        ("cpu.quota", "proc.stop", True),
        ("proc.stop", "clock.jump", True),
        ("disk.full", "proc.stop", False),
        ("net.cut", "proc.stop", False),
    ],
)
def test_one_process_is_in_the_hands_of_one_fault(
    remote: PretendRemote, kind: str, other: str, *, refused: bool
) -> None:
    """What wakes, stops or restarts a node would undo what another fault does to it."""
    remote.active = {"node1": [active(other, "v1")], "node2": [active(other, "v2")]}

    found = faults.plan(remote.environment, of(kind), remote)  # type: ignore[arg-type] - as much of it as a plan needs

    assert found.refusals == ({"node1": f"v1 is held already: {other} now"} if refused else {})


def test_hosts_that_another_mesh_may_not_lose_are_not_broken(
    monkeypatch: pytest.MonkeyPatch, remote: PretendRemote
) -> None:
    """A cut is by address, a full disk is everybody's: the neighbour is asked by its inventory."""
    neighbour = dataclasses.replace(Inventory.load("production"), name="theirs")
    monkeypatch.setattr(links.neighbours, "sharing", lambda _: {"node2": [neighbour]})

    with pytest.raises(AitbcError, match="node2 carries theirs, too") as refused:
        faults.plan(remote.environment, of("net.cut"), remote)  # type: ignore[arg-type] - as much of it as a plan needs

    assert refused.value.exit_status is Exit.DENIED
    assert remote.steps == []
    assert faults.plan(remote.environment, of("proc.kill"), remote).orders  # type: ignore[arg-type] - as above
    monkeypatch.setattr(links.neighbours, "sharing", lambda _: {"node2": [remote.environment]})
    assert faults.plan(remote.environment, of("net.cut"), remote).orders  # type: ignore[arg-type] - as above


def test_no_way_in_of_any_host_is_cut() -> None:
    """The toolkit may run on a host of the mesh, and reach the others on ports of their own."""
    environment = breakable()
    hosts = [dataclasses.replace(each, ssh_port=2200) if each.name == "node3" else each
             for each in environment.hosts]  # fmt: skip
    environment = dataclasses.replace(environment, hosts=tuple(hosts))

    found = faults.plan(environment, of("net.cut"), PretendRemote(environment))  # type: ignore[arg-type] - as much of it as a plan needs

    for each in found.orders:
        assert "    tcp dport { 22, 2200 } accept\n    tcp sport { 22, 2200 } accept" in each.do[0]


def test_a_limit_is_taken_from_the_process_that_got_it() -> None:
    """A number of a process comes again, for another one of the same user."""
    undo = planned(of("mem.limit")).orders[0].undo

    assert undo == (
        "systemctl show -p MainPID --value aitbc-production-v1 | grep -qx 4711 && "
        "setpriv --reuid=aitbc --regid=aitbc --clear-groups "
        "prlimit --pid 4711 --as=unlimited: 2>/dev/null"
    )


def test_a_plan_only_looks() -> None:
    """The one step that it makes is a reading one."""
    environment = breakable()
    remote = PretendRemote(environment)

    faults.plan(environment, of("proc.kill"), remote)  # type: ignore[arg-type] - as much of it as a plan needs

    assert remote.steps == ["fault-look"]


def in_a_lab(fault: Fault, **lacking: str) -> faults.Plan:
    """Plan a fault on lab hosts whose kernel lacks something."""
    environment = dataclasses.replace(breakable(), lab="a")
    remote = PretendRemote(
        environment, {name.replace("_", "-"): why for name, why in lacking.items()}
    )
    return faults.plan(environment, fault, remote)  # type: ignore[arg-type] - as much of it as a plan needs


def test_a_lab_without_netem_delays_by_a_relay() -> None:
    """Each host relays what it begins itself; a way back that is not delayed waits for nothing."""
    one_way = Fault(
        kind="net.delay", lease_s=20, edges=frozenset({("v1", "v2")}), parameters={"ms": 40}
    )
    found = in_a_lab(one_way, tc_delay="no such kind")
    words = {each.host: each for each in found.orders}

    assert set(words) == {"node1", "node2"}
    assert " 192.0.2.12,40,0" in words["node1"].do[0].splitlines()[-1]
    assert " 192.0.2.11,0,40" in words["node2"].do[0].splitlines()[-1]
    port = re.search(r"redirect to :(\d+)", words["node1"].do[2])
    assert port is not None
    assert f" {port[1]} " in words["node1"].do[0]
    late = [proof for proof in words["node2"].proofs if proof["what"] == "late"]
    assert [peer[2:] for peer in late[0]["peers"]] == [["v1", 40]]
    lines = words["node1"].undo.splitlines()
    assert lines[0].startswith("flock")
    assert f"systemctl stop production-chaos-{found.id}-work" in lines


def test_a_relay_keeps_away_from_the_ports_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the next one that is free; one that does not begin is named as the cause."""
    monkeypatch.setattr("aitbc_toolkit.faults.planning._name", lambda: f"{8_000 * 7 + 5:08x}")
    environment = dataclasses.replace(breakable(), lab="a")
    crowded = [
        dataclasses.replace(each, p2p_port=20_005, rpc_port=20_006, admin_port=20_008)
        for each in environment.instances
    ]
    environment = dataclasses.replace(environment, instances=tuple(crowded))
    remote = PretendRemote(environment, {"tc-delay": "none"})

    found = faults.plan(environment, of("net.delay"), remote)  # type: ignore[arg-type] - as much of it as a plan needs

    assert {re.findall(r"redirect to :(\d+)", "\n".join(each.do))[0] for each in found.orders} == {
        "20007"
    }
    assert all(
        "echo 'no relay began on port 20007' >&2; exit 1" in "\n".join(o.do) for o in found.orders
    )


def test_a_delay_is_by_the_kernel_where_it_can_and_refused_where_nothing_can() -> None:
    """With netem a lab uses it as well; hosts that are no lab's get no relay; two do not add up."""
    assert "netem delay 100ms" in in_a_lab(of("net.delay")).orders[0].do[0]
    assert planned(of("net.delay"), lacking={"tc-delay": "no such kind"}).refusals["node1"] == (
        "tc-delay: no such kind"
    )
    without = in_a_lab(of("net.delay"), tc_delay="none", nft_redirect="no nat")
    assert without.refusals["node1"] == "nft-redirect: no nat"
    environment = dataclasses.replace(breakable(), lab="a")
    remote = PretendRemote(environment, {"tc-delay": "none"})
    remote.active = {"node1": [active("net.delay", "v1")]}
    found = faults.plan(environment, of("net.delay"), remote)  # type: ignore[arg-type] - as above
    assert found.refusals == {"node1": "it relays already: net.delay now"}


def test_one_way_is_proved_where_it_leaves() -> None:
    """Where nothing arrives there is nothing to count; there the connection that fails counts."""
    cut = algebra.mute("v1", ["v1", "v2", "v3"])
    found = planned(Fault(kind="net.cut", lease_s=20, edges=cut))
    proofs = {each.host: [proof["what"] for proof in each.proofs] for each in found.orders}

    assert proofs["node1"] == ["packets", "unreachable"]
    assert proofs["node2"] == proofs["node3"] == ["unreachable"]


def test_names_of_faults_do_not_repeat() -> None:
    """Two that overlap on a host are told apart."""
    names = [planned(of("proc.kill")).id for _ in range(50)]

    assert all(a != b for a, b in itertools.pairwise(sorted(names)))
    assert sites.table_of(breakable()) == "production_chaos"
