"""Who does the job, and how? Ours, a plain parallel ssh script, and Ansible, each as commands.

All of them leave the hosts on the release that they found, so that they can take turns.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from aitbc_toolkit import shell
from aitbc_toolkit.benchmarks.ground import ENVIRONMENT, Ground
from aitbc_toolkit.errors import AitbcError

_COMMAND_S = 300.0
_INSTALL_S = 300.0
# What `deploy` signed for the first release of a lab.
_FIRST_TAG = f"rel/{ENVIRONMENT}/1"


class Contender(Protocol):
    """Do the jobs on one ground; each method is timed as a whole."""

    name: str

    def noop(self) -> shell.Result:
        """Take the hosts to the release that they have; return how the command ended."""

    def deploy(self, commit: str) -> shell.Result:
        """Take the hosts to a new commit."""

    def rollback(self) -> shell.Result:
        """Take the hosts back to the release before."""


class Ours:
    """`aitbc deploy` and `aitbc rollback`; for equal work without voting gates and smoke suite."""

    name = "ours"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def noop(self) -> shell.Result:
        """Deploy what runs."""
        return self._ground.python("aitbc_toolkit.cli.main", "deploy", ENVIRONMENT)

    def stage(self, commit: str) -> shell.Result:
        """Stage HEAD of the checkout, which is the commit."""
        return self._at(commit, "stage")

    def deploy(self, commit: str) -> shell.Result:
        """Deploy HEAD of the checkout, which is the commit."""
        return self._at(commit, "deploy")

    def rollback(self) -> shell.Result:
        """Return to the release before; nobody names it."""
        return self._ground.python("aitbc_toolkit.benchmarks", "rollback")

    def _at(self, commit: str, verb: str) -> shell.Result:
        assert commit == self._ground.git("rev-parse", "HEAD")
        return self._ground.python("aitbc_toolkit.benchmarks", verb)


class Floor:
    """`deploy/baselines/floor.sh`: one ssh for each host and phase, all at once."""

    name = "floor"

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        prepared = self._run("prepare", ground.base)
        if not prepared.ok:
            raise AitbcError(
                f"the floor was not prepared: {prepared.stderr[-300:]}",
                hint="deploy/baselines/README.md says what its scripts ask of a host",
            )

    def noop(self) -> shell.Result:
        """Look whether every host has the release and runs it."""
        return self._run("noop", self._ground.base)

    def stage(self, commit: str) -> shell.Result:
        """Push, then stage everywhere."""
        return self._run("stage", commit, env=self._sources(commit))

    def deploy(self, commit: str) -> shell.Result:
        """Push, then stage everywhere, then switch everywhere."""
        return self._run("deploy", commit, env=self._sources(commit))

    def rollback(self) -> shell.Result:
        """Switch everywhere to the release that is there already."""
        return self._run("rollback", self._ground.base)

    def _sources(self, commit: str) -> dict[str, str]:
        return {
            "BASE": self._ground.base,
            "SOURCE": source(self._ground),
            "TAG": f"rel/floor/{commit[:12]}",
            "SIGNER": signer(self._ground),
            "SIGNER_KEY": str(self._ground.release_key),
        }

    def _run(self, verb: str, commit: str, *, env: Mapping[str, str] | None = None) -> shell.Result:
        ground = self._ground
        script = ground.checkout / "deploy/baselines/floor.sh"
        nodes = [f"{host}={node}" for host, node in ground.nodes.items()]
        argv: list[str | Path] = [
            "sh",
            "-x",
            script,
            verb,
            ground.ssh_config,
            ENVIRONMENT,
            commit,
            *nodes,
        ]
        return shell.run(argv, timeout_s=_COMMAND_S, env=env, cwd=ground.checkout, check=False)


class Ansible:
    """`deploy/baselines/play.yml` with pipelining, a fork for each host and no facts."""

    name = "ansible"

    def __init__(self, ground: Ground, *, folder: Path) -> None:
        self._ground = ground
        self._folder = folder
        self._program = folder / "venv/bin/ansible-playbook"
        _install(folder / "venv", ground.checkout / "deploy/baselines/ansible.txt")
        self._write_configurations()
        self._write_inventory()

    @property
    def version(self) -> str:
        """Tell which Ansible this is."""
        return shell.run([self._program, "--version"], env=self._env()).stdout.splitlines()[0]

    def noop(self) -> shell.Result:
        """Play what the hosts have."""
        return self._play(self._ground.base, tag=_FIRST_TAG)

    def deploy(self, commit: str) -> shell.Result:
        """Push as a user's make file would, then play."""
        ground, tag = self._ground, f"rel/ansible/{commit[:12]}"
        git = ["git", "-C", str(ground.checkout)]
        sign = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={ground.release_key}"]
        identity = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@localhost"]
        words = ["tag", "--sign", "--force", "--message", "release", tag, commit]
        shell.run([*git, *identity, *sign, *words])
        ssh = {"GIT_SSH_COMMAND": f"ssh -F {ground.ssh_config} -o BatchMode=yes"}
        refs = [f"{commit}:refs/heads/release/{commit}", f"+refs/tags/{tag}"]
        shell.run([*git, "push", "--quiet", source(ground), *refs], env=ssh)
        return self._play(commit, tag=tag)

    def rollback(self) -> shell.Result:
        """Play the release before."""
        return self._play(self._ground.base, tag=_FIRST_TAG)

    def _play(self, commit: str, *, tag: str) -> shell.Result:
        ground = self._ground
        values = {
            "env": ENVIRONMENT,
            "commit": commit,
            "source": source(ground),
            "tag": tag,
            "signer": signer(ground),
            "etc": str(self._folder / "etc"),
        }
        play = ground.checkout / "deploy/baselines/play.yml"
        argv: list[str | Path] = [
            self._program,
            "-i",
            self._folder / "hosts.ini",
            "-e",
            json.dumps(values),
            play,
        ]
        return shell.run(argv, timeout_s=_COMMAND_S, env=self._env(), check=False)

    def _env(self) -> dict[str, str]:
        return {
            # It keeps what it has compiled, as we do, whatever the shell says.
            "PYTHONDONTWRITEBYTECODE": "",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_FORKS": str(len(self._ground.hosts)),
            "ANSIBLE_GATHERING": "explicit",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
            # The path of a socket may have 107 characters, so it is not below the evidence.
            "ANSIBLE_SSH_ARGS": f"-F {self._ground.ssh_config} -o ControlMaster=auto "
            f"-o ControlPersist=60s -o ControlPath={self._ground.checkout.parent}/cp-%C",
        }

    def _write_configurations(self) -> None:
        """Keep each node's configuration as a template of the commit."""
        ground = self._ground
        for host, node in ground.nodes.items():
            folder = self._folder / "etc" / node
            folder.mkdir(parents=True)
            there = f"/etc/aitbc/{node}"
            for name in ("node.toml", "genesis.json", "service"):
                argv: list[str | Path] = [
                    "ssh",
                    "-F",
                    ground.ssh_config,
                    host,
                    "cat",
                    f"{there}/{name}",
                ]
                text = shell.run(argv).stdout.replace(ground.base, "{{ commit }}")
                (folder / name).write_text(text, encoding="utf-8")

    def _write_inventory(self) -> None:
        ground = self._ground
        lines = ["[nodes]"]
        for host, node in ground.nodes.items():
            configuration = ground.configurations[host]
            lines.append(f"{host} instance={node} configuration={configuration}")
        (self._folder / "hosts.ini").write_text("\n".join(lines) + "\n", encoding="utf-8")


def source(ground: Ground) -> str:
    """Give the address of the forge's repository, as hosts fetch it."""
    record = ground.ssh_config.with_name("lab.json")
    assert json.loads(record.read_text(encoding="utf-8"))["forge"]["name"] == "forge"
    return "ssh://git@forge/srv/git/aitbc.git"


def signer(ground: Ground) -> str:
    """Give the public key that signs releases of the lab, without its comment."""
    words = ground.release_key.with_suffix(".key.pub").read_text(encoding="ascii").split()
    return " ".join(words[:2])


def _install(venv: Path, versions: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    shell.run([uv, "venv", "--quiet", "--python", sys.executable, venv], timeout_s=_INSTALL_S)
    words: list[str | Path] = [
        "pip",
        "install",
        "--quiet",
        "--python",
        venv / "bin/python",
        "-r",
        versions,
    ]
    shell.run([uv, *words], timeout_s=_INSTALL_S, hint="check the way to the package index")
