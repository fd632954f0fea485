"""What goes into the machine and comes out of it because of messages of accounts?

As in `events.py`: one event, which is answered with `Reply`, and one effect. Do not add behaviour.
"""

from aitbc_node.events import Effect, Event
from aitbc_node.types import Address, Hash, Height


class Published(Event, frozen=True, kw_only=True):
    """A client handed in a message of an account; `request` comes back in `Reply`."""

    request: int
    raw: bytes


class Delivered(Effect, frozen=True, kw_only=True):
    """Hand a message of an account to whoever listens here; each comes once between two starts.

    Shape: `to` is None where it is on a `topic`; `correlation` may be empty.
    """

    id: Hash
    sender: Address
    to: Address | None
    topic: str
    correlation: bytes
    valid_until: Height
    content: bytes
