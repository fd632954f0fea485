"""A host keeps the end of a fault by itself, measures what it does, and tells what it left."""

import contextlib
import copy
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from pretend_hosts import PretendHosts

from aitbc_toolkit.deploys.hostside import afflicting, biting, files, residue
from aitbc_toolkit.deploys.hostside.trouble import Trouble
from aitbc_toolkit.faults import packets, units
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.remote import Row

pytestmark = pytest.mark.integration

Eventually = Callable[..., None]

AS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("nft") or not shutil.which("tc"),
    reason="a network of its own needs root, nft and tc",
)
PICTURE: dict[str, Any] = {
    "boot": "b",
    "texts": {"nftables": "table inet own {\n}\n", "queues": "qdisc noqueue", "watchdogs": "yes"},
    "lists": {
        "failed unit": ["old.service"],
        "unit of a fault": [],
        "table of a fault": [],
        "stopped process": ["python3"],
    },
    "nodes": {"v1": {"active": True, "drop-ins": [], "address space": "unlimited"}},
    "clock_s": 1_000_000.0,
    "disks": {"/data": [500.0, 1000.0]},
}


class Host:
    """One host that is a folder here, with faults that are files."""

    def __init__(self, root: Path) -> None:
        self.hosts = PretendHosts(root, ("a",))
        self.folder = root / "chaos"
        self.mark = root / "broken"
        self.instances: list[dict[str, Any]] = []

    def ask(self, step: str, **more: Any) -> Row:
        words = {"chaos": str(self.folder), "mesh": "pretend", "table": "t", "peers": []}
        own = {**words, "instances": self.instances, "probe": False, "settle_s": 0.2}
        return self.hosts.run(step, "a", {}, **(own | more))

    def add_node(self) -> "subprocess.Popen[bytes]":
        """Start what looks like a node of this host."""
        instance = {"name": "v1", "unit": "v1", "config": str(self.folder), "log": ""}
        self.instances = [{**instance, "data": str(self.folder)}]
        node = ["-m", "aitbc_node", "run", "--config", f"{self.folder}/node.toml"]
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *node])

    def inject(self, name: str, *, lease_s: float, **more: Any) -> Row:
        order = {
            "id": name,
            "kind": "proc.stop",
            "about": "a try",
            "lease_s": lease_s,
            "nodes": ["v1"],
            "targets": ["v1"],
            "do": [f"touch {self.mark}"],
            "undo": f"rm -f {self.mark}",
        }
        return self.ask("fault-inject", order=order | more)

    def end(self, ids: list[str] | None = None, *, accept: bool = False) -> Row:
        return self.ask("fault-end", ids=ids, accept=accept)


def stopping(pid: int) -> str:
    """Write the part of an order that stops a process, and lasts until it stands still."""
    return f"kill -STOP {pid}\nuntil grep -q '^State:.T' /proc/{pid}/status; do sleep 0.05; done"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Give a host without faults."""
    return Host(tmp_path)


def test_a_host_ends_a_fault_though_everybody_is_gone(host: Host, eventually: Eventually) -> None:
    """Nobody asks it a second time: the step's whole process has ended before the lease does."""
    row = host.inject("f1", lease_s=1)
    assert row.ok, row.error
    assert [each["id"] for each in host.ask("fault-look").answer["active"]] in (["f1"], [])

    eventually("the end of the fault", lambda: not host.mark.exists())

    eventually("its record to go", lambda: not host.ask("fault-look").answer["active"])
    assert host.end().answer == {
        "ok": True,
        "healed": [],
        "active": [],
        "residue": [],
        "boot": residue.Moment.read().boot,
    }


def test_a_heal_only_brings_the_end_forward(host: Host) -> None:
    """One of two that overlap is ended, the other goes on, and is told with what is left of it."""
    host.inject("f1", lease_s=600)
    host.inject("f2", lease_s=600, do=["true"], undo="true")

    first = host.end(["f1"]).answer
    second = host.end().answer

    assert (first["healed"], [each["id"] for each in first["active"]]) == (["f1"], ["f2"])
    assert 0 < first["active"][0]["left_s"] <= 600
    assert (first["active"][0]["nodes"], first["active"][0]["targets"]) == (["v1"], ["v1"])
    assert not host.mark.exists()
    assert (second["healed"], second["active"], second["residue"]) == (["f2"], [], [])


