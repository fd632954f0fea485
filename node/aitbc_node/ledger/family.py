"""What does the ledger have to know about one type of transaction body?

One `Family` per type: what its record looks like, what it costs, how its form and its effect are
judged. The table of all of them is `families.py`. Do not add rules of a single type here.
"""

from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

import msgspec

from aitbc_node import crypto
from aitbc_node.canonical import Record
from aitbc_node.codes import Refusal
from aitbc_node.crypto import Verifier
from aitbc_node.ledger.params import Params
from aitbc_node.ledger.state import Draft
from aitbc_node.types import Address, Height

B = TypeVar("B", bound=Record)

Event: TypeAlias = tuple[str, ...]
"""One row of a receipt: what happened, then its details, all text."""

Outcome: TypeAlias = Refusal | list[Event]
"""What applying a body gives; after a refusal the draft is rolled back by the caller."""


class Act(msgspec.Struct, frozen=True, gc=False):
    """Say whose body is applied in which block, and which one of the sender's it is."""

    sender: Address
    nonce: int
    place: int
    height: Height
    verify: Verifier = crypto.verify


def sound(_body: Record) -> Refusal | None:
    """Find no fault: the record's own lengths and ranges say it all."""
    return None


def free(_params: Params, _sender: Address, _body: Record) -> int:
    """Take nothing of the sender's native balance beyond the fee."""
    return 0


class Family(msgspec.Struct, Generic[B], frozen=True):
    """Describe one type of body.

    `gas` is known from the body alone. `fault` judges what the decoder cannot, without the state.
    `apply` carries the body out or says why not. `spends` is what it takes of the sender's native
    balance if it succeeds, so that the mempool does not promise the same coin twice.
    """

    body: type[B]
    gas: Callable[[B], int]
    apply: Callable[[Draft, Act, B], Outcome]
    fault: Callable[[B], Refusal | None] = sound
    spends: Callable[[Params, Address, B], int] = free
