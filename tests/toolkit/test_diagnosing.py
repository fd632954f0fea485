"""`aitbc diagnose network`, with troubles planted in four real RPC servers and on their host."""

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from aitbc_node.types import Power
from aitbc_toolkit.cli.main import run
from aitbc_toolkit.errors import Exit
from aitbc_toolkit.remote import Hosts, Row

pytestmark = pytest.mark.integration

COMMIT = "8b1f3c2" * 5 + "8b1f3"


class Host:
    """Be the one host of the mesh, as its programs would show it."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        self.error = ""
        self.checks: list[dict[str, str]] = []
        self.nodes = {
            f"v{number}": {"commit": COMMIT, "service": {"active": True, "word": "running"}}
            for number in range(1, 5)
        }

    def stop(self, name: str) -> None:
        """Let it say of a node that it does not run."""
        self.nodes[name]["service"] = {"active": False, "word": "stopped"}

    def answer(self) -> Row:
        """Answer one question."""
        now_ms = time.time_ns() // 1_000_000
        told: dict[str, Any] = {
            "wall_ms": now_ms + self.ahead_ms,
            "checks": self.checks,
            "instances": self.nodes,
        }
        if self.error:
            told = {"kind": "unreachable", "error": self.error}
        row = Row("localhost", ok=not self.error, answer=told, took_ms=0)
        return (
            row
            if self.error
            else Row(**{**_fields(row), "asked_ms": now_ms, "answered_ms": now_ms})
        )


def _fields(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Row.__slots__}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """Give the host that every step asks."""
    found = Host()

    def step(_self: Any, name: str, params: Any, **_more: Any) -> dict[str, Row]:
        assert name == "observe", "a diagnosis only looks"
        return {each: found.answer() for each in params}

    monkeypatch.setattr(Hosts, "step", step)
    return found


def diagnosed(capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    """Run the command; return its status and its document."""
    status = run(["diagnose", "network", "--json"])
    return status, json.loads(capsys.readouterr().out)


def become(mesh: Any, name: str, **facts: Any) -> None:
    """Let a node tell other facts about itself."""
    port = mesh.ports[name]
    port.facts = port.view.facts = msgspec.structs.replace(port.facts, **facts)


def test_a_mesh_that_is_well_has_no_findings(
    fake_mesh: Any, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every node is a row with what it and its host show, and one line says that all is well."""
    assert len(host.nodes) == len(fake_mesh.ports)
    assert run(["diagnose", "network"]) == Exit.OK
    shown = capsys.readouterr().out
    status, told = diagnosed(capsys)

    assert shown.endswith("\ndev: nothing is wrong\n")
    assert (status, told["verdict"], told["findings"]) == (Exit.OK, "ok", [])
    genesis = fake_mesh.ledger.genesis.hash().hex()
    for row in told["nodes"]:
        seen = (row["height"], row["peers"], row["genesis"], row["host_answers"], row["state"])
        assert seen == (3, 3, genesis, True, "voting")


def _foreign_genesis(mesh: Any, _host: Host) -> None:
    become(mesh, "v3", genesis_hash=bytes([7]) * 32)


def _another_node(mesh: Any, _host: Host) -> None:
    become(mesh, "v3", node="v2")


def _one_key_twice(mesh: Any, _host: Host) -> None:
    become(mesh, "v3", validator=mesh.ports["v1"].facts.validator)


def _another_release(mesh: Any, _host: Host) -> None:
    become(mesh, "v3", commit="f" * 40)


def _stopped(mesh: Any, host: Host) -> None:
    mesh.kill("v3")
    host.stop("v3")


def _deaf(mesh: Any, _host: Host) -> None:
    mesh.kill("v3")


def _cut_off(mesh: Any, _host: Host) -> None:
    mesh.ports["v3"].view.reachable_power = Power(1)
    others = [mesh.ports[name].facts.validator for name in ("v1", "v2", "v4")]
    mesh.ports["v3"].view.missing = frozenset(others)


def _tired(mesh: Any, _host: Host) -> None:
    mesh.ledger.grow(7)
    mesh.ports["v3"].view.last_voted_height = 2


def _clock_off(_mesh: Any, host: Host) -> None:
    host.ahead_ms = 7_000


def _clock_late(_mesh: Any, host: Host) -> None:
    host.ahead_ms = -900


def _own_clock_off(mesh: Any, _host: Host) -> None:
    mesh.ports["v3"].view.metrics = lambda: b"aitbc_height 3\naitbc_clock_skew_seconds -999\n"


def _disk_full(_mesh: Any, host: Host) -> None:
    evidence = "10 MiB of disk are free, 300 are needed"
    host.checks = [{"item": "disk", "state": "fail", "evidence": evidence, "hint": "df -h"}]


def _disk_filling(mesh: Any, _host: Host) -> None:
    mesh.ports["v3"].view.metrics = lambda: b"aitbc_height 3\naitbc_disk_used_ratio 0.97\n"


def _few_peers(mesh: Any, _host: Host) -> None:
    mesh.ports["v3"].view.metrics = lambda: b"aitbc_height 3\naitbc_peers 1\n"


def _no_metrics(mesh: Any, _host: Host) -> None:
    mesh.ports["v3"].view.metrics = lambda: b"{ this is no metric"


