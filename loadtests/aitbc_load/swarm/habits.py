"""What do clients do that keep the rules and use a mesh badly? The anti-patterns, one class each.

Each act says what must become of it: nobody is served wrongly because somebody is clumsy. Do not
add whoever breaks the rules: `attacks.py`.
"""

import hashlib
from itertools import count

from aitbc_load.orders import Place
from aitbc_load.signing import cost_max
from aitbc_load.swarm.bots import BotError, CodedError
from aitbc_load.swarm.paying import ExpiredError, Payer, RefusedError, RejectedError
from aitbc_load.swarm.roles import UntoldError, to_itself
from aitbc_load.swarm.wire import Wires, get
from aitbc_node.bech32 import ADDRESS_BYTES
from aitbc_node.codes import Code
from aitbc_node.ledger.objects import NATIVE
from aitbc_node.ledger.transfers import Output, Transfer
from aitbc_node.types import Address, Amount, Height

POLL_S = 0.02
"""Fifty questions a second, where blocks come once in a while and a stream tells them."""
REPEATS = 8
_ANSWERS = frozenset({200, 429, 503})


class TakenError(BotError):
    """A node let somebody spend more than there was."""


class AnswerError(CodedError):
    """A node answered what no client can make anything of; the code is the status."""


class Poller:
    """Ask again and again what became of a transfer, in place of waiting to be told."""

    def __init__(self, payer: Payer) -> None:
        self._payer = payer
        payer.poll_s = POLL_S

    def set_up(self) -> None:
        """Need nothing."""

    def behave(self) -> str:
        """Pay, and ask until it is final."""
        self._payer.pay(to_itself(self._payer), units=0, most=cost_max(self._payer.terms))
        return "polled"

    def tear_down(self) -> None:
        """Hold nothing."""


class Impatient:
    """Hand in the same transfer at one node after the other, early and late."""

    def __init__(self, payer: Payer) -> None:
        self._payer = payer

    def set_up(self) -> None:
        """Need nothing."""

    def behave(self) -> str:
        """Pay once, whatever was handed in how often."""
        most = cost_max(self._payer.terms)
        self._payer.pay(to_itself(self._payer), units=0, most=most, again=REPEATS)
        return "repeated"

    def tear_down(self) -> None:
        """Hold nothing."""


class Overspender:
    """Spend more than there is: to somebody else, which no node takes, and to itself."""

    def __init__(self, payer: Payer) -> None:
        self._payer = payer
        self._numbers = count()

    def set_up(self) -> None:
        """Need nothing."""

    def behave(self) -> str:
        """Hand in what nobody may carry out; in a block it costs its fee, and has no effect."""
        payer = self._payer
        amount = payer.wallet.owned + 1
        number = next(self._numbers)
        stranger = hashlib.sha256(f"{payer.address} {number}".encode()).digest()[:ADDRESS_BYTES]
        to_another = Transfer((Output(Address(stranger), NATIVE, Amount(amount)),))
        body = to_itself(payer, amount) if number % 2 else to_another
        try:
            payer.pay(body, units=0, most=cost_max(payer.terms))
        except (RefusedError, RejectedError) as failure:
            if str(failure) != Code.E_INSUFFICIENT:
                raise
            return "in vain" if isinstance(failure, RejectedError) else "refused"
        raise TakenError(f"{amount:,}")

    def tear_down(self) -> None:
        """Hold nothing."""


class Hurried:
    """Hand in transfers that are good for a block or two: each is made in time, or never."""

    def __init__(self, payer: Payer) -> None:
        self._payer = payer
        self._numbers = count()

    def set_up(self) -> None:
        """Need nothing."""

    def behave(self) -> str:
        """Pay if there is time."""
        payer = self._payer
        height = payer.reader.height_of(payer.node)
        if not height:
            raise UntoldError(payer.node.name)
        until = Height(height + 1 + next(self._numbers) % 2)
        try:
            payer.pay(to_itself(payer), units=0, most=cost_max(payer.terms), valid_until=until)
        except ExpiredError:
            return "expired"
        except RefusedError as refused:
            if str(refused) != Code.E_EXPIRED:
                raise
            return "too late"
        return "in time"

    def tear_down(self) -> None:
        """Hold nothing."""


class Reconnector:
    """Open a connection for every question, and be gone from every other one before its answer."""

    def __init__(self, node: Place, wires: Wires) -> None:
        self._node = node
        self._wires = wires
        self._numbers = count()

    def set_up(self) -> None:
        """Need nothing."""

    def behave(self) -> str:
        """Ask over a connection of its own."""
        connection = self._wires.open(self._node)
        question = get(self._node, "/status")
        if next(self._numbers) % 2:
            connection.leave(question)
            return "left"
        answer = connection.ask(question)
        connection.close()
        if answer.status not in _ANSWERS:
            raise AnswerError(str(answer.status))
        return "asked"

    def tear_down(self) -> None:
        """Hold nothing."""
