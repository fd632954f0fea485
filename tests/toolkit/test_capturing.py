"""Packets of a case: what a host writes down, how much of it, and what is taken along."""

import contextlib
import dataclasses
import io
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitbc_toolkit import telling
from aitbc_toolkit.deploys.hostside import capturing as hostside
from aitbc_toolkit.deploys.hostside import files
from aitbc_toolkit.deploys.hostside.trouble import Trouble
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.remote import Row
from aitbc_toolkit.suites import capturing, catalogue, sniffing
from aitbc_toolkit.suites.capturing import Capture
from aitbc_toolkit.suites.scenario.schema import Case, Packets

PORT, OTHER = 8700, 22
LINK = bytes(12)


def v4(source: int, target: int, *, protocol: int = 6, options: int = 0, offset: int = 0) -> bytes:
    """Build the beginning of an IPv4 frame."""
    first = bytes([0x45 + options, 0, 0, 0, 0, 0, offset >> 8, offset & 255, 64, protocol])
    head = LINK + b"\x08\x00" + first + bytes(10 + 4 * options)
    return head + source.to_bytes(2, "big") + target.to_bytes(2, "big") + bytes(20)


def v6(source: int, target: int) -> bytes:
    """Build the beginning of an IPv6 frame."""
    head = LINK + b"\x86\xdd" + bytes([0x60, 0, 0, 0, 0, 0, 6, 64]) + bytes(32)
    return head + source.to_bytes(2, "big") + target.to_bytes(2, "big") + bytes(20)


def a_case(**pcap: str) -> Case:
    """Give a case that asks for packets."""
    case = catalogue.parts("partition/minority")[0].case
    assert case is not None
    packets = [msgspec.convert({"pcap": pcap}, Packets)]
    return msgspec.structs.replace(
        case, written=msgspec.structs.replace(case.written, collect=packets)
    )


def packets_of(file: bytes) -> list[bytes]:
    """Read a pcap file as a program for people would: header, then record by record."""
    assert file[:24] == sniffing.HEADER
    found, at = [], 24
    while at < len(file):
        (_, _, length, _) = sniffing.RECORD.unpack_from(file, at)
        found.append(file[at + 16 : at + 16 + length])
        at += 16 + length
    return found


@pytest.mark.parametrize(
    ("frame", "ports"),
    [
        (v4(PORT, OTHER), (PORT, OTHER)),
        (v4(OTHER, PORT, options=5), (OTHER, PORT)),
        (v4(PORT, OTHER, protocol=17), (PORT, OTHER)),
        (v6(OTHER, PORT), (OTHER, PORT)),
        (v4(PORT, OTHER, protocol=1), (0, 0)),
        (v4(PORT, OTHER, offset=7), (0, 0)),
        (LINK + b"\x08\x06" + bytes(60), (0, 0)),
        (v4(PORT, OTHER)[:30], (0, 0)),
        (b"", (0, 0)),
    ],
    ids=["tcp", "options", "udp", "v6", "icmp", "fragment", "arp", "cut off", "empty"],
)
def test_ports_are_read_of_whole_headers_only(frame: bytes, ports: tuple[int, int]) -> None:
    """Both families; what has no ports, or not all of its header, has none."""
    assert sniffing.ports_of(frame) == ports


def test_a_host_keeps_the_newest_and_no_more_than_it_may(tmp_path: Path) -> None:
    """Two files at most; put together, they are one file that ends with the last packet."""
    ring = sniffing.Ring(tmp_path, 2_000)
    for number in range(200):
        ring.keep(b"%04d" % number, 4, 1.5)

    kept = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    found = packets_of(capturing.joined(kept))

    assert len(kept) == 2
    assert sum(map(len, kept)) <= 2_000
    assert found == [b"%04d" % number for number in range(200 - len(found), 200)]
    assert len(found) > 40


@pytest.mark.parametrize("cut", [0, 3, 19])
def test_what_does_not_fit_loses_its_oldest_packets(tmp_path: Path, cut: int) -> None:
    """Whole records stay, also of a file whose last one was just being written."""
    ring = sniffing.Ring(tmp_path, 100_000)
    for number in range(50):
        ring.keep(b"%04d" % number, 4, 1.5)
    file = (tmp_path / "00000001.pcap").read_bytes()

    small = capturing.newest(file[: len(file) - cut], 24 + 5 * 20)

    last = 49 if cut == 0 else 48
    assert packets_of(small) == [b"%04d" % number for number in range(last - 4, last + 1)]
    assert capturing.newest(file, 10) == b""


