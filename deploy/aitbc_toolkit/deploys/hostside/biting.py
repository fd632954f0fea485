"""Does a fault bite? Each proof measures the effect on this host.

The order itself is asked only of a clock, at the end, where its node has told no time by then.
Reads only, but for connections that are opened and closed again. Standard library only.
"""

import errno
import itertools
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aitbc_toolkit.deploys.hostside import residue, services

Proof = dict[str, Any]
Found = tuple[bool, Any]

_POLL_S = 0.1
_CONNECT_S = 1.0
_GREET_S = 4.0
_SAMPLES = 50
_SAMPLE_S = 0.02
_STOPPED_SHARE_MIN = 0.1
_CLOCK_S = 1.0
_LATE_S = 0.02  # lines come late by some of it: a clock that gains less shows nothing in them
_PACE_S = 1.0


def prove(params: dict[str, Any]) -> dict[str, Any]:
    """Measure until every proof holds or the time is over; tell all that was seen."""
    deadline = time.monotonic() + params["within_s"]
    while True:
        is_last = time.monotonic() > deadline
        known = {**params, "is_last": is_last}
        found = [_TABLE[proof["what"]](proof, known) for proof in params["proofs"]]
        evidence = {
            " ".join([proof["node"], proof["what"]] if "node" in proof else [proof["what"]]): seen
            for proof, (_holds, seen) in zip(params["proofs"], found, strict=True)
        }
        bites = all(holds for holds, _seen in found)
        if bites or is_last:
            return {"bites": bites, "evidence": evidence, "at": time.time()}
        time.sleep(_POLL_S)


def reachable(peers: list[list[Any]]) -> dict[str, str]:
    """Try to connect to each peer, all at once; tell for each why not, or nothing."""
    if not peers:
        return {}
    with ThreadPoolExecutor(max_workers=len(peers)) as pool:
        told = pool.map(_connect, peers)
    return {str(peer[2]): why for peer, why in zip(peers, told, strict=True)}


def _late(proof: Proof, _params: dict[str, Any]) -> Found:
    """What a peer answers first arrives no sooner than it may; who is silent is late, too."""
    with ThreadPoolExecutor(max_workers=len(proof["peers"])) as pool:
        answered = pool.map(_greet, proof["peers"])
        took = dict(zip((each[2] for each in proof["peers"]), answered, strict=True))
    told, late = {}, []
    for _address, _port, name, least_ms in proof["peers"]:
        late.append(took[name] >= min(least_ms, _GREET_S * 1000))
        told[name] = f"{took[name]:.0f} ms, at least {least_ms} ms" if took[name] else "it hung up"
    return all(late), told


def _greet(peer: list[Any]) -> float:
    """Measure in ms how long a peer takes to answer the first words of TLS; 0 if it never does."""
    import ssl  # noqa: PLC0415 - for the one proof that needs it

    words = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    words.check_hostname, words.verify_mode = False, ssl.CERT_NONE
    began = time.monotonic()
    try:
        with (
            socket.create_connection((peer[0], peer[1]), timeout=_GREET_S) as plain,
            words.wrap_socket(plain),
        ):
            pass
    except TimeoutError:
        return _GREET_S * 1000
    except OSError:
        return 0.0
    return (time.monotonic() - began) * 1000


def _connect(peer: list[Any]) -> str:
    try:
        socket.create_connection((peer[0], peer[1]), timeout=_CONNECT_S).close()
    except TimeoutError:
        return "no answer"
    except OSError as failure:
        return errno.errorcode.get(failure.errno or 0, str(failure))
    return ""


def _unreachable(proof: Proof, _params: dict[str, Any]) -> Found:
    """Nobody whom the fault parts from this host can be connected to."""
    told = reachable(proof["peers"])
    return all(told.values()), told


def _counted(proof: Proof, _params: dict[str, Any]) -> Found:
    """The rules of the fault have met packets; connections are tried so that there are some."""
    reachable(proof["peers"])
    total = 0
    for family, chain in itertools.product(proof["families"], proof["chains"]):
        said = _said("nft", "--json", "list", "chain", family, proof["table"], chain)
        for item in json.loads(said)["nftables"] if said else ():
            for part in item.get("rule", {}).get("expr", ()):
                total += part["counter"]["packets"] if "counter" in part else 0
    return total > 0, total


def _queued(proof: Proof, _params: dict[str, Any]) -> Found:
    """The narrow class has carried bytes."""
    reachable(proof["peers"])
    # Not as JSON: tc writes classes of some kinds as plain text all the same.
    said = _said("tc", "-s", "class", "show", "dev", proof["device"])
    found = re.search(rf"^class \S+ {proof['class']} .*\n Sent (\d+) bytes", said, re.MULTILINE)
    bytes_sent = int(found[1]) if found else 0
    return bytes_sent > 0, bytes_sent


def _stopped(proof: Proof, params: dict[str, Any]) -> Found:
    """The node's process is there and stands still."""
    pid = _state(proof, params)["pid"]
    letter = _letter(pid)
    return letter in {"T", "t"}, f"process {pid} is in state {letter or 'none'}"


def _frozen(proof: Proof, params: dict[str, Any]) -> Found:
    """The manager holds all processes of the node."""
    unit = _instance(proof, params)["unit"]
    said = _said("systemctl", "show", unit, "-p", "FreezerState", "--value").strip()
    return said == "frozen", said


def _down(proof: Proof, params: dict[str, Any]) -> Found:
    """The node runs no more."""
    state = _state(proof, params)
    return not state["active"] and not state["pid"], state["word"]


