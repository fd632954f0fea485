"""What became of everything that attackers handed in?

What is refused is as it must be. What is taken and must not be, or lies in blocks more often than
it may, is a breach; a role that no node ever judged has shown nothing. Pure. Do not add
how blows are made: `attacks.py`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aitbc_load.attacks import Blow
from aitbc_load.chainwatch import BROKEN, HELD, UNKNOWN, Check
from aitbc_load.histograms import Latencies
from aitbc_node.blocks import tx_id
from aitbc_node.codes import Code

CHECK = "attacks_refused"
_NAMED_MAX = 3
_UNJUDGED = frozenset({Code.E_RATE, Code.E_UNAVAILABLE, Code.E_NO_QUORUM})
"""What a node answers before it has looked at anything."""


@dataclass(slots=True)
class Assault:
    """Keep the books of one role. Units: transactions; `dropped` counts blows."""

    role: str
    sent: int = 0
    taken: int = 0
    dropped: int = 0
    silent: int = 0
    """Handed in and not answered."""
    refusals: Counter[str] = field(default_factory=Counter)
    answers: Latencies = field(default_factory=Latencies)
    wrongly_taken: list[str] = field(default_factory=list)
    _bounds: list[tuple[str, tuple[str, ...], int]] = field(default_factory=list)

    def strike(self, blow: Blow) -> None:
        """Write down a blow before any node is asked."""
        names = tuple(tx_id(raw).hex() for hand in blow.hands for raw in hand)
        self._bounds.append((blow.what, names, blow.in_blocks_max))
        self.sent += sum(map(len, blow.hands))

    def answer(self, blow: Blow, codes: Iterable[str], *, took_us: int) -> bool:
        """Write down what a node said of one hand; tell whether it took any of it."""
        said = Counter(codes)
        taken = said.pop("ok", 0)
        self.taken += taken
        self.refusals += said
        self.answers.record_us(took_us)
        if taken and not blow.may_be_taken:
            self.wrongly_taken.append(f"{self.role}: a node took what is {blow.what}")
        return bool(taken)

    @property
    def is_idle(self) -> bool:
        """Tell whether no node has ever judged anything that it handed in."""
        return not self.taken and self.refusals.keys() <= _UNJUDGED

    def found(self, places: Mapping[str, int]) -> int:
        """Count those of its transactions that blocks hold; `places` counts blocks by id."""
        return sum(places.get(name, 0) > 0 for _, names, _ in self._bounds for name in names)

    def breaches(self, places: Mapping[str, int]) -> list[str]:
        """List what must never have happened."""
        found = list(self.wrongly_taken)
        for what, names, most in self._bounds:
            held = sum(places.get(name, 0) for name in names)
            if held > most:
                found.append(f"{self.role}: blocks hold {held} of a {what}, at most {most} may be")
        return found


def check(
    assaults: Sequence[Assault], places: Mapping[str, int], unseen: Sequence[int]
) -> Check | None:
    """Judge all attackers together; None where there were none."""
    if not assaults:
        return None
    breaches = [each for assault in assaults for each in assault.breaches(places)]
    if breaches:
        more = f" and {len(breaches) - _NAMED_MAX} more" if len(breaches) > _NAMED_MAX else ""
        return Check(CHECK, BROKEN, "; ".join(breaches[:_NAMED_MAX]) + more)
    if unseen:
        return Check(CHECK, UNKNOWN, f"no quorum told {len(unseen)} heights")
    sent = sum(assault.sent for assault in assaults)
    roles = ", ".join(assault.role for assault in assaults)
    return Check(CHECK, HELD, f"{sent:,} of {roles}")