def test_the_program_writes_what_the_ports_of_nodes_say(
    tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Run as a host runs it: packets of its ports, both ways, and no others."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError as refused:
        pytest.skip(f"no packet socket here: {refused}")
    text = Path(sniffing.__file__).read_text(encoding="utf-8")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as others,
    ):
        ours.bind(("127.0.0.1", 0))
        others.bind(("127.0.0.1", 0))
        port = ours.getsockname()[1]
        argv = [sys.executable, "-I", "-S", "-c", text, "600", str(tmp_path), "100000", f"{port}"]
        with subprocess.Popen(argv) as program:
            try:

                def is_heard() -> bool:
                    others.sendto(b"not this", others.getsockname())
                    ours.sendto(b"but this", ours.getsockname())
                    files = [path.read_bytes() for path in tmp_path.glob("*.pcap")]
                    return bool(files) and len(files[0]) > len(sniffing.HEADER)

                eventually("a packet in the file", is_heard)
            finally:
                program.kill()

    file = (tmp_path / "00000001.pcap").read_bytes()
    assert all(b"but this" in each for each in packets_of(capturing.newest(file, 10**6)))


class Words:
    """Be hosts that keep a packet each; the last one cannot listen, or has gone since."""

    def __init__(self, *, lost: str = "") -> None:
        self.steps: list[tuple[str, dict[str, Any]]] = []
        self._lost = lost

    def step(self, step: str, params: dict[str, Any], *, deadline_s: int) -> dict[str, Row]:
        self.steps.append((step, params))
        refused = {"error": "no packet socket: Operation not permitted"}
        kept = {"files": [hostside.base64.b64encode(sniffing.HEADER).decode()]}
        last = max(params) if self._lost == step else ""
        return {
            name: Row(name, name != last, refused if name == last else kept, deadline_s)
            for name in params
        }


def on_hosts(environment: Any, *, may_break: bool = True) -> Any:
    """Make the mesh of a test one whose hosts have systemd."""
    rules = msgspec.structs.replace(environment.rules, chaos_allowed=may_break)
    hosts = tuple(dataclasses.replace(each, manager="systemd") for each in environment.hosts)
    return dataclasses.replace(environment, rules=rules, hosts=hosts)


def test_packets_are_taken_along_where_a_case_failed(fake_mesh: Any) -> None:
    """Every host is told the ports of its nodes, an end, and its part of the limit."""
    words = Words()
    capture = Capture(on_hosts(fake_mesh.environment), words, a_case())  # type: ignore[arg-type]

    capture.begin()
    found = capture.end(failed=True)

    [(first, params), (second, told)] = words.steps
    assert (first, second) == ("capture", "captured")
    assert set(found) == {f"{name}.pcap" for name in params}
    assert sum(each["bytes"] for each in params.values()) <= 5_000_000
    assert all(each["ports"] and each["lease_s"] > 0 for each in params.values())
    for name, each in [*params.items(), *told.items()]:  # how a host is worked on
        assert telling.host(fake_mesh.environment.host(name)).items() <= each.items()
    assert all(each["wanted"] for each in told.values())
    assert capture.missing == []


@pytest.mark.parametrize(
    ("on", "lost", "kept"),
    [("failure", "", False), ("failure", "capture", False), ("always", "", True)],
)
def test_packets_of_a_pass_are_kept_only_where_that_is_asked_for(
    fake_mesh: Any, on: str, lost: str, *, kept: bool
) -> None:
    """The hosts stop and forget in either case; who could not listen is of no interest then."""
    words = Words(lost=lost)
    case = a_case(on=on, limit="1MB")
    capture = Capture(on_hosts(fake_mesh.environment), words, case)  # type: ignore[arg-type]

    capture.begin()
    found = capture.end(failed=False)

    assert bool(found) is kept
    assert capture.missing == []
    assert [step for step, _ in words.steps] == ["capture", "captured"]


