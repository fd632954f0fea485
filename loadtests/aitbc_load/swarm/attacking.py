"""How are blows carried out? Each when it is due, from another address than honest users have.

A blow whose turn in its account's nonces has come is repeated until a node takes it; all others are
handed in once. Attackers that are late make no run invalid: what they did is in their books. Do not
add what may become of a blow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import gevent
import msgspec

from aitbc_load import attacks
from aitbc_load.arrivals import Arrivals, Course
from aitbc_load.assaults import Assault
from aitbc_load.attacks import Attacker, Blow
from aitbc_load.mustering import Member
from aitbc_load.orders import Phase, Place
from aitbc_load.swarm.answers import codes_of
from aitbc_load.swarm.wire import STRANGER, Silent, Wires, post
from aitbc_node.blocks import tx_id

_BEHIND_YIELD = 8
_REPLAYERS = 8
_AT_ONCE = 64


@dataclass(slots=True)
class Quiver:
    """Hold the blows of one account, one at a time; `ids` are those that were handed in."""

    blow: Callable[[], Blow | None]
    """Draws the next one; None where there is none now."""
    address: str = ""
    drawn: Blow | None = None
    is_busy: bool = False
    ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Squad:
    """Be all accounts of one role, and its books."""

    role: str
    quivers: list[Quiver]
    assault: Assault
    turn: int = 0

    def free(self) -> Quiver | None:
        """Return the next account that waits for no answer."""
        for _ in self.quivers:
            quiver = self.quivers[self.turn % len(self.quivers)]
            self.turn += 1
            if not quiver.is_busy:
                return quiver
        return None


class Attackers:
    """Strike in every phase that asks for it, until `stop`."""

    def __init__(
        self, nodes: Sequence[Place], squads: Sequence[Squad], now_s: Callable[[], float]
    ) -> None:
        self.squads = {squad.role: squad for squad in squads}
        self._nodes = nodes
        self._now_s = now_s
        self._wires = Wires(source=STRANGER)
        self._turns = count()
        self._under_way: set[gevent.Greenlet] = set()
        self._is_stopped = False

    @property
    def out_of_files(self) -> int:
        """Count the connections that the system would not open."""
        return self._wires.out_of_files

    def run(self, course: Course, phases: Sequence[Phase]) -> None:
        """Begin every strike of every phase when it is due."""
        for place, phase in enumerate(phases):
            for part in phase.parts:
                if part.role in self.squads:
                    arrivals = Arrivals(part.rate, phase.for_s)
                    self._spawn(self._strike, part.role, arrivals, course.begins_s(place))

    def stop(self, within_s: float) -> None:
        """Begin no more, and wait for the answers that are due."""
        self._is_stopped = True
        gevent.joinall(list(self._under_way), timeout=within_s)
        gevent.killall(list(self._under_way))
        self._wires.close()

    def _strike(self, role: str, arrivals: Arrivals, begins_s: float) -> None:
        squad = self.squads[role]
        for number in range(arrivals.count):
            wait_s = begins_s + arrivals.due_s(number) - self._now_s()
            if wait_s > 0:
                gevent.sleep(wait_s)
            elif number % _BEHIND_YIELD == 0:
                gevent.sleep(0)
            if self._is_stopped:
                return
            quiver = squad.free()
            if quiver is None:
                squad.assault.dropped += 1
                continue
            quiver.is_busy = True
            self._spawn(self._blow, squad, quiver)

    def _blow(self, squad: Squad, quiver: Quiver) -> None:
        """Hand in one blow, all its hands at once."""
        try:
            blow = quiver.drawn or quiver.blow()
            if blow is None:
                squad.assault.dropped += 1
                return
            if quiver.drawn is None:
                squad.assault.strike(blow)
                if quiver.address:
                    quiver.ids += [tx_id(raw).hex() for hand in blow.hands for raw in hand]
            first = next(self._turns)
            hands = [
                gevent.spawn(self._hand_in, squad.assault, blow, hand, first + place)
                for place, hand in enumerate(blow.hands)
            ]
            gevent.joinall(hands)
            is_taken = any(each.value for each in hands)
            quiver.drawn = None if is_taken or squad.role not in attacks.ORDERED else blow
        finally:
            quiver.is_busy = False

    def _hand_in(self, assault: Assault, blow: Blow, hand: tuple[bytes, ...], turn: int) -> bool:
        node = self._nodes[turn % len(self._nodes)]
        began_s = self._now_s()
        try:
            answer = self._wires.ask(node, post(node, list(map(msgspec.msgpack.encode, hand))))
            codes = codes_of(answer, len(hand))
        except Silent:
            assault.silent += len(hand)
            return False
        return assault.answer(blow, codes, took_us=round(1_000_000 * (self._now_s() - began_s)))

    def _spawn(self, act: Callable[..., None], *arguments: object) -> None:
        greenlet = gevent.spawn(act, *arguments)
        self._under_way.add(greenlet)
        greenlet.rawlink(self._under_way.discard)


def squads(
    roles: Sequence[str],
    attackers: Sequence[tuple[Member, Attacker]],
    prey: Callable[[], bytes | None],
    hrp: str,
) -> list[Squad]:
    """Arm every role: those with accounts by their accounts, the replayer by what was final."""
    found = []
    for role in roles:
        if role == attacks.REPLAYER:
            quivers = [Quiver(partial(_replay, prey)) for _ in range(_REPLAYERS)]
        else:
            mine = [attacker for member, attacker in attackers if member.role == role]
            quivers = [quiver for attacker in mine for quiver in _quivers(role, attacker, hrp)]
        found.append(Squad(role, quivers, Assault(role)))
    return found


def _quivers(role: str, attacker: Attacker, hrp: str) -> list[Quiver]:
    """Arm one account; where no blow depends on the one before, many may be under way."""
    draw = attacks.ATTACKS[role](attacker).__next__
    address = "" if role in attacks.PENNILESS else attacker.who.address(hrp)
    ids: list[str] = []
    count = 1 if role in attacks.ORDERED else _AT_ONCE
    return [Quiver(draw, address, ids=ids) for _ in range(count)]


def _replay(prey: Callable[[], bytes | None]) -> Blow | None:
    raw = prey()
    return None if raw is None else attacks.replay(raw)
