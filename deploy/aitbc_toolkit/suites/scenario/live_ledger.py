"""How is the ledger of a live mesh used? Over its nodes' public answers, as anybody uses it.

Do not add what anybody does with it: `acts.py` names that.
"""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from aitbc_node import bech32
from aitbc_node.crypto import SigningKey
from aitbc_node.ledger.objects import NATIVE, REWARD_POOL
from aitbc_node.rpc import electorate, schema
from aitbc_node.types import Address
from aitbc_toolkit import candidacy, keys, wallet
from aitbc_toolkit.asking import MeshClient, Silence
from aitbc_toolkit.errors import UsageError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.rpc_client import RefusedError, RpcClient
from aitbc_toolkit.suites.scenario.ledger import Fate, Holding, Keyring, Pace, Returning
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict
from aitbc_toolkit.wallet import ChainNow, Wallet

REFRESH_S = 5.0

T = TypeVar("T")


class LiveLedger:
    """Be the ledger of a live mesh."""

    def __init__(self, environment: Environment, mesh: MeshClient) -> None:
        self._environment = environment
        self._mesh = mesh
        self._salt = os.urandom(16)
        self._chain: ChainNow | None = None
        self._chain_at = 0.0

    def chain(self) -> ChainNow:
        """Tell what a transaction has to say now, as of a moment ago."""
        if self._chain is None or time.monotonic() > self._chain_at + REFRESH_S:
            interval_ms = self._environment.chain.block_interval_ms
            self._chain = wallet.look_any(self._mesh, interval_ms=interval_ms)
            self._chain_at = time.monotonic()
        return self._chain

    def height(self) -> int:
        """Tell the newest final height of who answers."""
        return self._newest(lambda node: node.status(), lambda told: told.height).height

    def pace(self) -> Pace:
        """Tell by which numbers the chain goes."""
        told = self._mesh.ask_any(lambda node: node.parameters()).params
        rules = self._newest(lambda node: node.status(), lambda status: status.height).app_version
        blocks, reward = told["epoch_blocks"].value, told["reward_per_block"].value
        return Pace(int(blocks), int(reward), rules, int(told["max_block_gas"].value))

    def purse(self) -> Wallet:
        """Open the environment's own funded account."""
        return Wallet(keys.read_faucet(self._environment.folder))

    def someone(self, name: str) -> Wallet:
        """Make somebody, the same for the same name; the key is never written down."""
        return Wallet(SigningKey(hashlib.sha256(self._salt + name.encode()).digest()))

    def stranger(self, name: str) -> SigningKey:
        """Make a key that no node has."""
        return SigningKey(hashlib.sha256(self._salt + b"votes" + name.encode()).digest())

    def reward_pool(self) -> int:
        """Tell what is left to pay for blocks."""
        told = self._mesh.ask_any(lambda node: node.economics())
        return int(told.pools.get(REWARD_POOL, {}).get(NATIVE, "0"))

    def votes(self) -> dict[Address, int]:
        """Tell which operators vote on the next block, and what that counts."""
        told = self._newest(lambda node: node.members(), lambda each: each.height)
        hrp = self._environment.chain.hrp
        rows = [row for row in told.validators if row.power]
        return {bech32.parse_address(row.address, hrp=hrp): row.power for row in rows}

    def operator(self, node: str) -> Address:
        """Tell who runs a validator."""
        try:
            return candidacy.operator_of(self._environment, self._mesh, node)
        except UsageError as wrong:
            raise ScenarioError(Verdict.INFRA, wrong.message) from wrong

    def keys(self) -> Keyring:
        """Refuse: operators' keys lie on their hosts."""
        raise ScenarioError(Verdict.INFRA, "the keys of operators are not at hand")

    def holding(self, who: Address) -> Holding:
        """Tell what an account has, by whoever knows the newest height."""
        text = bech32.address_text(self._environment.chain.hrp, who)

        def ask(node: RpcClient) -> tuple[schema.AccountView, electorate.AccountStakes]:
            return node.account(text), node.get(
                f"/state/accounts/{text}/stakes", electorate.AccountStakes
            )

        account, stakes = self._newest(ask, lambda told: told[0].height)
        owned = int(account.balances[NATIVE].balance) if NATIVE in account.balances else 0
        returning = tuple(
            Returning(int(row.amount), row.matures, row.counted_until) for row in stakes.leaving
        )
        return Holding(account.height, account.nonce, owned, int(stakes.bonded), returning)

    def hand_in(self, rows: Sequence[tuple[str, bytes]]) -> list[str]:
        """Hand in at nodes side by side; tell what each said."""
        by_node: dict[str, list[int]] = {}
        for place, (node, _) in enumerate(rows):
            by_node.setdefault(node, []).append(place)

        def ask(node: RpcClient) -> list[str]:
            raws = [rows[place][1] for place in by_node.get(node.name, [])]
            try:
                return [each.code for each in node.submit_batch(raws)] if raws else []
            except RefusedError as refused:  # all of it, as who reaches no quorum does
                return [refused.code] * len(raws)

        codes = dict.fromkeys(range(len(rows)), "")
        for name, told in self._mesh.ask_all(ask).items():
            if not isinstance(told, Silence):
                codes |= dict(zip(by_node.get(name, []), told, strict=True))
        return list(codes.values())

    def fate(self, tx_id: str) -> Fate | None:
        """Tell what became of a transaction, if any node has it in a final block."""
        told = self._mesh.fate(tx_id)
        if told is None or told.height is None or told.index is None:
            return None
        events = tuple(tuple(event) for event in told.events)
        return Fate(told.height, told.index, told.code, int(told.fee or 0), events)

    def _newest(self, ask: Callable[[RpcClient], T], height: Callable[[T], int]) -> T:
        answers = self._mesh.ask_all(ask)
        known = [each for each in answers.values() if not isinstance(each, Silence)]
        if not known:
            raise self._mesh.silent(answers)
        return max(known, key=height)
