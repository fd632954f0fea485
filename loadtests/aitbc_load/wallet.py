"""What does a bot believe that it owns? Its own books, kept without asking the chain.

At the end they are compared with the chain: a difference is a violation. Pure. Do not add what a
transaction is, or where it goes.
"""

from dataclasses import dataclass, field


class ShortError(Exception):
    """There is not enough for what somebody wants to spend; nothing has changed."""


@dataclass(slots=True)
class Wallet:
    """Hold the money of one account. Units: base units of the native asset."""

    owned: int
    nonce: int
    _promised: dict[str, int] = field(default_factory=dict)
    """What is under way may take, by transaction."""

    @property
    def available(self) -> int:
        """Return what may still be spent."""
        return self.owned - sum(self._promised.values())

    @property
    def is_settled(self) -> bool:
        """Tell whether nothing is under way."""
        return not self._promised

    def promise(self, name: str, most: int) -> None:
        """Keep money back for a transaction, and take its nonce. Raises: ShortError."""
        if most > self.available:
            raise ShortError(f"{most:,} wanted, {self.available:,} of {self.owned:,} available")
        assert name not in self._promised, "each transaction is promised once"
        self._promised[name] = most
        self.nonce += 1

    def settle(self, name: str, spent: int) -> None:
        """Pay what a transaction has really taken."""
        most = self._promised.pop(name)
        assert spent <= most, "no transaction takes more than it may"
        self.owned -= spent

    def take_back(self, name: str) -> None:
        """Forget the newest transaction, which nobody took."""
        del self._promised[name]
        self.nonce -= 1
