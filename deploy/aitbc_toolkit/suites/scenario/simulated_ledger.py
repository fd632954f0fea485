"""How is the ledger of a simulated mesh used? By asking its most advanced node, and through any.

Do not add what anybody does with it: `acts.py` names that.
"""

from collections.abc import Callable, Sequence

from aitbc_node.blocks import tx_id
from aitbc_node.crypto import Signer
from aitbc_node.ledger import objects, staking
from aitbc_node.ledger.objects import NATIVE, NEW_ACCOUNT
from aitbc_node.types import Address, TxId
from aitbc_node.view import View
from aitbc_sim.citizens import signer_of
from aitbc_sim.founding import operator, patron
from aitbc_sim.staged import Staged
from aitbc_sim.testing import CHAIN_ID
from aitbc_toolkit.suites.scenario.ledger import Fate, Holding, Pace, Returning
from aitbc_toolkit.suites.verdicts import ScenarioError, Verdict
from aitbc_toolkit.wallet import ChainNow, Wallet

PRICE_MAX = 10**9
LIFE_BLOCKS = 1_000
ANSWERS_S = 0.01
"""So soon a node has answered, and told nobody yet."""


class SimLedger:
    """Be the ledger of a simulated mesh."""

    def __init__(self, world: Staged, names: Sequence[str], pause: Callable[[float], None]) -> None:
        self._world = world
        self._places = {name: index for index, name in enumerate(names)}
        self._pause = pause
        self._keys = SimKeys(world, names)

    def chain(self) -> ChainNow:
        """Tell what a transaction has to say now."""
        until = self.height() + LIFE_BLOCKS
        return ChainNow(CHAIN_ID, "aitd", valid_until=until, max_gas_price=PRICE_MAX)

    def height(self) -> int:
        """Tell the newest final height of who runs."""
        return self._view().height

    def pace(self) -> Pace:
        """Tell by which numbers the chain goes."""
        params = self._view().state.params
        version = self._view().state.chain.app_version
        return Pace(params.epoch_blocks, params.reward_per_block, version, params.max_block_gas)

    def purse(self) -> Wallet:
        """Open the account that pays for everything."""
        return Wallet(patron(0))

    def someone(self, name: str) -> Wallet:
        """Make somebody, the same for the same name."""
        return Wallet(signer_of(f"scenario {name}"))

    def stranger(self, name: str) -> Signer:
        """Make a key that no node has."""
        return signer_of(f"stranger {name}")

    def reward_pool(self) -> int:
        """Tell what is left to pay for blocks."""
        pool = self._view().state.pool(objects.REWARD_POOL)
        return int(objects.balance(pool.balances, NATIVE))

    def votes(self) -> dict[Address, int]:
        """Tell which operators vote on the next block, and what that counts."""
        return {each.operator: int(each.power) for each in self._view().validators.members}

    def operator(self, node: str) -> Address:
        """Tell for whom a node votes."""
        return self._keys.operator(node).account

    def keys(self) -> "SimKeys":
        """Open the keys of those who validate."""
        return self._keys

    def holding(self, who: Address) -> Holding:
        """Tell what an account has."""
        view = self._view()
        state = view.state
        account = state.account(who) or NEW_ACCOUNT
        bonded, returning = 0, []
        for each in state.roster.operators:
            member, stake = state.membership(each), state.stake(each, who)
            if member is not None and stake is not None:
                bonded += staking.value_of(member, stake.shares)
        for kind, name in state.contents:
            if kind == objects.UNBONDING:
                rows = state.unbonding(Address(name)).rows
                returning += [
                    Returning(row.amount, row.matures, row.counted_until)
                    for row in rows
                    if row.delegator == who
                ]
        owned = objects.balance(account.balances, NATIVE)
        return Holding(view.height, account.nonce, owned, bonded, tuple(returning))

    def hand_in(self, rows: Sequence[tuple[str, bytes]]) -> list[str]:
        """Hand in at nodes, all at the same moment; tell what each said."""
        ids = [tx_id(raw) for _, raw in rows]
        for each in ids:
            self._world.answers.pop(each, None)
        by_node: dict[str, list[bytes]] = {}
        for node, raw in rows:
            by_node.setdefault(node, []).append(raw)
        for node, raws in by_node.items():
            self._world.submit(self._places[node], raws)
        self._pause(ANSWERS_S)
        return [str(self._world.answers.get(each, "")) for each in ids]

    def fate(self, tx_id: str) -> Fate | None:
        """Tell what became of a transaction that is in a final block."""
        found = self._world.receipts.get(TxId(bytes.fromhex(tx_id)))
        if found is None:
            return None
        height, place, receipt = found
        return Fate(height, place, receipt.code, receipt.fee, receipt.events)

    def _view(self) -> View:
        first = self._world.first()
        if first is None:
            raise ScenarioError(Verdict.INCONCLUSIVE, "nobody runs who could be asked")
        return first.view


class SimKeys:
    """Have all keys of a simulated mesh."""

    def __init__(self, world: Staged, names: Sequence[str]) -> None:
        self._world = world
        self._names = names
        founders = range(len(world.options.powers))
        self._operators = {names[place]: Wallet(operator(place)) for place in founders}

    def operator(self, node: str) -> Wallet:
        """Open the account that a node votes for."""
        if node not in self._operators:
            raise ScenarioError(Verdict.INFRA, f"{node} votes for nobody")
        return self._operators[node]

    def vote(self, node: str) -> Signer:
        """Open what a node votes with, once somebody has registered it."""
        signer = self._world.nodes[self._names.index(node)].signer
        if signer is None:
            raise ScenarioError(Verdict.INFRA, f"{node} has no key that could vote")
        return signer

    def voters(self) -> list[str]:
        """Name the nodes that vote now."""
        return [self._names[place] for place in sorted(self._world.powers())]

    def settled(self, node: str, operator: Wallet) -> None:
        """Remember for whom a node votes from now on."""
        self._operators[node] = operator
