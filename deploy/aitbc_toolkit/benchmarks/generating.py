"""What does a swarm cost beside `wrk`, which posts one body for ever and reads nothing?

Both hand in at the same mesh of pretence on this machine, in turns, and processor time is what is
compared: a swarm's transactions are all different, each answer is read, and each is followed until
it is final. Whether a real mesh could take as many is no matter here.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from aitbc_node.crypto import SigningKey
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import Output
from aitbc_node.types import Address, Amount
from aitbc_toolkit import measured, paths, shell
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import LOOPBACK
from aitbc_toolkit.release.progress import Tell, step
from aitbc_toolkit.suites.swarm import Document, Swarm
from aitbc_toolkit.suites.verdicts import Verdict
from aitbc_toolkit.wallet import ChainNow, Wallet

SINGLE_MIN, BATCH_MIN = 0.25, 5.0
"""Transactions a CPU-second of ours beside requests of `wrk`."""
BATCH = 50

_PACKAGES = ("wrk", "libluajit-5.1-2")
_INSTALL_S = 120.0
_WRK_S = 4
_SLACK_S = 30.0
_RATES = {"single": 20_000.0, "batch": 300_000.0}
"""`wrk` posts as fast as it is answered. A process that is asked for less sleeps in between and is
woken with cold caches: send and receive alone take 3.4 us then without a pause, 7 at 8,000 a second
and 16 at 2,000. These are two fifths of what a core can follow here, and a third in batches."""
_FOR_S = 4.0
_CHAIN = "aitbc-fake-1"
_TERMS: Document = {
    "chain_id": _CHAIN,
    "hrp": "aitt",
    "height": 0,
    "ttl_blocks": 1_000,
    "interval_ms": 200,
    "gas_price_max": 1_000,
}


def measure(*, rounds: int, evidence: Path, tell: Tell) -> Document:
    """Take turns so many times; return the document that is printed.

    Raises: AitbcError when `wrk` cannot be had, or somebody fails.
    """
    shutil.rmtree(evidence, ignore_errors=True)
    evidence.mkdir(parents=True)
    program = Wrk(evidence)
    found: dict[str, list[float]] = {"wrk": [], "single": [], "batch": []}
    contenders: list[tuple[str, Callable[[list[int]], float]]] = [
        ("wrk", program.rate),
        ("single", lambda ports: _ours(ports, evidence, "single", batch=1)),
        ("batch", lambda ports: _ours(ports, evidence, "batch", batch=BATCH)),
    ]
    for number in range(1, rounds + 1):
        with step(tell, f"round {number}", "wrk, single and batch in turn") as now:
            turn = number % len(contenders)
            for name, rate in [*contenders[turn:], *contenders[:turn]]:
                with _mesh() as ports:
                    found[name].append(rate(ports))
            newest = ", ".join(f"{name} {rates[-1]:,.0f}" for name, rates in found.items())
            now.say(f"{newest} a CPU-second")
    return {
        **figures(found),
        "rounds": rounds,
        "rates": {name: [round(rate) for rate in rates] for name, rates in found.items()},
        "wrk": program.version,
        "evidence": str(evidence),
        **measured.circumstances(paths.project_root()),
    }


def figures(found: Mapping[str, Sequence[float]]) -> Document:
    """Compare the middle of all rounds, and judge it."""
    middle = {name: statistics.median(rates) for name, rates in found.items()}
    single, batch = middle["single"] / middle["wrk"], middle["batch"] / middle["wrk"]
    missed = [
        f"{name} {ratio:.2f} of wrk, at least {least:g} is wanted"
        for name, ratio, least in (("single", single, SINGLE_MIN), ("batch", batch, BATCH_MIN))
        if ratio < least
    ]
    return {
        "verdict": Verdict.OBJECTIVE if missed else Verdict.PASS,
        "why": missed,
        "wrk_per_cpu_s": round(middle["wrk"]),
        "single_per_cpu_s": round(middle["single"]),
        "batch_per_cpu_s": round(middle["batch"]),
        "ratio_single": round(single, 3),
        "ratio_batch": round(batch, 3),
    }


class Wrk:
    """Post one transaction over and over with `wrk`, of this machine or unpacked for this alone."""

    def __init__(self, folder: Path) -> None:
        self._program = shutil.which("wrk") or _unpacked(folder)
        self._libraries = {"LD_LIBRARY_PATH": str(folder / "wrk/usr/lib" / _triplet())}
        self._script = folder / "post.lua"
        body = folder / "body"
        body.write_bytes(msgspec.msgpack.encode([_a_transfer()]))
        self._script.write_text(
            'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/msgpack"\n'
            f'wrk.body = io.open("{body}", "rb"):read("*a")\n',
            encoding="ascii",
        )

    @property
    def version(self) -> str:
        """Tell which one this is."""
        said = shell.run([self._program, "-v"], env=self._libraries, check=False)
        return (said.stdout + said.stderr).partition(" Copyright")[0].strip()

    def rate(self, ports: list[int]) -> float:
        """Return its requests for each second of processor time. Raises: AitbcError."""
        url = f"http://{LOOPBACK}:{ports[0]}/tx"
        argv = [self._program, "-t1", "-c32", f"-d{_WRK_S}s", "-s", str(self._script), url]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = shell.run(argv, env=self._libraries, timeout_s=_WRK_S + _SLACK_S)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return requests(done.stdout) / cpu_s


def requests(said: str) -> int:
    """Read how many requests were answered well. Raises: AitbcError where some were not."""
    count = next((line.split()[0] for line in said.splitlines() if " requests in " in line), "")
    if not count.isdigit() or "Non-2xx" in said or "Socket errors" in said:
        raise AitbcError(f"wrk was not answered: {said[-200:]}", hint="ulimit -n")
    return int(count)


def _unpacked(folder: Path) -> str:
    """Fetch the Debian packages and unpack them below the evidence; nothing is installed."""
    hint = "apt-get update, or apt-get install wrk"
    shell.run(
        ["apt-get", "download", "-q", *_PACKAGES], cwd=folder, timeout_s=_INSTALL_S, hint=hint
    )
    for package in sorted(folder.glob("*.deb")):
        shell.run(["dpkg", "-x", package, folder / "wrk"], timeout_s=_INSTALL_S, hint=hint)
    return str(folder / "wrk/usr/bin/wrk")


def _triplet() -> str:
    return f"{os.uname().machine}-linux-gnu"


def _a_transfer() -> bytes:
    key = SigningKey(bytes(range(32)))
    chain = ChainNow(_CHAIN, "aitt", valid_until=1_000, max_gas_price=1_000)
    out = Output(Address(bytes(20)), NATIVE, Amount(1))
    return Wallet(key).transfer(chain, nonce=0, new=True, outs=[out])


@contextmanager
def _mesh() -> Iterator[list[int]]:
    """Start the mesh of pretence of the swarm's own tests, one that reads nothing; give its ports.

    It answers and tells all the same, and leaves the processor to those who are measured.
    """
    program = paths.project_root() / "tests/toolkit/fake_mesh.py"
    argv = [sys.executable, str(program), json.dumps({"blind": True})]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - our own program
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["ports"]
        finally:
            process.kill()


def _ours(ports: list[int], evidence: Path, name: str, *, batch: int) -> float:
    """Return a swarm's final transactions for each second of its processor time."""
    folder = evidence / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    nodes = [
        {"name": f"v{place}", "host": LOOPBACK, "port": port, "power": 1}
        for place, port in enumerate(ports, 1)
    ]
    plan = {
        "scenario": f"benchmark/{name}",
        "seed": 7,
        "rate": _RATES[name],
        "for_s": _FOR_S,
        "batch": batch,
        "in_flight_max": 50_000,
    }
    order = {
        "plan": plan,
        "terms": _TERMS,
        "nodes": nodes,
        "folder": str(folder),
        "circumstances": {},
    }
    told = Swarm(order, money=lambda _funds: _TERMS, tell=_unheard).run()
    return final_per_cpu_s(told)


def final_per_cpu_s(told: Mapping[str, Any]) -> float:
    """Divide what became final by the processor time until all had. Raises: AitbcError."""
    books, cpu_s = told["books"], told["generator"]["tracked_cpu_s"]
    if not cpu_s or books["final"] != books["sent"]:
        what = f"{books['final']:,} of {books['sent']:,} final"
        raise AitbcError(f"the swarm's run shows nothing: {what}", hint="uptime")
    return float(books["final"] / cpu_s)


def _unheard(_what: str, _told: Document) -> None:
    """Tell nobody what happens in each second."""