def test_a_fault_that_is_ended_leaves_nobody_waiting(host: Host, eventually: Eventually) -> None:
    """Who would have ended it at its end is ended along: the host is as quiet as it was before."""
    host.inject("f1", lease_s=600)
    host.inject("f2", lease_s=600, do=["no-such-program"])
    waiting = json.loads((host.folder / "f1.fault").read_text())["waits"]
    assert b"sleep 600" in Path(f"/proc/{waiting}/cmdline").read_bytes()

    assert host.end().ok

    eventually("the wait to be over", lambda: not _waiting_for(host.folder))


def _waiting_for(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes()
            if words.startswith(b"sh\0") and str(folder).encode() in words:
                found.append(process.name)
    return found


def test_a_heal_waits_for_an_order_that_is_being_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever injects holds the host; that is no reason to say that nobody knows what is left.

    It waits for longer than any part of an order may take, and goes on as soon as it is let.
    """
    waits: list[float] = []
    locked, lock = files.locked, tmp_path / "lock"

    def waited(path: Path, *, timeout_s: float = 5.0) -> AbstractContextManager[None]:
        waits.append(timeout_s)
        threading.Timer(0.3, release.set).start()
        return locked(path, timeout_s=timeout_s)

    release, is_held = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(lock):
            is_held.set()
            release.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert is_held.wait(60)
    monkeypatch.setattr(afflicting.files, "locked", waited)
    monkeypatch.setattr(afflicting.residue, "left", lambda *_: [])

    told = afflicting.end(
        {"chaos": str(tmp_path), "ids": None, "settle_s": 0, "accept": False, "manager": {}}
    )

    holder.join()
    assert told["residue"] == []
    assert waits == [afflicting._LOCK_S]
    assert afflicting._LOCK_S > afflicting._DO_S


def test_a_fault_that_its_host_does_not_end_is_left_behind(
    host: Host, eventually: Eventually
) -> None:
    """Who would have ended it is dead: who asks undoes it, and is told that it went on."""
    host.inject("f1", lease_s=1)
    for waiting in map(int, _waiting_for(host.folder)):
        os.killpg(waiting, signal.SIGKILL)
    record = json.loads((host.folder / "f1.fault").read_text())
    eventually("its end", lambda: residue.Moment.read().now_s > record["due_s"])

    told = host.end().answer

    assert told["residue"] == ["a try: went on, because its end did not come by itself"]
    assert told["healed"] == ["f1"]
    assert not host.mark.exists()
    assert host.inject("f2", lease_s=600).ok, "it was undone: nothing keeps the next one away"
    assert host.end().answer["residue"] == []


def test_an_end_that_is_only_slow_is_no_residue(host: Host, eventually: Eventually) -> None:
    """A node that is started again may take longer than an end may take to begin."""
    slow = f"rm -f {host.mark}\nsleep 3"
    host.inject("f1", lease_s=1, undo=slow)
    record = json.loads((host.folder / "f1.fault").read_text())
    eventually("its end", lambda: residue.Moment.read().now_s > record["due_s"])

    told = host.ask("fault-end", ids=None, accept=False, settle_s=60).answer

    assert (told["residue"], told["healed"]) == ([], [])
    assert sorted(host.folder.glob("f1.*")) == []


def test_an_order_that_fails_is_undone_at_once(host: Host) -> None:
    """What it had done by then is taken back, and the host says why."""
    row = host.inject("f1", lease_s=600, do=[f"touch {host.mark}", "no-such-program"])

    assert (row.ok, row.kind) == (False, "chaos")
    assert "no-such-program" in row.error
    assert not host.mark.exists()
    assert host.ask("fault-look").answer["active"] == []


def test_an_order_that_is_slower_than_its_lease_leaves_nothing(host: Host) -> None:
    """Its end came in the middle, and would undo nothing of what was done after it."""
    row = host.inject("f1", lease_s=1, do=["sleep 2 & wait", f"touch {host.mark}"])

    assert (row.ok, row.kind) == (False, "chaos")
    assert not host.mark.exists()
    assert host.ask("fault-look").answer["active"] == []


def test_what_a_slow_order_did_after_its_end_is_undone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The end comes while the last part is carried out: what that did is taken back, too."""
    mark, record = tmp_path / "broken", tmp_path / "chaos" / "f1.fault"
    moments = iter([100.0, 100.5, 101.5])
    monkeypatch.setattr(
        afflicting.Moment, "read", lambda: afflicting.Moment("b", next(moments, 102.0))
    )
    monkeypatch.setattr(afflicting, "_set_end", lambda *_: None)
    monkeypatch.setattr(afflicting.residue, "remember", lambda *_: None)
    order = {"id": "f1", "kind": "proc.stop", "about": "a try", "lease_s": 1}
    order |= {
        "nodes": [],
        "targets": [],
        "do": [f"rm {record}\ntouch {mark}"],
        "undo": f"rm -f {mark}",
    }

    with pytest.raises(Trouble, match="its lease of 1 s was over") as refused:
        afflicting.inject(
            {"order": order, "chaos": str(tmp_path / "chaos"), "manager": {"kind": "supervisord"}}
        )

    assert refused.value.kind == "chaos"
    assert not mark.exists()
    assert not record.exists()


def test_a_heal_that_is_killed_leaves_the_end_that_was_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only what is undone needs no end any more: the timer is stopped after it, not before."""
    record = tmp_path / "f1.fault"
    record.write_text(
        json.dumps(
            {
                "id": "f1",
                "boot": residue.Moment.read().boot,
                "undo": "undo it",
                "due_s": residue.Moment.read().now_s + 600,
            }
        )
    )
    asked: list[list[str]] = []

    def run(argv: list[str], **_: object) -> None:
        asked.append(argv)
        if argv[0] == "sh":
            raise KeyboardInterrupt

    monkeypatch.setattr(afflicting.subprocess, "run", run)

    with pytest.raises(KeyboardInterrupt):
        afflicting.end(
            {"chaos": str(tmp_path), "ids": None, "manager": {"kind": "systemd"}, "mesh": "m"}
        )

    assert asked == [["sh", "-c", "undo it"]]
    assert record.exists()


def test_a_picture_of_long_ago_is_given_up_on_a_word(host: Host) -> None:
    """What was changed on purpose meanwhile is told once more, and keeps no fault away after."""
    node = host.add_node()
    try:
        host.inject("f1", lease_s=600, do=[stopping(node.pid)], undo="true")
        assert host.end().answer["residue"]

        accepted = host.end(accept=True).answer

        assert accepted["residue"]
        assert host.ask("fault-look").answer["residue"] == []
        assert host.inject("f2", lease_s=600).ok
        assert host.end().answer["residue"] == []
    finally:
        node.kill()
        node.wait()


def test_a_stopped_process_of_somebody_else_is_no_residue_here(host: Host) -> None:
    """On a machine that is not the mesh's alone only the nodes are looked at."""
    host.inject("f1", lease_s=600)
    sleeper = subprocess.Popen(["sleep", "600"])
    try:
        os.kill(sleeper.pid, signal.SIGSTOP)
        os.waitpid(sleeper.pid, os.WUNTRACED)

        assert host.end().answer["residue"] == []
    finally:
        sleeper.kill()
        sleeper.wait()


def test_what_a_fault_leaves_behind_keeps_the_next_one_away(host: Host) -> None:
    """The planted fault never wakes what it stopped: told by its end, by a look, and by refusal.

    Once somebody has mended it, the host is as before, and takes faults again.
    """
    node = host.add_node()
    try:
        stop = stopping(node.pid)
        host.inject("f1", lease_s=600, do=[stop], undo="true")

        left = host.end().answer["residue"]
        refused = host.inject("f2", lease_s=600)

        assert len(left) == 1
        assert left[0].startswith("stopped process: python")
        assert host.ask("fault-look").answer["residue"] == left
        assert (refused.ok, refused.kind) == (False, "residue")
        assert left[0] in refused.error
        assert not host.mark.exists()
        node.send_signal(signal.SIGCONT)
        assert host.inject("f3", lease_s=600).ok
        assert host.end().answer["residue"] == []
    finally:
        node.kill()
        node.wait()


def test_a_fault_of_before_a_reboot_is_over(host: Host) -> None:
    """A reboot heals: neither its record nor its picture counts any more."""
    host.inject("f1", lease_s=600)
    for waiting in map(int, _waiting_for(host.folder)):
        os.killpg(waiting, signal.SIGKILL)  # as the reboot does
    for path in (host.folder / "f1.fault", host.folder / "before.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "another"}))
    host.mark.unlink()

    answer = host.ask("fault-look").answer

    assert (answer["active"], answer["residue"]) == ([], [])


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("texts", "nftables"), "table inet own {\n}\ntable inet left {\n}\n", "+ table inet left"),
        (("texts", "nftables"), "", "- table inet own {"),
        (("texts", "queues"), "qdisc noqueue\nqdisc tbf 1:", "queues: + qdisc tbf 1:"),
        (("texts", "watchdogs"), "no", "watchdogs: + no"),
        (("lists", "failed unit"), ["old.service", "new.service"], "failed unit: new.service"),
        (("lists", "table of a fault"), ["inet m"], "table of a fault: inet m"),
        (("lists", "unit of a fault"), ["m-chaos-1.timer"], "unit of a fault: m-chaos-1.timer"),
        (("nodes", "v1"), {"active": False, "drop-ins": []}, "v1 active: False, was True"),
        (("nodes", "v1"), {"active": True, "drop-ins": ["x.conf"]}, "v1 drop-ins: ['x.conf']"),
        (("lists", "stopped process"), ["python3", "python3"], "stopped process: python3"),
        (("clock_s",), 1_000_030.0, "clock: +30.0 s"),
        (("disks", "/data"), [400.0, 1000.0], "disk of /data: 100 MiB less are free"),
    ],
)
def test_each_trace_of_a_fault_is_a_difference(
    path: tuple[str, ...], value: Any, said: str
) -> None:
    """Each one alone is named; a picture that is the same, or better, names nothing."""
    after = copy.deepcopy(PICTURE)
    place = after
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    found = list(residue.differences(PICTURE, after))

    assert any(said in each for each in found), found
    assert list(residue.differences(PICTURE, copy.deepcopy(PICTURE))) == []