def _host_away(mesh: Any, host: Host) -> None:
    mesh.kill("v3")
    host.error = "unreachable: Could not connect"


PLANTED: list[tuple[Callable[[Any, Host], None], str, str, str, str]] = [
    (
        _foreign_genesis,
        "fail",
        "chain",
        "v3 is of another chain: its genesis is 070707070707,",
        "gen",
    ),
    (
        _another_node,
        "fail",
        "chain",
        "what answers in the place of v3 is another node: it is v2",
        "ss -ltnp",
    ),
    (
        _one_key_twice,
        "fail",
        "key",
        "v1 and v3 sign with one key: it will be slashed",
        "node stop v3",
    ),
    (
        _another_release,
        "warn",
        "release",
        "v3 runs ffffffffffff, 3 others run 8b1f3c2",
        "deploy dev",
    ),
    (_stopped, "fail", "reach", "v3 does not run on localhost (stopped)", "node start v3 -e dev"),
    (
        _deaf,
        "fail",
        "reach",
        "v3 runs on localhost and does not answer: connection",
        "node logs v3",
    ),
    (
        _cut_off,
        "fail",
        "partition",
        "side of v3: power 1 of 4, cannot make blocks",
        "topology -e dev",
    ),
    (_tired, "fail", "votes", "v3 on localhost: not voting", "node logs v3 -e dev"),
    (_clock_off, "fail", "clock", "the clock of host localhost is 7.0 s ahead", "timedatectl"),
    (_clock_late, "warn", "clock", "the clock of host localhost is 0.9 s behind", "timedatectl"),
    (_own_clock_off, "fail", "clock", "the clock of v3 is more than", "docs/alerts.md#clockoff"),
    (
        _disk_full,
        "fail",
        "disk",
        "host localhost: 10 MiB of disk are free, 300 are needed",
        "df -h",
    ),
    (_disk_filling, "warn", "disk", "the disk of v3 is more than", "docs/alerts.md#disknearlyfull"),
    (_few_peers, "warn", "peers", "v3 has fewer than 2 peers", "docs/alerts.md#peersfew"),
    (_no_metrics, "n.a.", "metrics", "v3 tells no metrics", "node metrics v3 -e dev"),
    (
        _host_away,
        "fail",
        "host",
        "host localhost cannot be asked: Could not connect; no answer from v3",
        "",
    ),
]


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted[0].__name__[1:])
def test_a_planted_trouble_is_the_one_finding(
    planted: tuple[Callable[[Any, Host], None], str, str, str, str],
    fake_mesh: Any,
    host: Host,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A sentence that names it, the command that helps, and 1 unless it is a warning."""
    plant, level, topic, says, hint = planted
    plant(fake_mesh, host)

    status, told = diagnosed(capsys)

    assert len(told["findings"]) == 1, told
    [found] = told["findings"]
    assert (found["level"], found["topic"]) == (level, topic)
    assert found["says"].startswith(says)
    assert hint in found["hint"]
    assert status == (Exit.FAILED if level == "fail" else Exit.OK)


def test_a_fault_comes_before_a_warning_and_is_told_once(
    fake_mesh: Any, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the host knows of a clock is not said again of the node on it."""
    for plant in (_another_release, _clock_off, _own_clock_off):
        plant(fake_mesh, host)

    assert run(["diagnose", "network"]) == Exit.FAILED

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[6::2]] == [
        ["fail", "clock"],
        ["warn", "release"],
        ["dev:", "1"],
    ]
    assert lines[7].strip() == "timedatectl set-ntp true   # on localhost"
    assert lines[-1] == "dev: 1 fail, 1 warn"


def _diverged(mesh: Any, _host: Host) -> None:
    mesh.ports["v2"].view.metrics = lambda: b"aitbc_height 3\naitbc_diverged 1\n"


def test_what_is_wrong_with_a_node_hides_nothing_of_its_neighbour(
    fake_mesh: Any, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two troubles of one topic on one host are two findings."""
    for plant in (_foreign_genesis, _diverged):
        plant(fake_mesh, host)

    _, told = diagnosed(capsys)

    found = [(each["topic"], each["node"]) for each in told["findings"]]
    assert found == [("chain", "v3"), ("chain", "v2")]


def test_a_warning_about_a_host_hides_no_failure_of_a_node_on_it(
    fake_mesh: Any, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clock that is a little late, and a node that is far off: status 1."""
    for plant in (_clock_late, _own_clock_off):
        plant(fake_mesh, host)

    status, told = diagnosed(capsys)

    found = [(each["level"], each["node"]) for each in told["findings"]]
    assert (status, found) == (Exit.FAILED, [("fail", "v3"), ("warn", "")])


def test_where_nobody_answers_nothing_is_known(
    fake_mesh: Any, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 69, and the one finding is the host; with the host there, it knows what runs."""
    for name in list(fake_mesh.ports):
        fake_mesh.kill(name)
        host.stop(name)

    down, told = diagnosed(capsys)
    host.error = "unreachable: Could not connect"
    away, nothing = diagnosed(capsys)

    assert (down, away) == (Exit.FAILED, Exit.UNREACHABLE)
    assert [each["topic"] for each in told["findings"]] == ["reach"] * 4
    assert [each["topic"] for each in nothing["findings"]] == ["host"]
