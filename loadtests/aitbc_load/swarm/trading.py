"""How does a trader act? In bursts: many transfers of an asset of its own, none waited for.

Each trader makes an asset, mints it and sells it away; what is left must be what it says, to the
unit. Do not add a vault: there is none on the ledger yet.
"""

from aitbc_load.identities import identity
from aitbc_load.mustering import BURST
from aitbc_load.signing import cost_max
from aitbc_load.swarm.bots import BotError
from aitbc_load.swarm.paying import Payer, RefusedError, RejectedError
from aitbc_load.swarm.roles import UntoldError
from aitbc_node.codes import Code
from aitbc_node.ledger.assets import ASSET_GAS, AssetSupply
from aitbc_node.ledger.definitions import DEFINE_GAS, AssetDefine
from aitbc_node.ledger.families import Body
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.rpc import schema
from aitbc_node.types import Address, Amount

MINTED = 1_000_000
_MINT_MAX = 10**15
_TICKER_BYTES = 5
_MARKET = identity(0, 0, 0, role="market").account
"""Who takes everything that is sold; nobody acts for it."""


class WrongHoldingError(BotError):
    """A node says that a trader has another amount of its asset than it has left."""


class Trader:
    """Sell an asset of its own in bursts."""

    def __init__(self, payer: Payer) -> None:
        self._payer = payer
        self._ticker = "T" + payer.who.account[:_TICKER_BYTES].hex().upper()
        self._left = 0

    def set_up(self) -> None:
        """Make the asset, unless a run of this seed has done so, and mint some."""
        payer = self._payer
        account = Address(payer.who.account)
        minimum, most = Amount(1), Amount(_MINT_MAX)
        asset = AssetDefine(self._ticker, "of a trader", 0, account, minimum, most)
        try:
            self._make(asset, DEFINE_GAS)
        except RejectedError as failure:
            if str(failure) != Code.E_TAKEN:
                raise
        self._left = self._held()
        self._make(AssetSupply(self._ticker, account, MINTED), ASSET_GAS)
        self._left += MINTED
        self._look()

    def behave(self) -> str:
        """Hand in a burst, wait until all of it is final, and see what is left."""
        payer = self._payer
        sale = Transfer((Output(Address(_MARKET), self._ticker, Amount(1)),))
        names = []
        try:
            for _ in range(BURST):
                name, piece = payer.promise(sale, most=cost_max(payer.terms))
                if (code := payer.hand_in(piece)) != Code.OK:
                    payer.wallet.take_back(name)
                    raise RefusedError(code)
                names.append(name)
        finally:
            for name in names:  # what was taken becomes final, whatever came of the others
                payer.settle(name, units=0)
                self._left -= 1
        self._look()
        return "burst"

    def tear_down(self) -> None:
        """Keep what is left."""

    def _make(self, body: Body, gas: int) -> None:
        self._payer.pay(body, units=0, most=cost_max(self._payer.terms, gas=gas))

    def _look(self) -> None:
        if (held := self._held()) != self._left:
            raise WrongHoldingError(f"{held:,}, {self._left:,} must be left")

    def _held(self) -> int:
        payer = self._payer
        told = payer.reader.ask(payer.node, f"/state/accounts/{payer.address}", schema.AccountView)
        if told is None:
            raise UntoldError(payer.node.name)
        held = told.balances.get(self._ticker)
        return int(held.balance) if held else 0