def test_what_heals_is_no_residue() -> None:
    """A node that is up again, a failed unit that is gone and a disk that was emptied are fine."""
    after = copy.deepcopy(PICTURE)
    after["lists"]["failed unit"] = []
    after["disks"]["/data"] = [900.0, 1000.0]
    before = copy.deepcopy(PICTURE)
    before["nodes"]["v1"]["active"] = False

    assert list(residue.differences(before, after)) == []


def in_a_network(*lines: str) -> str:
    """Run a script in a network of its own, where loopback is all that there is."""
    text = "\n".join(["ip link set lo up", *lines])
    argv = ["unshare", "--net", "sh", "-ec", text]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


OWN = "nft add table inet own\n" + "\n".join(
    f"nft 'add chain inet own c{n}; add rule inet own c{n} tcp dport {n} accept'"
    for n in range(1, 51)
)
CHAINS = {
    "cut": packets.cut(["127.0.0.2", "fd00::2"], ["127.0.0.2"], starts=False),
    "starts": packets.cut(["127.0.0.2"], ["127.0.0.2"], starts=True),
    "loss of all": packets.lose(["127.0.0.2"], percent=100),
    "loss": packets.lose(["127.0.0.2"], percent=12.5),
    "reset": packets.reset(["127.0.0.2"], ["127.0.0.2"]),
    "detour": packets.detour(["127.0.0.2", "fd00::2"], [8600, 8601], 20_001),
    "marked": packets.marked(["127.0.0.2"], "ab12"),
}


