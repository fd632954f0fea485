"""How does a scenario keep transactions coming? One payer for each node, at a steady pace.

Each payer hands in one transfer after the other at its own node, at the moments of a schedule; late
ones are made up for, and a load that stayed behind makes the run INVALID. What that node may have
taken is only ever handed in again as the same bytes. Which of them are final is heard from the
blocks. Do not add other kinds of load: a swarm is a process of its own.
"""

import statistics
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import msgspec

from aitbc_node.blocks import tx_id
from aitbc_node.codes import Code
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import Output
from aitbc_node.types import Address, Amount
from aitbc_toolkit import wallet
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.rpc_client import RefusedError, RpcClient, SilentError
from aitbc_toolkit.suites import transfers
from aitbc_toolkit.suites.checkers import BlockFact
from aitbc_toolkit.suites.per_node import PerNode
from aitbc_toolkit.suites.scene import LIVENESS_S, Scene
from aitbc_toolkit.suites.timeline import LoadSecond, Timeline
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict
from aitbc_toolkit.suites.waiting import Look, wait_until
from aitbc_toolkit.wallet import ChainNow, Wallet

FUNDS = 50_000_000
UNITS = 1
REFRESH_S = 5.0
SENT_MIN = 0.95
"""Which share of what was asked for must have been handed in, taken or not."""
_TENTHS = 100  # of percentiles


class Payers:
    """Hand in transfers while a `with` block lasts; `settle` waits for the last of them."""

    def __init__(self, scene: Scene, *, rate: float, timeline: Timeline) -> None:
        self.accepted: dict[str, float] = {}
        """When each transaction was taken."""
        self._scene = scene
        self._every_s = len(scene.mesh.nodes) / rate
        self._timeline = timeline
        self._rate = rate
        self._began = self._ended = 0.0
        self._sent = 0
        self._lock = threading.Lock()
        self._took_ms: list[float] = []
        self._counts = {"accepted": 0, "final": 0, "refused": 0}
        self._final_at: dict[str, float] = {}
        """When each transaction of anybody was first heard of in a block."""
        self._wallets = transfers.payers(scene)
        self._each = PerNode(scene.environment, self._pay, beside=self._tell)

    def __enter__(self) -> Self:
        funds: dict[Address, int] = {each.account: FUNDS for each in self._wallets.values()}
        try:
            paid = transfers.pay_each(self._scene, funds)
            self._scene.mesh.wait(paid, deadline_s=LIVENESS_S)
        except BaseException:
            self._each.__exit__(None, None, None)
            raise
        self._began = time.monotonic()
        self._each.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        # However the scenario ended: what was accepted must not be lost.
        self._scene.recorder.accepted(self._taken())
        self._each.__exit__(kind, value, trace)

    def stop(self) -> None:
        """Hand in no more transactions."""
        self._ended = self._ended or time.monotonic()
        self._each.stop()

    def on_block(self, _node: str, fact: BlockFact) -> None:
        """Hear of a final block."""
        now = time.monotonic()
        with self._lock:
            for tx in fact.tx_ids:
                if tx not in self._final_at:
                    self._final_at[tx] = now
                    self._count_final(tx)

    def settle(self, final: Callable[[], set[str]]) -> str:
        """Stop, and wait until all that was accepted is final; tell how many.

        Raises: ScenarioError when some are not, or when the load was not what was asked for.
        """
        self.stop()
        taken = self._taken()

        def look() -> Look[None]:
            left = taken - final()
            return Look(not left, None, f"{len(left)} of {len(taken)} are not final")

        wait_until("every accepted transfer final everywhere", look, deadline_s=LIVENESS_S)
        if not taken:
            raise ScenarioError(Verdict.INVALID, "no node took a single transfer of the load")
        self._require_pace()
        return f"{len(taken)} transfers final"

    def _require_pace(self) -> None:
        """Require that what was asked for was handed in: what was not sent shows nothing."""
        if self._each.failures:
            raise ScenarioError(Verdict.INVALID, f"the load ended early: {self._each.failures}")
        per_payer = (self._ended - self._began) / self._every_s
        asked = int(per_payer) * len(self._wallets)  # each payer's first is one interval late
        if self._sent < SENT_MIN * asked:
            why = f"the load handed in {self._sent} of {asked} transfers ({self._rate:g}/s)"
            raise ScenarioError(Verdict.INVALID, why)

    def _taken(self) -> set[str]:
        with self._lock:
            return set(self.accepted)

    def _pay(self, node: RpcClient) -> None:
        payer = _Payer(self._scene, self._wallets[node.name], node)
        due = self._began
        while True:
            due += self._every_s
            if self._each.over.wait(max(0.0, due - time.monotonic())) and due > self._ended:
                return  # all that was due before the end is handed in
            with self._lock:
                self._sent += 1
            try:
                taken = payer.hand_in()
            except AitbcError:
                self._count("refused")
                continue
            with self._lock:
                self.accepted[taken] = time.monotonic()
                self._count_final(taken)  # its block may have been heard of before the answer
            self._count("accepted")

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def _count_final(self, tx: str) -> None:
        """Count a transfer of ours once it is both taken and in a block."""
        if tx in self.accepted and tx in self._final_at:
            self._counts["final"] += 1
            took_s = self._final_at[tx] - self.accepted[tx]
            self._took_ms.append(1000 * max(0.0, took_s))

    def _tell(self) -> None:
        """Write a line for each second."""
        while not self._each.over.wait(1.0):
            with self._lock:
                counts, took_ms = dict(self._counts), self._took_ms
                self._counts = dict.fromkeys(counts, 0)
                self._took_ms = []
            second = msgspec.convert({**counts, **_percentiles(took_ms)}, LoadSecond)
            self._timeline.load(second)


