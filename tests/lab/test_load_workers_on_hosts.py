"""Workers of a swarm on real hosts over SSH: one run, a cut SSH, a controller that is killed."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lab_mesh import LabMesh, deployed

from aitbc_load.histograms import Latencies
from aitbc_toolkit.suites import loads, lodging, repertoire
from aitbc_toolkit.suites.swarm import Document
from aitbc_toolkit.suites.verdicts import Verdict

pytestmark = [pytest.mark.lab, pytest.mark.nightly]

# Cuts SSH off for some seconds, and tells how long a worker lived in them: RPC passes meanwhile.
CUT = """
import json, subprocess, time
from pathlib import Path
worker = b"/work" b"er-1"
rules = "table inet cut_ssh {{ chain in {{ type filter hook prerouting priority -400; {to} }}; "
rules += "chain out {{ type filter hook output priority -400; {back} }}; }}"
time.sleep(1)
subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
cut = seen = time.monotonic()
while time.monotonic() < cut + 20:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if worker in path.read_bytes():
                seen = time.monotonic()
        except OSError:
            pass
    time.sleep(0.1)
subprocess.run(["nft", "delete", "table", "inet", "cut_ssh"], check=True)
Path("/tmp/cut.json").write_text(json.dumps({{"lived_s": seen - cut}}))
""".format(to="tcp dport 22 drop;", back="tcp sport 22 drop;")

CONTROLLER = """
import sys
from dataclasses import replace
from pathlib import Path
from aitbc_toolkit.inventory import Inventory
from aitbc_toolkit.suites import loads, repertoire

found = Inventory.load(sys.argv[1], state=Path(sys.argv[2]))
case = repertoire.case("load/steady")
asked = loads.wanted(case.written, seed=int(sys.argv[4]), faster=20, longer=300, case=case)
asked = replace(asked, workers=2, on=("lab1", "lab2"))
loads.play(found, asked, Path(sys.argv[3]), tell=lambda *told: print(told[0], flush=True))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabMesh]:
    """Give the tests of this file one mesh."""
    with deployed(tmp_path_factory, "r") as mesh:
        yield mesh


def left(made: LabMesh) -> str:
    """List what is left of workers on any host: folders, and processes that run from them."""
    look = f"ls -d /tmp/{lodging.NAME}* 2>/dev/null; grep -la /{lodging.CODE} /proc/[0-9]*/environ"
    hosts = (f"lab{number}" for number in range(1, 5))
    return "".join(made.on(host, "sh", "-c", f"({look}) 2>/dev/null || true") for host in hosts)


def play(made: LabMesh, folder: Path, hear: Callable[..., None], **how: Any) -> loads.Played:
    """Let workers on three hosts make a run."""
    case = repertoire.case("load/steady")
    asked = loads.wanted(case.written, faster=60, case=case, **how)
    asked = replace(asked, workers=3, on=("lab1", "lab2", "lab3"))
    return loads.play(made.environment, asked, folder, tell=hear)


def test_three_hosts_make_one_run(made: LabMesh, tmp_path: Path) -> None:
    """Books and histograms add up exactly over all of them, and nothing stays on any."""
    played = play(made, tmp_path, lambda *_: None, seed=11, longer=10)

    told = played.told
    assert told is not None
    print(played.record.verdict, told["why"], told["workers"])  # noqa: T201 - measured
    assert played.record.verdict in {Verdict.PASS, Verdict.OBJECTIVE, Verdict.INVALID}, told["why"]
    assert {row["outcome"] for row in told["checks"]} == {"held"}, told["checks"]
    assert [(row["host"], row["lost"]) for row in told["workers"]] == [
        (host, "") for host in ("lab1", "lab2", "lab3")
    ]
    books = told["books"]
    assert books["sent"] == sum(row["sent"] for row in told["workers"]) == 600
    assert books["final"] == Latencies.from_wire(told["to_final"]["histogram"]).count == 600
    assert left(made) == ""


def test_a_cut_ssh_silences_the_host_and_ends_the_run_invalid(
    made: LabMesh, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Ten seconds later nothing is sent from there, whatever the way to the nodes still lets by."""
    begun: list[bool] = []

    def cut(what: str, _told: Document) -> None:
        if what == "second" and not begun:
            begun.append(True)
            made.on("lab2", "rm", "-f", "/tmp/cut.json")  # noqa: S108 - of a host of the lab
            program = f"setsid python3 -c '{CUT}' </dev/null >/dev/null 2>&1 &"
            made.on("lab2", "sh", "-c", program)

    played = play(made, tmp_path, cut, seed=12, longer=120)

    assert played.record.verdict is Verdict.INVALID
    assert played.told is not None
    print(played.told["why"])  # noqa: T201 - measured
    assert played.told["why"][0].startswith("worker 1 on lab2 was lost: ")
    found: list[str] = []

    def is_told() -> bool:
        found[:] = made.on("lab2", "sh", "-c", "cat /tmp/cut.json || true").splitlines()
        return bool(found)

    eventually("lab2 is reached again", is_told, deadline_s=120)
    lived_s = json.loads(found[0])["lived_s"]
    print(f"the worker lived {lived_s:.1f} s after the cut")  # noqa: T201 - measured
    assert lived_s < 10.0
    eventually("nothing is left", lambda: left(made) == "")


def test_a_killed_controller_leaves_nothing_on_hosts(
    made: LabMesh, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """Every host hears that nobody is there, kills its worker and removes the folder."""
    argv = [sys.executable, "-c", CONTROLLER, f"lab-{made.name}", str(made.places.state)]
    with subprocess.Popen([*argv, str(tmp_path), "13"], stdout=subprocess.PIPE) as controller:
        try:
            assert controller.stdout is not None
            while (line := controller.stdout.readline()) != b"second\n":
                assert line, "it ended before it sent anything"
            assert left(made)
        finally:
            controller.kill()

        eventually("nothing is left", lambda: left(made) == "")