def some_rules(name: str, *, id_: str = "a1", lease_s: float = 600) -> packets.Rules:
    """Make the rules of one fault."""
    return packets.Rules("mesh_chaos", id_, (22,), lease_s, CHAINS[name])


@AS_ROOT
@pytest.mark.parametrize("name", sorted(CHAINS))
def test_rules_come_and_go_beside_fifty_of_the_host(name: str) -> None:
    """The host's own ruleset is byte for byte the same after, and so is what nft says of it."""
    rules = some_rules(name)
    shown = "nft --stateless list ruleset"

    said = in_a_network(
        OWN, shown, "echo =", rules.load(), shown, "echo =", rules.unload(), shown
    ).split("=\n")

    assert said[0] == said[2]
    assert said[0].count("accept") == 50
    assert "table inet mesh_chaos {" in said[1]
    assert said[1].count("; policy accept;") == len(CHAINS[name])
    assert said[1].index("tcp dport 22 accept") < said[1].index("127.0.0.2")


@AS_ROOT
def test_a_packet_arrives_twice_and_its_table_goes_again() -> None:
    """Every one of a hundred per cent, and none any more after; each protocol has a table."""
    rules = packets.Rules(
        "mesh_chaos",
        "a1",
        (22,),
        600,
        packets.repeat(["127.0.0.2", "::1"], percent=100),
        ("ip", "ip6"),
    )
    script = """
import socket
for family, address in ((socket.AF_INET, "127.0.0.2"), (socket.AF_INET6, "::1")):
    ear = socket.socket(family, socket.SOCK_DGRAM)
    ear.bind((address, 9000))
    socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", (address, 9000))
    heard = 0
    ear.settimeout(60)
    while ear.recv(9):
        heard += 1
        ear.settimeout(1)
        try:
            ear.recv(9, socket.MSG_PEEK)
        except TimeoutError:
            break
    print(heard)
"""
    ask = f"{sys.executable} -c '{script}'"

    said = in_a_network(rules.load(), ask, rules.unload(), ask, "nft list ruleset")

    assert said.split() == ["2", "2", "1", "1"]


