"""How does a suite put transfers through every node? Each node serves an account of its own.

The accounts are funded by the faucet and pay back to it, so that no money is lost to a suite but
the fees. Their keys come from the run's seed and are never written down.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from aitbc_node.blocks import tx_id
from aitbc_node.codes import Code
from aitbc_node.crypto import SigningKey
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import Output
from aitbc_node.types import Address, Amount
from aitbc_toolkit import keys, payments, wallet
from aitbc_toolkit.asking import Silence
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.rpc_client import RefusedError, RpcClient
from aitbc_toolkit.suites.scene import Scene
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict
from aitbc_toolkit.wallet import ChainNow, Wallet

FUNDS = 1_000_000
UNITS = 1_000
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Sent:
    """Hold what was handed to one node, by transaction id."""

    node: str
    raws: Mapping[str, bytes]


def faucet_of(scene: Scene) -> Wallet:
    """Open the environment's own funded account."""
    return Wallet(keys.read_faucet(scene.environment.folder))


def chain_now(scene: Scene) -> ChainNow:
    """Ask what a transaction has to say now."""
    return wallet.look_any(scene.mesh, interval_ms=scene.environment.chain.block_interval_ms)


def pay_each(scene: Scene, amounts: Mapping[Address, int]) -> str:
    """Pay several accounts out of the faucet in one transaction; return its id.

    Another suite may use the faucet at the same time, so a nonce that is gone is asked for again.

    Raises: ScenarioError when the faucet cannot pay.
    """
    outs = [Output(to, NATIVE, Amount(units)) for to, units in amounts.items()]
    payer = faucet_of(scene)
    used, why = -1, ""
    for _ in range(_TRIES):
        nonce, new = _nonce_after(scene, payer, used)
        raw = payer.transfer(chain_now(scene), nonce=nonce, new=new, outs=outs)
        try:
            return scene.mesh.submit(raw).id
        except RefusedError as refused:
            if refused.code not in {Code.E_NONCE, Code.E_QUEUE_FULL}:
                raise
            used = nonce if refused.code == Code.E_NONCE else used
            why = refused.reason
    raise ScenarioError(Verdict.INFRA, f"the faucet could not pay: {why}")


def pay_through_each(scene: Scene) -> list[str]:
    """Hand one transfer of the faucet to itself to every node; return the ids.

    The nonces follow each other, so each node has to hear from the others about the earlier ones.
    One that somebody else's transaction waits with is left to it.

    Raises: RefusedError when a node takes none.
    """
    payer = faucet_of(scene)
    chain = chain_now(scene)
    outs = [Output(payer.account, NATIVE, Amount(UNITS))]
    nonce, new = _nonce_after(scene, payer, -1)
    ids = []
    for node in scene.mesh.nodes:
        for left in reversed(range(_TRIES)):
            raw = payer.transfer(chain, nonce=nonce, new=new, outs=outs)
            nonce += 1
            try:
                ids.append(node.submit(raw).id)
                break
            except RefusedError as refused:
                if refused.code != Code.E_NONCE or not left:
                    raise
    return ids


def _nonce_after(scene: Scene, payer: Wallet, used: int) -> tuple[int, bool]:
    """Return the first nonce above `used` that no node has heard of, and whether to be founded."""
    address = payer.address(scene.environment.chain.hrp)
    nonce, new = payments.next_nonce(scene.mesh, address)
    return max(nonce, used + 1), new


def payers(scene: Scene) -> dict[str, Wallet]:
    """Make one wallet for each node, from the seed."""
    return {
        node.name: Wallet(SigningKey(_seeded(scene.seed, node.name))) for node in scene.mesh.nodes
    }


def send_through_each(scene: Scene, wallets: Mapping[str, Wallet], *, count: int) -> list[Sent]:
    """Hand `count` transfers back to the faucet to every node side by side.

    Raises: ScenarioError when a node does not take one.
    """
    chain = chain_now(scene)
    home = faucet_of(scene).account

    def hand_in(node: RpcClient) -> Sent:
        payer = wallets[node.name]
        outs = [Output(home, NATIVE, Amount(UNITS))]
        # With the same seed these accounts may have paid before on this chain.
        first = node.account(payer.address(scene.environment.chain.hrp)).next_nonce
        nonces = range(first, first + count)
        raws = [payer.transfer(chain, nonce=each, new=True, outs=outs) for each in nonces]
        for place, row in enumerate(node.submit_batch(raws)):
            if row.code != Code.OK:
                message = f"transfer {place} was refused: {row.message} [{row.code}]"
                raise AitbcError(message, hint=f"aitbc node status {node.name}")
        return Sent(node.name, {tx_id(raw).hex(): raw for raw in raws})

    told = scene.mesh.ask_all(hand_in)
    for name, sent in told.items():
        if isinstance(sent, Silence):
            raise ScenarioError(Verdict.INFRA, f"{name}: {sent.reason}")
    return [sent for sent in told.values() if isinstance(sent, Sent)]


def _seeded(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"aitbc/suite {seed} {name}".encode()).digest()
