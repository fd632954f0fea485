"""What do bots do that keep the rules? Pay and look, stake, or watch the chain go on.

Do not add when a bot acts: `bots.py`, nor whoever uses a mesh badly: `habits.py`.
"""

import random

import gevent
import msgspec

from aitbc_load.orders import Place
from aitbc_load.replies import Stream
from aitbc_load.signing import UNITS, cost_max
from aitbc_load.swarm.bots import BotError
from aitbc_load.swarm.listening import Height
from aitbc_load.swarm.paying import Payer
from aitbc_load.swarm.wire import Connection, Wires, get
from aitbc_node import bech32
from aitbc_node.ledger.bonding import STAKE_GAS, StakeBond, StakeUnbond
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.rpc import electorate, schema
from aitbc_node.types import Address, Amount

_LEAVING_MAX = 6
"""Fewer than a validator lets one account have on their way back."""

_block = msgspec.json.Decoder(Height)


class WrongBalanceError(BotError):
    """A node says that an account has another amount, or another nonce, than it has left."""


class WrongStakeError(BotError):
    """A node says that an account has bonded another amount than it has."""


class GapError(BotError):
    """A stream of events left a block out."""


class UntoldError(BotError):
    """A node did not answer a read."""


def to_itself(payer: Payer, amount: int = UNITS) -> Transfer:
    """Write the transfer that costs a payer nothing but its fee."""
    return Transfer((Output(Address(payer.who.account), NATIVE, Amount(amount)),))


class User:
    """Pay itself now and then, and look whether what is left is right."""

    def __init__(self, payer: Payer, mix: dict[str, int], seed: str) -> None:
        self._payer = payer
        self._mix = mix or {"transfer": 1}
        self._dice = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def set_up(self) -> None:
        """See that the account is as it was left."""
        self._look()

    def behave(self) -> str:
        """Do one of the acts of its mix."""
        (act,) = self._dice.choices(list(self._mix), list(self._mix.values()))
        if act == "read":
            self._look()
        else:
            payer = self._payer
            payer.pay(to_itself(payer), units=0, most=cost_max(payer.terms))
        return act

    def tear_down(self) -> None:
        """Hold nothing."""

    def _look(self) -> None:
        payer = self._payer
        if not payer.wallet.is_settled:
            return
        told = payer.reader.account_at(payer.node, payer.address)
        if told is None:
            raise UntoldError(payer.node.name)
        if (told.units, told.nonce) != (payer.wallet.owned, payer.wallet.nonce):
            raise WrongBalanceError(f"{told.units} after {told.nonce}")


class Staker:
    """Bond a little with a validator, take it back, and see that the bond is what it must be."""

    def __init__(self, payer: Payer) -> None:
        self._payer = payer
        self._operator = Address(b"")
        self._least = 0
        self._before = 0
        self._bonds = 0
        self._unbonds = 0

    def set_up(self) -> None:
        """Choose a validator, and ask what the least bond is."""
        payer = self._payer
        told = payer.reader.ask(payer.node, "/validators", schema.Validators)
        params = payer.reader.ask(payer.node, "/params", schema.Parameters)
        if told is None or params is None or not told.validators:
            raise UntoldError(payer.node.name)
        place = payer.who.account[0] % len(told.validators)
        text = told.validators[place].address
        self._operator = bech32.parse_address(text, hrp=payer.terms.hrp)
        self._least = params.params["delegation_min"].value
        stakes = self._stakes()
        self._before, self._unbonds = int(stakes.bonded), len(stakes.leaving)
        self._bonds = self._unbonds

    def behave(self) -> str:
        """Bond, or take back what was bonded before."""
        takes_back = self._bonds > self._unbonds and self._unbonds < _LEAVING_MAX
        kind = StakeUnbond if takes_back else StakeBond
        amount = Amount(self._least)
        units = 0 if takes_back else self._least
        most = cost_max(self._payer.terms, gas=STAKE_GAS) + units
        self._payer.pay(kind(self._operator, amount), units=units, most=most)
        self._unbonds += takes_back
        self._bonds += not takes_back
        self._look()
        return "unbond" if takes_back else "bond"

    def tear_down(self) -> None:
        """Leave what is bonded where it is."""

    def _look(self) -> None:
        told = self._stakes().bonded
        if int(told) != self._before + (self._bonds - self._unbonds) * self._least:
            raise WrongStakeError(told)

    def _stakes(self) -> electorate.AccountStakes:
        payer = self._payer
        path = f"/state/accounts/{payer.address}/stakes"
        told = payer.reader.ask(payer.node, path, electorate.AccountStakes)
        if told is None:
            raise UntoldError(payer.node.name)
        return told


class Observer:
    """Hear of every block over a stream of its own."""

    def __init__(self, node: Place, wires: Wires) -> None:
        self._node = node
        self._wires = wires
        self._connection: Connection | None = None
        self._stream = Stream()
        self._heard: list[int] = []
        self._height = 0

    def set_up(self) -> None:
        """Open the stream."""
        self._connection = self._wires.open(self._node)
        self._take(self._connection.stream(get(self._node, "/events?topic=block")))

    def behave(self) -> str:
        """Wait for the next block, which must be the one after the last."""
        assert self._connection is not None, "it has set up"
        while not self._heard:
            # Who heard the same block comes back at the same moment, each to a minute of blocks:
            # whoever has to pay meanwhile goes before most of them.
            gevent.sleep(0)
            self._take(self._connection.more())
        before, self._height = self._height, self._heard.pop(0)
        if before and self._height != before + 1:
            raise GapError(f"{before}, then {self._height}")
        return "block"

    def tear_down(self) -> None:
        """Close the stream."""
        if self._connection is not None:
            self._connection.close()

    def _take(self, data: bytes) -> None:
        for event in self._stream.feed(data):
            if event.name == "block":
                self._heard.append(_block.decode(event.data).height)