class _Payer:
    """Pay back to the faucet, transfer by transfer."""

    def __init__(self, scene: Scene, own: Wallet, node: RpcClient) -> None:
        self._chain_facts = scene.environment.chain
        self._wallet = own
        self._node = node
        self._home = transfers.faucet_of(scene).account
        self._next: tuple[int, bool] | None = None
        self._unsure: bytes | None = None
        """What the node may have taken."""
        self._chain: ChainNow | None = None
        self._chain_at = 0.0

    def hand_in(self) -> str:
        """Hand in one transfer; return its id. Raises: AitbcError when the node takes none."""
        raw = self._unsure or self._sign()
        try:
            self._node.submit(raw)
        except SilentError as silent:
            self._unsure = raw if silent.may_be_taken else None
            raise
        except RefusedError as refused:
            self._unsure = raw if refused.may_be_taken else None
            if refused.code in {Code.E_NONCE, Code.E_EXPIRED}:
                self._next = self._unsure = self._chain = None
            if refused.code != Code.E_DUPLICATE:
                raise
        self._unsure = None
        assert self._next is not None, "signed with it"
        self._next = (self._next[0] + 1, False)
        return tx_id(raw).hex()

    def _sign(self) -> bytes:
        if self._next is None:
            account = self._node.account(self._wallet.address(self._chain_facts.hrp))
            self._next = (account.next_nonce, account.policy is None)
        if self._chain is None or time.monotonic() > self._chain_at + REFRESH_S:
            self._chain = wallet.look(self._node, interval_ms=self._chain_facts.block_interval_ms)
            self._chain_at = time.monotonic()
        nonce, new = self._next
        outs = [Output(self._home, NATIVE, Amount(UNITS))]
        return self._wallet.transfer(self._chain, nonce=nonce, new=new, outs=outs)


def _percentiles(took_ms: list[float]) -> Mapping[str, float]:
    """Give the latencies of a second, where there were some."""
    if not took_ms:
        return {}
    rows = statistics.quantiles([*took_ms, took_ms[-1]], n=_TENTHS, method="inclusive")
    return {f"p{part}_ms": round(rows[part - 1], 1) for part in (50, 95, 99)}
