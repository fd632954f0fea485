"""A second process with the key of v1: on v1's host, or with a copy of the keys on another."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from aitbc_toolkit.inventory import Environment

KEYS = "/var/lib/aitbc-keys/v1"
PORTS_LATER = 500


@dataclass
class Twin:
    """Run v1's command once more, with a unit, ports and chain data of its own.

    `on` runs a command on a host of the lab.
    """

    environment: Environment
    on: Callable[..., str]
    host: str
    unit: str
    keys: str = KEYS

    @property
    def folder(self) -> str:
        """Find the folder of what is its own."""
        return f"/var/lib/{self.unit}"

    @property
    def rpc(self) -> str:
        """Say where it answers."""
        address = self.environment.host(self.host).address
        return f"{address}:{self.environment.instance('v1').rpc_port + PORTS_LATER}"

    def start(self) -> None:
        """Write its configuration, which is v1's but for what two cannot share, and start it."""
        self.write("node.toml", self._configuration())
        self.on(self.host, "mkdir", "-p", f"{self.folder}/data")
        self.on(self.host, "chown", "-R", "aitbc:", self.folder)
        unit = [
            "systemd-run",
            f"--unit={self.unit}",
            "-p",
            "User=aitbc",
            "-p",
            "RemainAfterExit=yes",
        ]
        self.on(self.host, *unit, *self._node("run", "--config", f"{self.folder}/node.toml"))

    def copy_keys(self) -> None:
        """Bring v1's key and sign state here, beside a node key that peers do not know yet."""
        self.keys = f"{self.folder}/keys"
        chain = self.environment.chain
        init = ["init", "--key-dir", self.keys, "--role", "full", "--json"]
        self.on(self.host, "mkdir", "-p", self.folder)
        self.on(self.host, *self._node(*init, "--hrp", chain.hrp, "--chain-id", chain.id))
        for name in ("consensus.key", "sign_state", "admin.token"):
            text = self.on("lab1", "base64", "--wrap=0", f"{KEYS}/{name}")
            self.shell(f"echo {text} | base64 -d > {self.keys}/{name}")
        self.shell(f"chmod 600 {self.keys}/*")

    def status(self) -> str:
        """Ask it how it is; empty while it does not answer."""
        ask = f"import urllib.request as u; print(u.urlopen('http://{self.rpc}/status').read())"
        return self.shell(f'python3 -c "{ask}" 2>/dev/null || true')

    def shown(self) -> str:
        """Ask systemd about its unit."""
        return self.on(self.host, "systemctl", "show", self.unit, "-p", "ExecMainStatus")

    def log(self) -> str:
        """Read what it wrote."""
        return self.on(self.host, "journalctl", "-u", self.unit, "-o", "cat")

    def write(self, name: str, text: str) -> None:
        """Put a file into its folder."""
        self.shell(f"mkdir -p {self.folder} && printf %s {quoted(text)} > {self.folder}/{name}")

    def shell(self, line: str) -> str:
        """Run a line of shell on its host."""
        return self.on(self.host, "sh", "-c", line)

    def _node(self, *words: str) -> list[str]:
        """Write a command of the node that is released on its host."""
        instance = next(iter(self.environment.on(self.host)))
        release = self.on(self.host, "readlink", "-e", str(instance.paths.current)).strip()
        python = f"{release}/venv/bin/python"
        return ["env", f"PYTHONPATH={release}/node", python, "-P", "-m", "aitbc_node", *words]

    def _configuration(self) -> str:
        first = self.environment.instance("v1")
        address = self.environment.host("lab1").address
        text = self.on("lab1", "cat", f"{first.paths.config}/node.toml")
        for port in (first.p2p_port, first.rpc_port, first.admin_port):
            text = text.replace(f':{port}"\n', f':{port + PORTS_LATER}"\n')
        own = self.environment.host(self.host).address
        for name in ("listen", "advertise"):
            text = text.replace(f'{name} = "{address}:', f'{name} = "{own}:')
        genesis = self.on("lab1", "cat", f"{first.paths.config}/genesis.json")
        self.write("genesis.json", genesis)
        changes = {
            str(first.paths.data): f"{self.folder}/data",
            f'key_dir = "{KEYS}"': f'key_dir = "{self.keys}"',
            f"{KEYS}/admin.token": f"{self.keys}/admin.token",
            f"{first.paths.config}/genesis.json": f"{self.folder}/genesis.json",
        }
        for before, after in changes.items():
            assert before in text, f"{before} is not in {json.dumps(text)}"
            text = text.replace(before, after)
        return text


def quoted(text: str) -> str:
    """Write a text as one word of a shell."""
    return "'" + text.replace("'", "'\\''") + "'"
