"""How much voting power can this node reach, its own included?

A validator counts while its node is linked directly, or while a vote of it came in lately over
others: in a partial mesh not everybody is linked with everybody. Do not add votes here.
"""

from aitbc_node.crypto import Signer, Verifier
from aitbc_node.errors import PeerFault
from aitbc_node.gossip.messages import Hello, hello_sign_bytes
from aitbc_node.types import PeerId, Power, PublicKey
from aitbc_node.validators import ValidatorSet

HEARD_MS_MIN = 3_000
LASTING_MS = 2_000
"""Power that was missing for this long is a matter to report; a link that is renewed is none."""


class Reach:
    """Know which validators are within reach."""

    def __init__(
        self,
        *,
        chain_id: str,
        verify: Verifier,
        interval_ms: int,
        own_key: PublicKey | None = None,
    ) -> None:
        self._chain_id = chain_id
        self.own_key = own_key
        self._verify = verify
        # Votes come once per block at least, so two intervals without one are news.
        self._heard_for_ms = max(HEARD_MS_MIN, 2 * interval_ms + 1_000)
        self._linked: dict[PeerId, PublicKey] = {}
        self._heard_ms: dict[PublicKey, int] = {}
        self._lacking_since_ms: int | None = None
        self._present: ValidatorSet | None = None

    def told(self, peer: PeerId, hello: Hello) -> None:
        """Take a peer's word for which validator it is. Raises: PeerFault when it is not.

        To say the same again costs nothing, and so no signature is judged for it.
        """
        if self._linked.get(peer) == hello.validator:
            return
        message = hello_sign_bytes(self._chain_id, peer)
        if not self._verify(hello.validator, message, hello.proof):
            raise PeerFault("a hello that its validator did not sign")
        self._linked[peer] = hello.validator

    def forget(self, peer: PeerId) -> None:
        """Drop a peer whose link is gone, and with it what was heard of its validator."""
        key = self._linked.pop(peer, None)
        if key is not None:
            self._heard_ms.pop(key, None)

    def voters(self) -> frozenset[PeerId]:
        """Name the linked peers that have proved to be of a present validator, one for each."""
        of_key: dict[PublicKey, PeerId] = {}
        for peer, key in self._linked.items():
            if self._present is not None and self._present.index_of(key) is not None:
                of_key.setdefault(key, peer)
        return frozenset(of_key.values())

    def heard(self, key: PublicKey, now_ms: int) -> None:
        """Remember that a validator's vote arrived; the caller has verified it."""
        self._heard_ms[key] = now_ms

    def power(self, validators: ValidatorSet, now_ms: int) -> Power:
        """Sum the power within reach."""
        keys = self.keys(now_ms)
        return Power(sum(member.power for member in validators.members if member.key in keys))

    def keys(self, now_ms: int) -> frozenset[PublicKey]:
        """Name all validators within reach, the own node's included."""
        own = () if self.own_key is None else (self.own_key,)
        heard = (
            key for key, at_ms in self._heard_ms.items() if now_ms - at_ms < self._heard_for_ms
        )
        return frozenset((*own, *self._linked.values(), *heard))

    def watch(self, validators: ValidatorSet, now_ms: int) -> None:
        """Remember who votes now, and since when power has been missing."""
        self._present = validators
        if self.power(validators, now_ms) >= validators.total_power:
            self._lacking_since_ms = None
        elif self._lacking_since_ms is None:
            self._lacking_since_ms = now_ms

    def lacking_ms(self, now_ms: int) -> int | None:
        """Tell for how long power has been missing; None while that is none, or only a moment."""
        if self._lacking_since_ms is None:
            return None
        lasted_ms = now_ms - self._lacking_since_ms
        return lasted_ms if lasted_ms >= LASTING_MS else None


def hello_of(chain_id: str, own_id: PeerId, signer: Signer) -> Hello:
    """Make the greeting of a validator's node; a follower has none."""
    proof = signer.sign(hello_sign_bytes(chain_id, own_id))
    return Hello(signer.public_key, proof)