@AS_ROOT
def test_faults_that_overlap_share_the_table() -> None:
    """The first to end leaves the other's rules in force; the last takes the table along."""
    one, two = some_rules("cut"), some_rules("loss", id_="b2")

    said = in_a_network(
        one.load(), two.load(), one.unload(), "nft list ruleset", "echo =", two.unload(),
        "nft list ruleset",
    ).split("=\n")  # fmt: skip

    assert "in_b2" in said[0]
    assert "a1" not in said[0]
    assert said[1] == ""


@AS_ROOT
def test_a_table_of_a_mesh_that_is_named_like_a_chain_goes_too() -> None:
    """Whether other faults are in it is read from its chains, not from its own name."""
    rules = packets.Rules("chain_chaos", "a1", (22,), 600, CHAINS["cut"])

    assert in_a_network(rules.load(), rules.unload(), "nft list ruleset") == ""


@AS_ROOT
def test_a_table_that_a_fault_left_is_named() -> None:
    """It is no part of the host's own rules, and is looked for by its name."""
    script = (
        "from aitbc_toolkit.deploys.hostside import residue; said = residue._ruleset(); "
        "print(residue._rules(said, 'mesh_chaos')); "
        "print(residue._tables(said, 'mesh_chaos'))"
    )
    ask = f'{sys.executable} -c "{script}"'

    said = in_a_network(ask, some_rules("cut").load(), ask)

    assert said.split("\n") == ["", "[]", "", "['inet mesh_chaos']", ""]


@pytest.mark.parametrize("was", ["yes", "no"])
def test_watchdogs_are_after_two_faults_as_before_them(tmp_path: Path, was: str) -> None:
    """Two that overlap end in any order, an end may come twice; the host's own word stays."""
    state = tmp_path / "state"
    state.write_text(f"{was}\n")
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\n[ -z "$2" ] && {{ cat {state}; exit; }}\necho "$2" > {state}\n')
    program.chmod(0o755)
    production = Inventory.load("production")
    words = units.Units(production.hosts[0], {})
    one, two = (f"{tmp_path}/{name}.held" for name in ("one", "two"))
    told = []
    for text in (
        words.patient(one),
        words.patient(two),
        words.impatient(one),
        words.impatient(one),
        words.impatient(two),
        words.impatient(two),
    ):
        subprocess.run(
            ["sh", "-c", text], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, check=False
        )
        told.append(state.read_text().strip())

    assert told == ["no", "no", "no", "no", was, was]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["state", "systemctl"]