def _restarted(proof: Proof, params: dict[str, Any]) -> Found:
    """The process of before is gone, and the manager has seen to another one."""
    pid = _state(proof, params)["pid"]
    return pid not in {0, proof["pid"]}, f"process {pid}, was {proof['pid']}"


def _throttled(proof: Proof, params: dict[str, Any]) -> Found:
    """The process stands still for a part of the time, and runs for the rest."""
    pid = _state(proof, params)["pid"]
    seen = []
    for _ in range(_SAMPLES):
        seen.append(_letter(pid) in {"T", "t"})
        time.sleep(_SAMPLE_S)
    share = sum(seen) / _SAMPLES
    return _STOPPED_SHARE_MIN <= share < 1, f"{share:.0%} of the time stopped"


def _limited(proof: Proof, params: dict[str, Any]) -> Found:
    """The kernel holds the process to the limit."""
    text = residue.address_space(_state(proof, params)["pid"])
    return text.isdigit(), f"address space {text}"


def _full(proof: Proof, _params: dict[str, Any]) -> Found:
    """No node of this host can write a page more."""
    found = os.statvfs(proof["path"])
    free = found.f_bavail * found.f_frsize
    return free <= proof["bytes_max"], f"{free} bytes free"


def _read_only(proof: Proof, params: dict[str, Any]) -> Found:
    """The unit's next process gets no place to write to; whether it lives is its own question."""
    said = _said("systemctl", "show", _instance(proof, params)["unit"], "-p", "ReadOnlyPaths")
    down = not _state(proof, params)["active"]
    return proof["path"] in said and down, f"{said.strip()}, {'down' if down else 'up'}"


def _clock(proof: Proof, params: dict[str, Any]) -> Found:
    """What the process writes has times of its own, beside the host's as it came."""
    pid = _state(proof, params)["pid"]
    rows = list(_times(pid)) if pid else []
    lasted = rows[-1][0] - rows[0][0] if rows else 0.0
    wanted = proof.get("gain", 0.0) * lasted
    if not rows or ("gain" in proof and (lasted < _PACE_S or abs(wanted) < _LATE_S)):
        # Who reads a long log first has not yet, and who logs warnings alone never does.
        why = "too little is due yet" if rows else "it has told no time yet"
        return _ordered(pid, why) if params["is_last"] else (False, why)
    offsets = [own - host for host, own in rows]
    told = f"{offsets[-1]:+.1f} s by {len(rows)} lines of process {pid}"
    if "offset_s" in proof:
        slack = min(_CLOCK_S, abs(proof["offset_s"]) / 2)
        return abs(offsets[-1] - proof["offset_s"]) <= slack, told
    if "swing_s" in proof:
        least = max(proof["swing_s"] - _CLOCK_S, proof["swing_s"] / 2)
        return max(map(abs, offsets)) >= least, told
    gained = offsets[-1] - offsets[0]
    # Lines come late on a busy host, and half of what is due is enough to tell.
    is_due = gained * wanted > 0 and abs(gained) >= abs(wanted) / 2
    return is_due, f"{gained:+.3f} s in {lasted:.1f} s, {wanted:+.3f} s are due"


def _ordered(pid: int, why: str) -> Found:
    """The process was started with a clock of its own, and the library that gives it is loaded."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8").split("\0")
        loaded = "libfaketime" in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    except OSError as gone:
        return False, str(gone)
    own = [each for each in variables if each.startswith("FAKETIME")]
    told = f"not measured, {why}: {' '.join(own) or 'the clock of the host'}"
    return loaded and bool(own), told


def _times(pid: int) -> Iterator[tuple[float, float]]:
    """Read when lines of a process came to this host's journal, and when it says that it wrote."""
    said = _said("journalctl", f"_PID={pid}", "-b", "-n", "50", "-o", "json", "--no-pager")
    for line in said.splitlines():
        entry = json.loads(line)
        try:
            own = json.loads(entry["MESSAGE"])["time_ms"] / 1000
        except (KeyError, TypeError, ValueError):
            continue  # somebody else's words
        yield int(entry["__REALTIME_TIMESTAMP"]) / 1e6, own


def _shorter(proof: Proof, params: dict[str, Any]) -> Found:
    """The node is down, and its file has lost so much of what it had."""
    is_down, word = _down(proof, params)
    try:
        was = int(Path(proof["before"]).read_text(encoding="ascii"))
        now = Path(proof["path"]).stat().st_size
    except (OSError, ValueError) as gone:
        return False, str(gone)
    return is_down and now == was - proof["bytes"], f"{word}, {now} bytes, were {was}"


def _lying(proof: Proof, params: dict[str, Any]) -> Found:
    """The process that runs for the node is the program that breaks the rules."""
    pid = _state(proof, params)["pid"]
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    except OSError as gone:
        return False, str(gone)
    return all(word in words for word in proof["words"]), " ".join(words[3:5])


def _instance(proof: Proof, params: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each for each in params["instances"] if each["name"] == proof["node"]
    )
    return found


def _state(proof: Proof, params: dict[str, Any]) -> dict[str, Any]:
    return services.manager(params).state(_instance(proof, params))


def _letter(pid: int) -> str:
    """Read the state of a process. Source: proc_pid_stat(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[0]


def _said(*argv: str) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=10)  # noqa: S603 - fixed words
    return done.stdout


_TABLE: dict[str, Callable[[Proof, dict[str, Any]], Found]] = {
    "unreachable": _unreachable,
    "packets": _counted,
    "bytes": _queued,
    "late": _late,
    "stopped": _stopped,
    "frozen": _frozen,
    "down": _down,
    "restarted": _restarted,
    "throttled": _throttled,
    "limited": _limited,
    "full": _full,
    "read-only": _read_only,
    "clock": _clock,
    "shorter": _shorter,
    "lying": _lying,
}
