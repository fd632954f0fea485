"""A fresh clone in an empty folder comes to a live mesh with the README's own commands.

The clone gets ports of its own, so that it disturbs no mesh that runs here, and where the tests
run as root it belongs to an ordinary user, because no part of this needs root.
"""

import json
import os
import pwd
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import own_ports
import pytest

from aitbc_toolkit import paths

ROOT = paths.project_root()
# From the clone, with everything that has to be fetched; of that the mesh alone.
FIRST_UP_S, MESH_S = 180, 60
# What a README says to type, and what is run in its place here. A lab needs root, so its commands
# are given the mesh of this machine; tests/lab gives them hosts.
INSTEAD = {
    "./aitbc test": "./aitbc test --stage lint --stage types",  # this test is a part of the whole
    # Only hosts of their own can be cut off from each other, or simulated ones.
    "./aitbc test partition -e lab": "./aitbc test partition -e sim --scenario minority",
    "./aitbc test partition/minority -e lab": "./aitbc test partition/minority -e sim",
    # A swarm judges its own machine first, and rightly says INVALID of one that others keep busy.
    "./aitbc load run load/steady -e dev": "./aitbc load list",
    "./aitbc load knee -e dev": "./aitbc load knee --help",
    "./aitbc load compare dev dev": "./aitbc load compare --help",
    "./aitbc down lab": "./aitbc status dev",  # the commands after it want the mesh of this machine
}
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
LAB = re.compile(r"\blab\b")
# These set up and ask hosts that are somebody's; tests/lab does it to bare hosts of its own, and
# that the commands exist is proved with all documents.
ELSEWHERE = re.compile(r"\./aitbc (bootstrap|keys|genesis|deploy) .*(staging|production)\b")
PORT = re.compile(r"\b8[67]\d\d\b")


@dataclass(frozen=True, slots=True)
class Clone:
    """Hold a clone and the user that it belongs to."""

    folder: Path
    user: int
    environment: Mapping[str, str]

    def run(self, command: str, *, timeout_s: int) -> tuple[float, str]:
        """Run one command in the clone; it must end with 0. Gives its duration and its stdout."""
        began = time.monotonic()
        ran = subprocess.run(
            shlex.split(command),
            cwd=self.folder,
            env=self.environment,
            user=self.user if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
        return time.monotonic() - began, ran.stdout

    def commit(self, subject: str) -> None:
        """Commit what was changed, or nothing, as somebody who works in the clone."""
        words = ["git", "-c", "user.name=Clone", "-c", "user.email=clone@localhost", "commit"]
        self.run(shlex.join([*words, "-q", "-a", "--allow-empty", "-m", subject]), timeout_s=30)


@pytest.fixture(scope="module")
def clone() -> Iterator[Clone]:
    """Clone what is committed, for an ordinary user; take down whatever was brought up."""
    top = Path(tempfile.mkdtemp(prefix="aitbc-clone-"))
    folder, home = top / "aitbc", top / "home"
    argv = ["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)]
    subprocess.run(argv, check=True)
    inventory = folder / "inventories" / "dev" / "inventory.toml"
    text = inventory.read_text()
    ports = iter(own_ports.take(len(PORT.findall(text))))
    inventory.write_text(PORT.sub(lambda _: str(next(ports)), text))
    home.mkdir()
    user = os.geteuid()
    environment = {**os.environ, "NO_COLOR": "1", "HOME": str(home)}
    if user == 0:
        user = pwd.getpwnam("nobody").pw_uid
        environment["PATH"] = "/usr/local/bin:/usr/bin:/bin"
        subprocess.run(["chown", "-R", str(user), top], check=True)
    made = Clone(folder, user, environment)
    made.commit("inventory: ports of this clone")
    try:
        yield made
    finally:
        made.run("./aitbc down", timeout_s=120)
        shutil.rmtree(top)


@pytest.mark.proves("A18")
def test_a_fresh_clone_comes_up_twice(clone: Clone) -> None:
    """The first `./aitbc up` makes everything it needs; its mesh takes less than a minute of that.

    The next one after a stop has nothing left to fetch.
    """
    first_s, said = clone.run("./aitbc up", timeout_s=FIRST_UP_S)
    _, status = clone.run("./aitbc network status -e dev --json", timeout_s=30)
    clone.run("./aitbc down", timeout_s=60)
    next_s, _ = clone.run("./aitbc up", timeout_s=FIRST_UP_S)
    clone.run("./aitbc down", timeout_s=60)

    answer = json.loads(status)
    assert answer["verdict"] == "ok"
    assert [node["voting"] for node in answer["nodes"]] == [True] * 4
    mesh = re.search(r"Deployed .*, took (\d+\.\d) s", said)
    assert mesh is not None, said
    assert float(mesh[1]) < MESH_S
    assert next_s <= first_s


@pytest.mark.proves("D23")
def test_every_command_of_the_readmes_ends_well(clone: Clone) -> None:
    """What the READMEs show ends with 0, in their order: up, smoke suite, lint, types, the rest."""
    documents = [clone.folder / "README.md", *sorted(clone.folder.glob("*/README.md"))]
    for path in documents:
        for block in SHELL_BLOCK.findall(path.read_text(encoding="utf-8")):
            for line in block.splitlines():
                command = line.split("#")[0].strip()
                if ELSEWHERE.match(command):
                    continue
                if command.startswith("./aitbc deploy"):
                    clone.commit("the next one")
                if command.startswith("./aitbc"):
                    clone.run(INSTEAD.get(command, LAB.sub("dev", command)), timeout_s=300)
