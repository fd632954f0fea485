"""What do people with keys need of a mesh's ledger, whether that lives or is simulated?

Do not add what anybody does with it: `spending.py`, `bonding.py`, `electing.py`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from aitbc_node.crypto import Signer
from aitbc_node.types import Address
from aitbc_toolkit.wallet import ChainNow, Wallet

TAKEN = "ok"
"""What a node says of a transaction that it takes, and a receipt of one that had its effect."""


class Returning(NamedTuple):
    """Say what is on its way back; it counts for a vote while `counted_until` is 0."""

    amount: int
    matures: int
    counted_until: int


class Holding(NamedTuple):
    """Say what an account has, as the ledger at a height knows it."""

    height: int
    nonce: int
    owned: int
    bonded: int
    returning: tuple[Returning, ...]

    @property
    def wealth(self) -> int:
        """Sum up what it has, wherever that is."""
        return self.owned + self.bonded + sum(row.amount for row in self.returning)


class Fate(NamedTuple):
    """Say in which block a transaction is, and what it did there."""

    height: int
    place: int
    code: str
    fee: int
    events: tuple[tuple[str, ...], ...]

    @property
    def took_effect(self) -> bool:
        """Tell whether it did what it was for."""
        return self.code == TAKEN


class Pace(NamedTuple):
    """Say by which numbers the chain goes."""

    epoch_blocks: int
    reward_per_block: int
    app_version: int
    block_gas: int

    def epoch_of(self, height: int) -> int:
        """Return the last height of a height's epoch."""
        return -(-height // self.epoch_blocks) * self.epoch_blocks


class Ledger(Protocol):
    """Be the ledger of a mesh, as people use it."""

    def chain(self) -> ChainNow:
        """Tell what a transaction has to say now."""

    def height(self) -> int:
        """Tell the newest final height."""

    def pace(self) -> Pace:
        """Tell by which numbers the chain goes."""

    def purse(self) -> Wallet:
        """Open the account that pays for everything."""

    def someone(self, name: str) -> Wallet:
        """Make somebody, the same for the same name; nobody of an earlier run has this key."""

    def stranger(self, name: str) -> Signer:
        """Make a key that no node has, the same for the same name."""

    def reward_pool(self) -> int:
        """Tell what is left to pay for blocks."""

    def votes(self) -> Mapping[Address, int]:
        """Tell which operators vote on the next block, and what that counts."""

    def operator(self, node: str) -> Address:
        """Tell who runs a validator. Raises: ScenarioError (infrastructure) where nobody does."""

    def holding(self, who: Address) -> Holding:
        """Tell what an account has."""

    def hand_in(self, rows: Sequence[tuple[str, bytes]]) -> list[str]:
        """Hand in at nodes, all at the same time; tell what each said, nothing where silent."""

    def fate(self, tx_id: str) -> Fate | None:
        """Tell what became of a transaction that is in a final block."""

    def keys(self) -> "Keyring":
        """Open the keys of those who validate.

        Raises: ScenarioError (infrastructure) where they are not at hand.
        """


class Keyring(Protocol):
    """Have the keys of those who validate, or may come to."""

    def operator(self, node: str) -> Wallet:
        """Open the account that a node votes for."""

    def vote(self, node: str) -> Signer:
        """Open what a node votes with, once somebody has registered it."""

    def voters(self) -> Sequence[str]:
        """Name the nodes that vote now."""

    def settled(self, node: str, operator: Wallet) -> None:
        """Remember for whom a node votes from now on."""