@pytest.mark.parametrize(
    ("lost", "may_break", "said"),
    [
        ("capture", True, "no packet socket: Operation not permitted"),
        ("captured", True, "no packet socket: Operation not permitted"),
        ("", False, "is not to be broken, nor listened to"),
    ],
)
def test_who_cannot_be_listened_to_is_named_with_the_reason(
    fake_mesh: Any, lost: str, said: str, *, may_break: bool
) -> None:
    """It costs the packets of that host, and nothing else."""
    environment = on_hosts(fake_mesh.environment, may_break=may_break)
    capture = Capture(environment, Words(lost=lost), a_case())  # type: ignore[arg-type]

    capture.begin()
    capture.end(failed=True)

    assert [said in each for each in capture.missing] == [True]


@pytest.mark.parametrize("failure", [AitbcError("lost", hint="-"), KeyboardInterrupt()])
def test_hosts_whose_answer_was_lost_are_told_to_stop(
    fake_mesh: Any, failure: BaseException
) -> None:
    """They may have begun, and would listen through later cases."""
    asked: list[str] = []

    class Lost(Words):
        def step(self, step: str, params: dict[str, Any], *, deadline_s: int) -> dict[str, Row]:
            if step == "capture":
                asked.extend(params)
                raise failure
            return super().step(step, params, deadline_s=deadline_s)

    words = Lost()
    capture = Capture(on_hosts(fake_mesh.environment), words, a_case())  # type: ignore[arg-type]

    with contextlib.suppress(KeyboardInterrupt):
        capture.begin()
    capture.end(failed=False)

    assert asked
    assert [(step, list(params)) for step, params in words.steps] == [("captured", asked)]


def test_a_host_that_cannot_start_to_listen_keeps_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a unit that was started takes it away."""

    def fail(_: list[str]) -> None:
        raise Trouble("no systemd-run")

    folder = tmp_path / "capture"
    monkeypatch.setattr(files, "call", fail)
    monkeypatch.setattr(hostside, "_folder", lambda _params: folder)
    monkeypatch.setattr(hostside, "_end", lambda _unit: None)
    monkeypatch.setattr(hostside.socket, "socket", lambda *_: io.BytesIO())
    params = {"mesh": "lab", "lease_s": 30.0, "bytes": 100, "ports": [1], "text": "pass"}
    with pytest.raises(Trouble, match="no systemd-run"):
        hostside.begin(params)

    assert not folder.exists()


def test_hosts_without_systemd_are_not_asked(fake_mesh: Any) -> None:
    """Nothing there would end a capture whose controller was killed."""
    words = Words()
    capture = Capture(fake_mesh.environment, words, a_case())  # type: ignore[arg-type]

    capture.begin()
    capture.end(failed=True)

    assert all("would not end a capture by itself" in each for each in capture.missing)
    assert capture.missing
    assert all(not params for _, params in words.steps)


def test_a_host_ends_a_capture_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unit has an end, and its files go with it; a host that may not listen says so."""
    calls: list[list[str]] = []
    monkeypatch.setattr(files, "call", calls.append)
    monkeypatch.setattr(hostside, "_folder", lambda _params: tmp_path / "capture")
    monkeypatch.setattr(hostside, "_end", lambda _unit: None)
    params = {"mesh": "lab", "lease_s": 30.0, "bytes": 100, "ports": [1, 2], "text": "pass"}

    class Refused:
        def __init__(self, *_: int) -> None:
            raise PermissionError(1, "Operation not permitted")

    class Granted:
        def __init__(self, *_: int) -> None: ...
        def close(self) -> None: ...

    monkeypatch.setattr(hostside.socket, "socket", Granted)
    hostside.begin(params)
    monkeypatch.setattr(hostside.socket, "socket", Refused)
    with pytest.raises(Trouble, match="no packet socket: Operation not permitted"):
        hostside.begin(params)

    [argv] = calls
    assert "--property=RuntimeMaxSec=32" in argv
    assert f"--property=ExecStopPost=/bin/rm -rf {tmp_path}/capture" in argv
    assert argv[-5:] == ["30", str(tmp_path / "capture"), "100", "1", "2"]
