"""How a test gets real node processes on this machine, and how it sees what they do.

No deployer: a fresh genesis, free ports, one folder per node under the test's own. Nodes are
killed by their process id; nothing outlives the `with` block, and on failure the logs are printed.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import own_ports

from aitbc_node import bech32, keymaking
from aitbc_node.crypto import SigningKey
from aitbc_node.ledger.document import to_json
from aitbc_node.ledger.genesis import (
    Genesis,
    GenesisAccount,
    GenesisValidator,
    build,
)
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.policy import Policy, address_of
from aitbc_node.ledger.transactions import Transaction, sign
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Address, Amount, Gas, Height, Power, PublicKey, Signature

CHAIN_ID = "aitbc-test-1"
HRP = "aitt"
BLOCK_INTERVAL_MS = 100
DEADLINE_S = 90.0

FAUCET = SigningKey(b"\x07" * 32)
FAUCET_POLICY = Policy(1, (FAUCET.public_key,))
RECEIVER = Address(b"\x42" * 20)


class NodeProcess:
    """Be one node of a local mesh: its folder, its process, its answers."""

    def __init__(self, folder: Path, name: str, *, role: str, ports: tuple[int, int, int]) -> None:
        self.name = name
        self.role = role
        self.folder = folder
        self.config = folder / "node.toml"
        self.log = folder / "node.log"
        self.p2p, self.rpc, self.admin = (f"127.0.0.1:{port}" for port in ports)
        self.process: subprocess.Popen[bytes] | None = None
        self.program = ["-m", "aitbc_node"]
        self.client = httpx.Client(base_url=f"http://{self.rpc}", timeout=5, trust_env=False)
        folder.mkdir()
        self.public = keymaking.make(folder / "keys", role=role, hrp=HRP, chain_id=CHAIN_ID)
        self.token = folder / "keys" / "admin.token"
        self.token.touch(0o600)
        self.token.write_text(os.urandom(24).hex() + "\n", encoding="ascii")

    def write_config(
        self,
        peers: Sequence["NodeProcess"],
        *,
        more: str = "",
        rpc: str = "",
        interval_ms: int = BLOCK_INTERVAL_MS,
        patience_ms: int = 1_000,
    ) -> None:
        """Write `node.toml`; `more` is appended, `rpc` is added to that section."""
        bootstrap = ", ".join(
            f'{{ id = "{peer.public["peer_id"]}", address = "{peer.p2p}" }}'
            for peer in peers
            if peer is not self
        )
        self.config.write_text(
            f"""
[node]
id = "{self.name}"
role = "{self.role}"
data_dir = "data"
key_dir = "keys"
genesis = "genesis.json"
[consensus]
block_interval_ms = {interval_ms}
propose_timeout_ms = {patience_ms}
vote_timeout_ms = {patience_ms}
timeout_cap_ms = {max(4_000, 2 * patience_ms)}
[rpc]
listen = "{self.rpc}"
admin_listen = "{self.admin}"
admin_token_file = "keys/admin.token"
{rpc}
[p2p]
listen = "{self.p2p}"
advertise = "{self.p2p}"
bootstrap = [{bootstrap}]
{more}
""",
            encoding="utf-8",
        )

    def start(self, *arguments: str) -> None:
        """Start the process; an earlier one must have ended."""
        assert not self.is_running, f"{self.name} runs already"
        # A killed node counts as one that died young; here that is the test's doing.
        (self.folder / "data" / "run" / "fast_exits.json").unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    *self.program,
                    "run",
                    "--config",
                    str(self.config),
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End the process at once, wherever it is."""
        self._signal(signal.SIGKILL)

    def stop(self) -> int:
        """Ask the process to end; return its exit status."""
        return self._signal(signal.SIGTERM)

    def _signal(self, wanted: signal.Signals) -> int:
        assert self.process is not None, f"{self.name} was never started"
        if self.process.poll() is None:
            os.kill(self.process.pid, wanted)
        return self.process.wait(timeout=DEADLINE_S)

    def get(self, path: str) -> Any:
        """Ask the node over HTTP; None when it does not answer or says no."""
        try:
            answer = self.client.get(path)
        except httpx.HTTPError:
            return None
        return answer.json() if answer.is_success else None

    def post_txs(self, raws: Sequence[bytes]) -> list[dict[str, str]]:
        """Hand transactions in as one msgpack array; return what became of each."""
        answer = self.client.post(
            "/tx",
            content=msgspec.msgpack.encode(list(raws)),
            headers={"content-type": "application/msgpack"},
        )
        rows: list[dict[str, str]] = answer.raise_for_status().json()["results"]
        return rows

    def order(self, what: str, **body: int) -> httpx.Response:
        """Ask something of the node as its operator."""
        token = self.token.read_text(encoding="ascii").strip()
        headers = {"authorization": f"Bearer {token}"}
        url = f"http://{self.admin}/admin/{what}"
        return self.client.post(url, json=body, headers=headers, timeout=DEADLINE_S)

    def height(self) -> int:
        """Return the newest final height; -1 when the node does not answer."""
        status = self.get("/status")
        return -1 if status is None else int(status["height"])

    def last_voted(self) -> int:
        """Return the newest height whose commit holds this node's vote; -1 without an answer."""
        status = self.get("/status")
        return -1 if status is None else int(status["last_voted_height"])

    def metric(self, name: str) -> float:
        """Return one metric, summed over its labels; 0 where it is not told."""
        lines = self.client.get("/metrics").raise_for_status().text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def state_root(self, height: int) -> str | None:
        """Return the state root after a block, None while it is not there."""
        answer = self.get(f"/state_root?height={height}")
        return None if answer is None else str(answer["state_root"])

    def inspect(self, what: str, *arguments: str) -> Any:
        """Run `aitbc-node inspect` on this node's files."""
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "aitbc_node",
                "inspect",
                what,
                *arguments,
                "--config",
                str(self.config),
                "--json",
            ],
            capture_output=True,
            check=True,
            timeout=60,
        )
        return json.loads(done.stdout)


