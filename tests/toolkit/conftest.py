"""A mesh of real RPC servers over one real ledger, without consensus, for tests of the toolkit."""

import asyncio
import dataclasses
import importlib.util
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from posted import taken

from aitbc_node import crypto
from aitbc_node.codes import Code, Refusal
from aitbc_node.events import TxOutcome
from aitbc_node.ledger import admission, apply, genesis, objects
from aitbc_node.ledger.apply import BlockContext, Execution
from aitbc_node.ledger.document import to_json
from aitbc_node.ledger.genesis import GenesisAccount, GenesisAsset, GenesisValidator
from aitbc_node.ledger.policy import address_of, single_key
from aitbc_node.ledger.possession import possession_proof
from aitbc_node.ledger.transactions import Parsed, parse, signature_checks
from aitbc_node.rpc.post import Post
from aitbc_node.rpc.server import public_server
from aitbc_node.rpc.streams import Hub
from aitbc_node.types import Amount, Height, PeerId, Power, TxId
from aitbc_node.validators import ValidatorSet
from aitbc_toolkit import keys
from aitbc_toolkit.cli.environment import chosen
from aitbc_toolkit.identity import genesis_path
from aitbc_toolkit.inventory import Environment, Inventory


def _builders() -> ModuleType:
    path = Path(__file__).parents[1] / "unit" / "rpc" / "conftest.py"
    spec = importlib.util.spec_from_file_location("rpc_builders", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = _builders()


class OneLedger:
    """Be the chain that all nodes of a fake mesh show: every good transaction is a block."""

    def __init__(self, faucet: crypto.SigningKey) -> None:
        policy = single_key(faucet.public_key)
        account = address_of(policy)
        founded = genesis.build(
            chain_id=BUILD.CHAIN,
            hrp="aitd",
            genesis_time_ms=time.time_ns() // 1_000_000,
            validators=[
                GenesisValidator(
                    BUILD.address_of_key(key),
                    key.public_key,
                    Power(1),
                    "here",
                    possession_proof(BUILD.CHAIN, BUILD.address_of_key(key), key),
                )
                for key in BUILD.KEYS
            ],
            accounts=[GenesisAccount(account, None, (("AIT", Amount(10**12)),))],
            assets=[GenesisAsset("mUSDA", "Mock US dollar", 6, account)],
        )
        self.genesis = founded
        self.state = genesis.initial_state(founded)
        self.finals: list[Any] = []
        self.fates: dict[TxId, tuple[object, ...]] = {}
        self.grow(3)

    def grow(self, count: int) -> None:
        """Add empty blocks."""
        for _ in range(count):
            self._append(self._executed([]), ())

    def take(self, raw: bytes) -> TxOutcome:
        """Judge one transaction and, when it is good, put it into a block of its own."""
        parsed = parse(raw)
        if isinstance(parsed, Refusal):
            return TxOutcome(TxId(bytes(32)), parsed.code, parsed.field, parsed.message)
        if parsed.id in self.fates:
            return TxOutcome(parsed.id, Code.E_DUPLICATE)
        if not all(crypto.verify(*msgspec.structs.astuple(c)) for c in signature_checks(parsed)):
            return TxOutcome(parsed.id, Code.E_SIGNATURE, "sigs", "a signature is wrong")
        height = Height(len(self.finals) + 1)
        refusal = admission.check_admission(self.state, parsed, height=height)
        if refusal is not None:
            return TxOutcome(parsed.id, refusal.code, refusal.field, refusal.message)
        execution = self._executed([parsed])
        (receipt,) = execution.receipts
        status = "committed" if receipt.code == Code.OK else "rejected"
        known = (status, height, 0, receipt.code, receipt.fee, receipt.events)
        self._append(execution, (raw,))
        self.fates[parsed.id] = known
        return TxOutcome(parsed.id, Code.OK)

    def _executed(self, txs: list[Parsed]) -> Execution:
        proposer = self.state.validators.members[0].key
        context = BlockContext(Height(len(self.finals) + 1), 0, proposer)
        execution = apply.execute(self.state, context, txs)
        assert isinstance(execution, Execution), execution
        return execution

    def _append(self, execution: Execution, raws: tuple[bytes, ...]) -> None:
        apply.commit(self.state, execution)
        final = BUILD.a_final_block(self.state, height=len(self.finals) + 1, txs=raws)
        before_ms = self.finals[-1].block.header.time_ms if self.finals else 0
        now_ms = max(before_ms + 1, time.time_ns() // 1_000_000)  # as the ledger's rule wants it
        header = msgspec.structs.replace(final.block.header, time_ms=now_ms)
        block = msgspec.structs.replace(final.block, header=header)
        self.finals.append(msgspec.structs.replace(final, block=block))


class FakePort:
    """Show the ledger as one node; its view may be bent by a test."""

    def __init__(self, name: str, place: int, ledger: OneLedger) -> None:
        self._ledger = ledger
        self.view = BUILD.FakeNode(ledger.state, ledger.finals)
        self.view.fates = ledger.fates
        self.view.last_voted_height = 10**6
        self.view.links = [BUILD.FakePeer(PeerId(bytes([n]) * 20)) for n in range(4) if n != place]
        self.facts = msgspec.structs.replace(
            self.view.facts,
            node=name,
            peer_id=PeerId(bytes([place]) * 20),
            genesis_hash=ledger.genesis.hash(),
            validator=BUILD.KEYS[place].public_key,
        )
        self.view.facts = self.facts
        self.reader = self.view
        self.hub = Hub(boot="b")
        self.post = Post(boot="b", hrp="aitd")
        self.submitted: list[bytes] = []
        self.peers: list[FakePort] = []

    async def settled(self) -> None:
        pass

    async def submit(self, raws: tuple[bytes, ...]) -> Sequence[TxOutcome]:
        self.submitted += raws
        return [self._ledger.take(raw) for raw in raws]

    async def publish(self, raw: bytes) -> Sequence[TxOutcome]:
        return [taken(port.post, raw) for port in (self, *self.peers)][:1]


class FakeMesh:
    """Serve four nodes on the loopback from a thread of its own."""

    def __init__(self, folder: Path) -> None:
        written = Inventory.load("dev", state=folder)
        keys.make(keys.faucet_path(written.folder))
        self.faucet = keys.read(keys.faucet_path(written.folder))
        self.ledger = OneLedger(self.faucet)
        genesis_path(written).write_text(to_json(self.ledger.genesis), encoding="utf-8")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.ports = {
            each.name: FakePort(each.name, place, self.ledger)
            for place, each in enumerate(written.instances)
        }
        for port in self.ports.values():
            port.peers = [each for each in self.ports.values() if each is not port]
        self._servers = {
            name: public_server(port, listen="127.0.0.1:0") for name, port in self.ports.items()
        }
        for server in self._servers.values():
            self._run(server.start)
        self.environment = self._environment(written)

    def kill(self, name: str) -> None:
        """Stop one node; its port refuses connections from now on."""
        self._run(self._servers.pop(name).stop)

    def move_power(self, powers: Mapping[str, int]) -> None:
        """Let the named nodes have another power than the genesis gave them."""
        by_key = {self.ports[name].facts.validator: Power(n) for name, n in powers.items()}
        told = self.ledger.state.validators
        members = tuple(
            msgspec.structs.replace(each, power=by_key.get(each.key, each.power))
            for each in told.members
        )
        state = self.ledger.state
        state.adopt({(objects.VALIDATORS, b""): ValidatorSet(members)}, state.tree)

    def tell_fates(self) -> None:
        """Let the streams of every node tell each block and what became of its transaction.

        Nothing is told of one that the ledger refuses: it is in no block.
        """
        take = self.ledger.take

        def heard(raw: bytes) -> TxOutcome:
            outcome = take(raw)
            if outcome.code != Code.OK:
                return outcome
            status, height, _, code, *_ = self.ledger.fates[outcome.id]
            fate = {"id": outcome.id.hex(), "status": status, "code": code}
            for port in self.ports.values():
                port.hub.publish("block", {"height": height})
                port.hub.publish("tx", {"height": height, "txs": [fate]})
            return outcome

        self.ledger.take = heard  # type: ignore[method-assign]

    def grow_every(self, seconds: float) -> None:
        """Add an empty block again and again, in the thread that answers."""

        def grow() -> None:
            self.ledger.grow(1)
            self._loop.call_later(seconds, grow)

        self._loop.call_soon_threadsafe(grow)

    def close(self) -> None:
        """Stop every node and the thread."""
        for server in self._servers.values():
            self._run(server.stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _run(self, action: Callable[[], Any]) -> None:
        done = asyncio.run_coroutine_threadsafe(action(), self._loop)
        done.result(5)

    def _environment(self, written: Environment) -> Environment:
        instances = tuple(
            dataclasses.replace(each, rpc_url=self._servers[each.name].url)
            for each in written.instances
        )
        return dataclasses.replace(written, instances=instances)


@pytest.fixture
def fake_mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMesh]:
    """Four nodes that answer; every command that names no environment means them."""
    mesh = FakeMesh(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")  # tables fit themselves to the terminal

    def load(named: str) -> Environment:
        chosen(named)
        return mesh.environment

    monkeypatch.setattr("aitbc_toolkit.cli.reaching.load", load)
    monkeypatch.setattr("aitbc_toolkit.cli.accounts.load", load)
    monkeypatch.setattr("aitbc_toolkit.cli.alerts.load", load)
    monkeypatch.setattr("aitbc_toolkit.cli.diagnose.load", load)
    monkeypatch.setattr("aitbc_toolkit.cli.reachability.load", load)
    try:
        yield mesh
    finally:
        mesh.close()