@AS_ROOT
@pytest.mark.parametrize("own", ["handle 1: htb", "handle ab12: htb", ""])
def test_a_queue_that_is_not_the_faults_own_stays(own: str) -> None:
    """A host's own is neither replaced nor removed; without one the fault's comes and goes."""
    shown = "tc qdisc show dev lo"
    handle = packets.handle_of("00ab34ff")
    narrow = " && ".join(packets.narrow("lo", handle, 100).splitlines())

    said = in_a_network(
        f"tc qdisc add dev lo root {own}" if own else "true",
        shown, "echo =", f"{{ {narrow}; }} || echo refused", shown, "echo =",
        f"{packets.widen('lo', handle)} || true", shown,
    ).split("=\n")  # fmt: skip

    assert said[2] == said[0]
    assert said[1] == f"refused\n{said[0]}" if own else "qdisc htb ab:" in said[1]


@AS_ROOT
def test_the_kernel_ends_a_cut_though_nobody_takes_it_away() -> None:
    """A connection fails while the element lives, and succeeds after it, the rules still there."""
    script = """
import socket, sys, time
door = socket.create_server(("127.0.0.2", 8600))
def reaches():
    try:
        socket.create_connection(("127.0.0.2", 8600), timeout=0.3).close()
    except TimeoutError:
        return False
    return True
began = time.monotonic()
print(reaches())
while not reaches() and time.monotonic() - began < 60:
    pass
print(time.monotonic() - began >= 1.5)
"""
    rules = some_rules("cut", lease_s=2)

    said = in_a_network(
        rules.load(), f"{sys.executable} -c '{script}'", "nft list ruleset | grep -c counter"
    )

    assert said.split() == ["False", "True", "4"]


@AS_ROOT
@pytest.mark.parametrize("loaded", [True, False])
def test_a_cut_is_proved_by_counters_and_by_connections(loaded: bool) -> None:  # noqa: FBT001 - pytest gives it
    """With the rules both hold; the planted fault, whose rules never came, shows neither."""
    rules = some_rules("cut")
    proofs = [
        {"what": "packets", "families": ["inet"], "table": "mesh_chaos", "chains": rules.names(),
         "peers": [["127.0.0.2", 8600, "v2"]]},
        {"what": "unreachable", "peers": [["127.0.0.2", 8600, "v2"]]},
    ]  # fmt: skip
    words = json.dumps(json.dumps({"proofs": proofs, "within_s": 0.5}))
    script = (
        "import json, socket; from aitbc_toolkit.deploys.hostside import biting; "
        'door = socket.create_server(("127.0.0.2", 8600)); '
        f"print(json.dumps(biting.prove(json.loads({words}))))"
    )

    said = in_a_network(*([rules.load()] if loaded else []), f"{sys.executable} -c '{script}'")

    told = json.loads(said)
    assert told["bites"] is loaded
    assert (told["evidence"]["packets"] > 0) is loaded
    assert (told["evidence"]["unreachable"]["v2"] == "no answer") is loaded