class Mesh:
    """Be some nodes of one chain."""

    def __init__(
        self, nodes: Sequence[NodeProcess], genesis: Genesis, eventually: Callable[..., None]
    ) -> None:
        self.nodes = list(nodes)
        self.genesis = genesis
        self.eventually = eventually
        self.next_nonce = 0
        self.sender = address_of(FAUCET_POLICY)
        self.faucet_address = bech32.address_text(HRP, self.sender)
        self.receiver_address = bech32.address_text(HRP, RECEIVER)

    @property
    def validators(self) -> list[NodeProcess]:
        """Return the nodes that vote."""
        return [node for node in self.nodes if node.role == "validator"]

    def start(self) -> None:
        """Start every node that does not run."""
        for node in self.nodes:
            if not node.is_running:
                node.start()

    def transfers(self, count: int) -> list[bytes]:
        """Sign the next transfers of the faucet, one coin each."""
        raws = []
        for _ in range(count):
            tx = Transaction(
                chain_id=CHAIN_ID,
                sender=self.sender,
                nonce=self.next_nonce,
                valid_until=Height(100_000),
                gas_limit=Gas(21_000),
                max_gas_price=self.genesis.params.gas_max_price,
                tip=Amount(0),
                policy=None,
                bundle=False,
                bodies=(Transfer((Output(RECEIVER, "AIT", Amount(1)),)),),
            )
            raws.append(sign(tx, [FAUCET]))
            self.next_nonce += 1
        return raws

    def until_heights(self, nodes: Sequence[NodeProcess], height: int) -> None:
        """Wait until these nodes have a block of this height."""
        names = ", ".join(node.name for node in nodes)
        self.eventually(
            f"height {height} on {names}",
            lambda: all(node.height() >= height for node in nodes),
            deadline_s=DEADLINE_S,
        )

    def until_reach(self, nodes: Sequence[NodeProcess]) -> None:
        """Wait until these nodes take transactions: they see more than two thirds of the power."""

        def sees_enough(node: NodeProcess) -> bool:
            status = node.get("/status")
            return status is not None and 3 * status["reachable_power"] > 2 * status["total_power"]

        names = ", ".join(node.name for node in nodes)
        self.eventually(
            f"a quorum in reach of {names}",
            lambda: all(map(sees_enough, nodes)),
            deadline_s=DEADLINE_S,
        )

    def read(self, node: NodeProcess, path: str) -> Any:
        """Ask until the node answers: it may be held for longer than one request waits."""
        found: list[Any] = []

        def is_told() -> bool:
            found[:] = [node.get(path)]
            return found[0] is not None

        self.eventually(f"an answer of {node.name} to {path}", is_told, deadline_s=DEADLINE_S)
        return found[0]

    def top(self, nodes: Sequence[NodeProcess]) -> int:
        """Return the greatest height of these nodes, once each has told its own."""
        return max(int(self.read(node, "/status")["height"]) for node in nodes)

    def grow(self, nodes: Sequence[NodeProcess], blocks: int) -> None:
        """Wait until these nodes are so many blocks above the highest of them."""
        self.until_heights(nodes, self.top(nodes) + blocks)

    def common_root(self, nodes: Sequence[NodeProcess]) -> str:
        """Return the one state root of these nodes at the lowest of their tips."""
        height = min(self.read(node, "/status")["height"] for node in nodes)
        told = [self.read(node, f"/state_root?height={height}") for node in nodes]
        roots = {str(answer["state_root"]) for answer in told}
        assert len(roots) == 1, f"height {height}: {roots}"
        return roots.pop()


