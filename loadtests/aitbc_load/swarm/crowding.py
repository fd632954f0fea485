"""Who are the bots of a run, and what does each of them hold? Made of the plan's recruits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aitbc_load import sharing
from aitbc_load.arrivals import Course
from aitbc_load.mustering import COMPARER, MISUSING, RECONNECTOR, STAKER, TRADER, Recruit
from aitbc_load.orders import Cover, Place, Terms
from aitbc_load.swarm.bots import Bots, Crowd, Role
from aitbc_load.swarm.comparing import Comparer
from aitbc_load.swarm.habits import Hurried, Impatient, Overspender, Poller, Reconnector
from aitbc_load.swarm.mailing import Post
from aitbc_load.swarm.paying import Payer
from aitbc_load.swarm.reading import Account, Reader
from aitbc_load.swarm.roles import Observer, Staker, User
from aitbc_load.swarm.trading import Trader
from aitbc_load.swarm.wire import STRANGER, Wires
from aitbc_load.wallet import Wallet

_PAYING: Mapping[str, Callable[[Payer, Recruit], Role]] = {
    "user": lambda payer, recruit: User(payer, recruit.part.mix, recruit.seed),
    STAKER: lambda payer, _: Staker(payer),
    TRADER: lambda payer, _: Trader(payer),
    "poller": lambda payer, _: Poller(payer),
    "impatient": lambda payer, _: Impatient(payer),
    "overspender": lambda payer, _: Overspender(payer),
    "hurried": lambda payer, _: Hurried(payer),
}
"""How each role is made that has an account."""


@dataclass(slots=True)
class Crowds:
    """Hold all bots of a run; those that pay by their accounts, in `payers`."""

    crowds: dict[str, Crowd] = field(default_factory=dict)
    payers: list[Payer] = field(default_factory=list)
    roles: list[tuple[Recruit, Role]] = field(default_factory=list)
    strange: Wires = field(default_factory=lambda: Wires(source=STRANGER))
    """Of bots that use the mesh badly: what they are throttled for is nobody else's."""

    workers: int = 1
    _begin: Callable[[Recruit, Role], None] | None = None

    def begin(self, course: Course, now_s: Callable[[], float]) -> Bots:
        """Let every bot live in its phase, but for those that others' loss would make ours."""
        bots = Bots(now_s)

        def begin(recruit: Recruit, role: Role) -> None:
            from_s, until_s = course.begins_s(recruit.place), course.ends_s[recruit.place]
            if recruit.spare:
                from_s = max(from_s, now_s())
            if from_s < until_s:
                crowd, pause_s = self.crowds[recruit.part.role], recruit.part.pause_s
                window = {"from_s": from_s, "until_s": until_s}
                bots.begin(crowd, role, **window, pause_s=pause_s, seed=recruit.seed)

        for recruit, role in self.roles:
            if not recruit.spare:
                begin(recruit, role)
        self._begin = begin
        return bots

    def cover(self, cover: Cover) -> None:
        """Let those bots of lost workers live that are ours now; who lives already goes on."""
        waiting = []
        for recruit, role in self.roles:
            is_due = 0 < recruit.spare <= sharing.bots(cover, recruit.part, self.workers)
            if is_due and self._begin is not None:
                self._begin(recruit, role)
            else:
                waiting.append((recruit, role))
        self.roles = waiting


def gather(
    recruits: Sequence[Recruit],
    before: Mapping[str, Account],
    terms: Terms,
    nodes: Sequence[Place],
    wires: Wires,
    post: Post,
    workers: int = 1,
) -> Crowds:
    """Make every bot; they are spread over the nodes."""
    found = Crowds(workers=workers)
    for number, recruit in enumerate(recruits):
        name = recruit.part.role
        found.crowds.setdefault(name, Crowd(name))
        own = found.strange if name in MISUSING else wires
        if recruit.who is None:
            node = nodes[number % len(nodes)]
            role: Role = Observer(node, own)
            if name == RECONNECTOR:
                role = Reconnector(node, own)
            elif name == COMPARER:
                role = Comparer(node, Reader(own, nodes), post.box(number), recruit.seed)
            found.roles.append((recruit, role))
            continue
        account = before[recruit.who.address(terms.hrp)]
        payer = Payer(
            name,
            recruit.who,
            Wallet(account.units, account.nonce),
            nodes,
            number,
            terms,
            own,
            Reader(own, nodes),
            is_exact=name != STAKER,
        )
        found.payers.append(payer)
        found.roles.append((recruit, _PAYING[name](payer, recruit)))
    return found