RELAYED = """
import os, socket, subprocess, sys, threading, time
from aitbc_toolkit.deploys.hostside import biting
from aitbc_toolkit.faults import packets, relaying

def echo(taken):
    try:
        while piece := taken.recv(65536):
            taken.sendall(piece)
    except OSError:
        pass
    taken.close()

def serve():
    while True:
        threading.Thread(target=echo, args=[door.accept()[0]], daemon=True).start()

def connected():
    return socket.create_connection((address, 8600), timeout=60)

def asked(link):
    began = time.monotonic()
    link.sendall(b"x")
    assert link.recv(1) == b"x"
    return (time.monotonic() - began) * 1000

def broken(link):
    try:
        link.sendall(b"x")
        return link.recv(1) == b""
    except OSError:
        return True

load, unload, ready, address = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
door = socket.create_server((address, 8600), family=family)
threading.Thread(target=serve, daemon=True).start()
old = connected()
print(asked(old) < 30_000)
words = ["600", "20001", str(packets.MARK), ready, f"{address},200,100"]
argv = [sys.executable, relaying.__file__, *words]
relay = subprocess.Popen(argv)
deadline = time.monotonic() + 60
while not os.path.exists(ready):
    assert time.monotonic() < deadline
subprocess.run(["sh", "-ec", load], check=True)
print(broken(old))
link = connected()
print(asked(link) >= 600, asked(link) >= 300)
threading.Thread(target=lambda: link.sendall(bytes(6 * 2**20)), daemon=True).start()
got = 0
while got < 6 * 2**20:
    got += len(link.recv(65536))
print(got == 6 * 2**20)
subprocess.run(["sh", "-c", unload], check=True)
relay.kill()
relay.wait()
print(broken(link))
link = connected()
asked(link)
late = {"what": "late", "peers": [[address, 8600, "v2", 300]]}
told = biting.prove({"within_s": 0, "proofs": [late]})
print(told["bites"])
"""


@AS_ROOT
@pytest.mark.parametrize("address", ["127.0.0.2", "fd00::2"])
def test_a_relay_holds_both_ways_back_and_ends_with_its_connections(
    tmp_path: Path, address: str
) -> None:
    """A connection of before is reset, the next one is late both ways; none outlives the relay."""
    rules = some_rules("detour")
    script = tmp_path / "script.py"
    script.write_text(RELAYED)
    words = [sys.executable, str(script), rules.load(), rules.unload(), str(tmp_path / "ready")]
    own = "ip address add fd00::2/128 dev lo"

    # A host that knows its connections does not take an old one for new, and would not redirect it.
    knows = "add rule inet own c ct state established accept"
    hook = "add chain inet own c { type filter hook output priority 0; }"

    said = in_a_network(
        own, f"nft 'add table inet own; {hook}; {knows}'", shlex.join([*words, address])
    )

    assert said.split("\n") == ["True", "True", "True True", "True", "True", "False", ""]


def test_a_disk_is_full_until_the_filler_ends(tmp_path: Path) -> None:
    """Nothing is left of it, though it is killed: its file has no name."""
    if os.geteuid() != 0:
        pytest.skip("a disk of its own needs root")
    program = Path(packets.__file__).with_name("filling.py")
    script = (
        f"mount -t tmpfs -o size=8m none {tmp_path}\n"
        f"timeout -s KILL 2 {sys.executable} {program} 600 {tmp_path} &\n"
        f"until ! head -c 8192 /dev/zero >> {tmp_path}/more 2>/dev/null; do sleep 0.1; done\n"
        "wait\n"
        f"rm {tmp_path}/more; ls -A {tmp_path}; df --output=avail -B1 {tmp_path} | tail -1\n"
    )
    argv = ["unshare", "--mount", "sh", "-c", script]

    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)

    assert done.stdout.split() == [str(8 * 2**20)], done.stderr


def test_a_throttled_process_stands_still_for_most_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the proof measures is the process, whoever holds it."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    monkeypatch.setattr(biting.services, "manager", lambda _: _OneProcess(process.pid))
    params = {"instances": [{"name": "v1", "unit": "u"}], "within_s": 0}
    proofs = [{"what": "throttled", "node": "v1"}, {"what": "stopped", "node": "v1"}]
    try:
        free = biting.prove({**params, "proofs": proofs[:1]})
        os.kill(process.pid, 19)
        deadline = time.monotonic() + 60
        while not biting.prove({**params, "proofs": proofs[1:]})["bites"]:
            assert time.monotonic() < deadline
        held = biting.prove({**params, "proofs": proofs[:1]})
    finally:
        process.kill()
        process.wait()

    assert not free["bites"]
    assert free["evidence"] == {"v1 throttled": "0% of the time stopped"}
    assert not held["bites"], "one that never runs is stopped, not throttled"


class _OneProcess:
    """Be the manager of one process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def state(self, _instance: dict[str, Any]) -> dict[str, Any]:
        return {"pid": self.pid, "active": True, "word": "running"}