def genesis_of(
    validators: Sequence[NodeProcess],
    *,
    chain_id: str = CHAIN_ID,
    treasury: int = 0,
    params: Params | None = None,
    rich: Sequence[NodeProcess] = (),
    accounts: Sequence[SigningKey] = (),
) -> Genesis:
    """Build a genesis in which these nodes have equal power, and faucet and the rich have coins."""
    policies = [FAUCET_POLICY, *(Policy(1, (key.public_key,)) for key in accounts)]
    owners = [
        GenesisAccount(address_of(policy), policy, (("AIT", Amount(10**15)),))
        for policy in policies
    ]
    for node in rich:
        operator = bech32.parse_address(node.public["operator_address"], hrp=HRP)
        owners.append(GenesisAccount(operator, None, (("AIT", Amount(10**8)),)))
    return build(
        chain_id=chain_id,
        hrp=HRP,
        genesis_time_ms=1_700_000_000_000,
        validators=[
            GenesisValidator(
                operator=bech32.parse_address(node.public["operator_address"], hrp=HRP),
                key=PublicKey(bytes.fromhex(node.public["consensus_key"])),
                power=Power(1),
                region="here",
                proof=Signature(bytes.fromhex(node.public["proof"])),
            )
            for node in validators
        ],
        accounts=owners,
        treasury=treasury,
        # A node of a test may be away for longer than two minutes of short blocks.
        params=params or Params(absence_window_blocks=0),
        single_node_dev=len(validators) < 4,
    )


@contextlib.contextmanager
def local_mesh(  # noqa: PLR0913 - each is something that a mesh may be, and most are left out
    folder: Path,
    eventually: Callable[..., None],
    *,
    validators: int = 4,
    waiting: int = 0,
    full: int = 0,
    start: bool = True,
    params: Params | None = None,
    rich: bool = False,
    accounts: Sequence[SigningKey] = (),
) -> Iterator[Mesh]:
    """Make a mesh and end it however the test ends; `eventually` is the fixture.

    The genesis names the first `validators`; those who are `waiting` have keys, and no vote yet.
    Where operators are `rich` they have coins to act with; so have the `accounts` of these keys.
    """
    ports = own_ports.take(3 * (validators + waiting + full))
    nodes = [
        NodeProcess(
            folder / f"n{number}",
            f"n{number}",
            role="validator" if number < validators + waiting else "full",
            ports=(ports[3 * number], ports[3 * number + 1], ports[3 * number + 2]),
        )
        for number in range(validators + waiting + full)
    ]
    operators = nodes[: validators + waiting] if rich else []
    genesis = genesis_of(nodes[:validators], params=params, rich=operators, accounts=accounts)
    for node in nodes:
        (node.folder / "genesis.json").write_text(to_json(genesis), encoding="utf-8")
        node.write_config(nodes)
    mesh = Mesh(nodes, genesis, eventually)
    try:
        if start:
            mesh.start()
        yield mesh
    except BaseException:
        _show_logs(nodes)
        raise
    finally:
        for node in nodes:
            node.client.close()
            if node.is_running:
                node.kill()


def _show_logs(nodes: Sequence[NodeProcess]) -> None:
    for node in nodes:
        if node.log.exists():
            lines = node.log.read_text(encoding="utf-8", errors="replace").splitlines()
            sys.stderr.write(f"--- {node.name}: last lines of {len(lines)}\n")
            sys.stderr.writelines(f"{line}\n" for line in lines[-40:])
