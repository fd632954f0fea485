"""What the deployer's tests share: a small project whose node is a stand-in, and its dev mesh."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import own_ports
import pytest
import stand_in_hosts

from aitbc_node import bech32
from aitbc_node.crypto import SigningKey, peer_id, sha256
from aitbc_node.ledger.policy import address_of, single_key
from aitbc_node.ledger.possession import possession_proof
from aitbc_toolkit import identity, paths
from aitbc_toolkit.deploys.hostside import processes
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import meshing, rolling
from aitbc_toolkit.release.deploy import Request, deploy
from aitbc_toolkit.release.hosts import Crew
from aitbc_toolkit.release.outcome import Outcome
from aitbc_toolkit.release.rollback import rollback
from aitbc_toolkit.remote import Hosts

CHAIN = "aitbc-stand-1"
HRP = "aitd"
NAMES = ("v1", "v2", "v3", "v4")
NODES_MAX = 7


@dataclass
class Project:
    """A git checkout with a stand-in node, an inventory `dev`, and an operator's state folder."""

    root: Path
    records: list[Mapping[str, object]] = field(default_factory=list)

    @property
    def checkout(self) -> Path:
        return self.root / "checkout"

    @property
    def environment(self) -> Environment:
        return self.load("dev")

    def load(self, name: str) -> Environment:
        return stand_in_hosts.load(self.root, name)

    def copy_environment(self, name: str, *, changes: Mapping[str, str]) -> Environment:
        """Copy `dev` under another name, with some texts of its inventory replaced."""
        text = (self.root / "inventories/dev/inventory.toml").read_text()
        for before, after in changes.items():
            text = text.replace(before, after)
        write_environment(self.root / "inventories" / name, text)
        return self.load(name)

    def commit(self, behaviour: str, subject: str = "a change") -> str:
        """Commit a build that behaves in some way; return its name."""
        (self.checkout / "node/aitbc_node/behaviour").write_text(behaviour + "\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def git(self, *words: str) -> str:
        argv = ["git", "-C", str(self.checkout), *words]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def deploy(self, name: str = "dev", **request: Any) -> Outcome:
        """Deploy HEAD unless told else."""
        wanted = Request(checkout=self.checkout, **{"prove": proven, **request})
        return deploy(self.load(name), wanted, self.records.append)

    def rollback(self, **more: Any) -> Outcome:
        return rollback(self.environment, self.records.append, prove=proven, **more)

    def fail_the_gates_of(self, looks: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the nodes of some looks fail their gate, counted from the first wave on.

        Where an answer is enough, they pass: whoever looks there asks for no vote.
        """
        judge, passed = rolling.gates.pass_gate, iter(range(1, 100))

        def judged(mesh: Any, names: Any, **more: Any) -> Any:
            verdict = judge(mesh, names, **more)
            fails = next(passed) in looks and not more["answer_is_enough"]
            failed = dict.fromkeys(names, "was failed by the test") if fails else {}
            return replace(verdict, failed={**verdict.failed, **failed})

        monkeypatch.setattr(rolling.gates, "pass_gate", judged)

    def places(self) -> dict[str, tuple[str, str]]:
        """Read each node's commit and configuration hash from its links."""
        found = {}
        for name, commit in self.running().items():
            config = self.host_file(f"etc/aitbc/{name}").resolve().name
            found[name] = (commit, config.rpartition("-")[2])
        return found

    def down(self, *, wipe: bool = False) -> Outcome:
        return meshing.down(self.environment, self.records.append, wipe=wipe)

    def move_power(self, powers: Mapping[str, int]) -> None:
        """Have the nodes tell another voting power than their genesis."""
        by_key = {identities()[name]["consensus_key"]: power for name, power in powers.items()}
        for name in powers:
            data = self.host_file(f"var/lib/aitbc/dev/{name}")
            (data / "powers.json").write_text(json.dumps(by_key))

    def services(self) -> dict[str, Mapping[str, Any]]:
        """Ask the supervisor about every node."""
        with Hosts(self.environment) as remote:
            return Crew(self.environment, remote).watch(
                [each.name for each in self.environment.instances]
            )

    def host_file(self, path: str) -> Path:
        """Find a file below the root of the first host."""
        return self.root / "state" / "dev" / path

    def running(self) -> dict[str, str]:
        """Read which release each node points at."""
        found = self.root.glob("state/*/opt/aitbc/dev/*/current")
        links = {each.parent.name: each for each in found}
        return {name: link.resolve().name for name, link in sorted(links.items())}


def proven(_environment: Environment) -> tuple[str, str]:
    """Stand in for the smoke suite: a stand-in node takes no transactions."""
    return "0 of 0 checks", ""


def identities() -> dict[str, dict[str, str]]:
    """Make the public parts that `init` would print, from fixed seeds."""
    found = {}
    named = [f"{letter}{place}" for letter in "vb" for place in range(1, NODES_MAX + 1)]
    for name in named:
        key = SigningKey(sha256(name.encode()))
        operator = address_of(single_key(key.public_key))
        found[name] = {
            "peer_id": peer_id(key.public_key).hex(),
            "node_key": key.public_key.hex(),
            "consensus_key": key.public_key.hex(),
            "operator_key": key.public_key.hex(),
            "operator_address": bech32.address_text(HRP, operator),
            "proof": possession_proof(CHAIN, operator, key).hex(),
        }
    return found


def inventory_text(*, rollout: str, names: Sequence[str]) -> str:
    """Write an inventory of nodes on this machine, on ports that are free now."""
    ports = own_ports.take(3 * len(names))
    text = (paths.inventories() / "dev" / "inventory.toml").read_text()
    head = text.partition("[instances.v1]")[0]
    head = head.replace('id = "aitbc-dev-1"', f'id = "{CHAIN}"')
    head = head.replace("block_interval_ms = 1000", "block_interval_ms = 100")
    head = head.replace('rollout = "all"', f'rollout = "{rollout}"')
    for place, name in enumerate(names):
        p2p, rpc, admin = ports[3 * place : 3 * place + 3]
        head += f'[instances.{name}]\nhost = "localhost"\n'
        head += f"ports = {{ p2p = {p2p}, rpc = {rpc}, admin = {admin} }}\n"
    return head


def write_environment(folder: Path, text: str) -> None:
    """Write an environment that lets every commit through."""
    folder.mkdir(parents=True)
    (folder / "inventory.toml").write_text(text)
    (folder / "trust.toml").write_text("dev_mode = true\n")


def make_project(root: Path, *, rollout: str, names: Sequence[str], hosts: int) -> Project:
    """Lay out a project and its first commit."""
    project = Project(root)
    root.mkdir()
    (root / stand_in_hosts.COUNT).write_text(str(hosts))
    package = project.checkout / "node" / "aitbc_node"
    package.mkdir(parents=True)
    stand_in = Path(__file__).with_name("stand_in_node.py")
    (package / "__main__.py").write_text(stand_in.read_text())
    (package / "identities.json").write_text(json.dumps(identities()))
    (project.checkout / "locks").mkdir()
    (project.checkout / "locks" / "node.lock").write_text("# nothing is needed\n")
    text = inventory_text(rollout=rollout, names=names)
    write_environment(root / "inventories" / "dev", text)
    project.git("init", "--quiet")
    project.git("config", "user.name", "Test")
    project.git("config", "user.email", "test@localhost")
    project.commit("ok", "the first build")
    return project


def end_supervisor(configuration: Path) -> None:
    """End a project's supervisor and its nodes; a `down` would cost a second more."""
    everything = [
        ["supervisor.supervisord", "-c", str(configuration)],
        *(["--config", f"{each}/node.toml"] for each in configuration.parents[1].glob("aitbc/*")),
    ]
    for words in everything:
        processes.end(dict.fromkeys(processes.find(words), words))


@pytest.fixture
def a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Project]]:
    """Build projects; whatever they started is stopped at the end of the test.

    A stand-in cannot work the hash of its genesis out, so nobody asks it for that here.
    """
    monkeypatch.setattr(identity, "stranger", lambda *_asked: "")
    monkeypatch.setattr(Hosts, "step", stand_in_hosts.step)
    made: list[Project] = []

    def build(*, rollout: str = "serial", names: Sequence[str] = NAMES, hosts: int = 1) -> Project:
        os.environ.pop("GIT_DIR", None)
        made.append(
            make_project(tmp_path / f"p{len(made)}", rollout=rollout, names=names, hosts=hosts)
        )
        return made[-1]

    yield build
    for project in made:
        for configuration in (project.root / "state").glob("*/etc/supervisor/supervisord.conf"):
            end_supervisor(configuration)
