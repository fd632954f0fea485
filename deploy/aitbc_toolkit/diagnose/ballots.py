"""Who votes, in which blocks did they, and whose turn is it? All nodes asked at one moment.

Reads only, from nodes alone: where a host is what is wrong, `sight` asks it. The votes of the
height under way are told by no node, those in blocks are. What follows is judged in `consensus`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aitbc_node import bech32
from aitbc_node.rpc import schema
from aitbc_node.types import Address, Power, PublicKey, Round
from aitbc_node.validators import Validator, ValidatorSet
from aitbc_toolkit.asking import MeshClient, Silence
from aitbc_toolkit.errors import AitbcError
from aitbc_toolkit.inventory import Environment
from aitbc_toolkit.release import configuring

BLOCKS = 20
TURNS = 8


@dataclass(frozen=True, slots=True)
class Voter:
    """Show one validator of the set; `name` is empty where no node of the inventory has its key.

    `voted` of the newest blocks have its vote, and `last` is the newest of those, none of them
    where it is None. `told` is what its node says of itself.
    """

    name: str
    key: str
    power: int
    voted: int
    last: int | None
    told: schema.Status | Silence | None


@dataclass(frozen=True, slots=True)
class Ballots:
    """Hold what was told; `blocks` are the newest ones.

    `height` and `round` are the farthest that a validator works on, `step` is its step there.
    `turns` says who proposes next, in order, from the height `turns_from` on.
    """

    environment: Environment
    told: Mapping[str, schema.Status | Silence]
    voters: Sequence[Voter]
    total: int
    blocks: Sequence[schema.BlockView]
    height: int
    round: int
    step: str
    proposer: str
    turns: Sequence[str]
    turns_from: int

    @property
    def up(self) -> dict[str, schema.Status]:
        """Return those that answered."""
        return {name: each for name, each in self.told.items() if isinstance(each, schema.Status)}

    @property
    def tip(self) -> int:
        """Return the height of the newest final block that anybody has."""
        return max((each.height for each in self.up.values()), default=0)

    @property
    def is_told(self) -> bool:
        """Tell whether anybody said who votes, and what is in the blocks that there are."""
        return bool(self.voters) and (bool(self.blocks) or not self.tip)

    @property
    def needed(self) -> int:
        """Return the least power that is more than two thirds."""
        return 2 * self.total // 3 + 1

    @property
    def silent_ms(self) -> int | None:
        """Tell how old the newest block is, by the clock of who has it."""
        ages = [each.block_age_ms for each in self.up.values() if each.height]
        return min(ages, default=None)


def look(environment: Environment, mesh: MeshClient) -> Ballots:
    """Ask every node how far it is, and one that answers who votes and what is in blocks."""
    told = mesh.ask_all(lambda node: node.status())
    up = {name: each for name, each in told.items() if isinstance(each, schema.Status)}
    tip = max((each.height for each in up.values()), default=0)
    members = blocks = None
    if up:
        try:
            members = mesh.ask_any(lambda node: node.validators())
            first = max(1, tip - BLOCKS + 1)
            blocks = mesh.ask_any(lambda node: node.blocks(first, BLOCKS)) if tip else None
        except AitbcError:
            pass  # who answers says so; the rest stays unknown
    return gathered(environment, told, members, blocks or ())


def gathered(
    environment: Environment,
    told: Mapping[str, schema.Status | Silence],
    members: schema.Validators | None,
    blocks: Sequence[schema.BlockView],
) -> Ballots:
    """Put together what was told."""
    names = _names(environment, told)
    rows = members.validators if members else []
    votes = votes_in(blocks)
    working = [each for each in told.values() if isinstance(each, schema.Status)]
    voters = [_voter(each, names, told, votes) for each in rows]
    order = {name: place for place, name in enumerate(told)}  # that of the inventory
    far = max(working, key=lambda each: (each.height, each.round), default=None)
    return Ballots(
        environment=environment,
        told=told,
        voters=sorted(voters, key=lambda each: order.get(each.name, len(order))),
        total=members.total_power if members else 0,
        blocks=blocks,
        height=far.height + 1 if far else 0,
        round=far.round if far else 0,
        step=far.step if far else "",
        proposer=names.get(far.proposer, far.proposer) if far else "",
        turns=[names.get(key, key) for key in turns_of(rows, TURNS)],
        turns_from=members.height if members else 0,
    )


def votes_in(blocks: Sequence[schema.BlockView]) -> dict[int, set[str]]:
    """Return whose votes each block has: those that made it final, and late ones in the next."""
    votes = {each.height: set(each.certificate.signers) for each in blocks}
    for each in blocks:
        if each.height - 1 in votes:
            votes[each.height - 1] |= set(each.last_commit.signers)
    return votes


def turns_of(rows: Sequence[schema.ValidatorView], count: int) -> list[str]:
    """Name by their keys who proposes the next heights, if each is final in its first round."""
    if not rows or any(each.priority is None for each in rows):
        return []
    members = ValidatorSet(
        tuple(
            Validator(
                Address(bech32.decode(each.address)[1]),
                PublicKey(bytes.fromhex(each.key)),
                Power(each.power),
                each.priority or 0,
            )
            for each in rows
        )
    )
    found = []
    for _ in range(count):
        found.append(members.proposer(Round(0)).key.hex())
        members = members.rotated()
    return found


def _names(environment: Environment, told: Mapping[str, schema.Status | Silence]) -> dict[str, str]:
    """Say whose the consensus keys are: by the nodes' own word, else by what a deploy learned."""
    names: dict[str, str] = {}
    for name, parts in (configuring.known_keys(environment) or {}).items():
        for key in (parts.get("consensus_key"), *parts.get("later_keys", ())):
            if key:
                names[str(key)] = name
    own = {
        each.validator: name
        for name, each in told.items()
        if isinstance(each, schema.Status) and each.validator
    }
    return names | own


def _voter(
    row: schema.ValidatorView,
    names: Mapping[str, str],
    told: Mapping[str, schema.Status | Silence],
    votes: Mapping[int, set[str]],
) -> Voter:
    heights = [height for height, keys in votes.items() if row.key in keys]
    name = names.get(row.key, "")
    return Voter(
        name=name if name in told else "",
        key=row.key,
        power=row.power,
        voted=len(heights),
        last=max(heights, default=None),
        told=told.get(name),
    )
